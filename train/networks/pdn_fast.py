"""The fast variants of PDN and of PDN with a global exposure head: no convolution at full resolution.

Our own. The same steps as in `train.networks.pdn`; see there what `fast` does. Backends that can compute convolutions in
bfloat16 do so for these, and only for these unless asked.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from runtime.artifact.contract import Division, NoiseSubtraction
from train.networks import pdn, pdn_global
from train.networks.registry import PaperFigures

_PARAMETERS = 271_086

SPEC = replace(
    pdn.SPEC,
    name="pdn-fast",
    title="Progressive dual network, fast variant",
    build=partial(pdn.PDN, fast=True),
    parameters=_PARAMETERS,
    paper=PaperFigures(source="our own variant of PDN (Huang et al., 2021)"),
    multiple=4 * pdn.GRID,
    halo=64,
    islands=(*pdn.SPEC.islands, "reduce", "*_light.enlarge*"),
    contract=(Division(2, reduced=1), NoiseSubtraction(2)),
    cpu_precision="bf16",
    weights="pdn-fast",
)

GLOBAL = replace(
    pdn_global.SPEC,
    name="pdn-global-fast",
    title="Progressive dual network with a global exposure head, fast variant",
    build=partial(pdn_global.PDNGlobal, fast=True),
    parameters=_PARAMETERS + pdn_global.SPEC.parameters - pdn.SPEC.parameters,  # and the head
    multiple=4 * pdn.GRID,
    islands=(*pdn_global.SPEC.islands, "reduce", "*_light.enlarge*"),
    contract=SPEC.contract,
    cpu_precision="bf16",
    weights="pdn-global-fast",
)
