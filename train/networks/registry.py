"""The one list of networks. Reading it costs nothing: torch is imported when a spec is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from runtime.artifact.contract import Rule
from train.errors import UnknownNetworkError

if TYPE_CHECKING:
    from torch import nn

#: name -> "module:attribute" of its NetworkSpec. A new network is one file and one line here.
NETWORKS: dict[str, str] = {
    "dawn": "train.networks.dawn:SPEC",
    "dawn-live": "train.networks.dawn_live:SPEC",
    "pdn": "train.networks.pdn:SPEC",
    "dsn": "train.networks.dsn:SPEC",
    "dsn-reverse": "train.networks.dsn:REVERSE",
    "blnet": "train.networks.blnet:SPEC",
    "sri": "train.networks.sri:SPEC",
    "msrnet": "train.networks.msrnet:SPEC",
    "msr": "train.networks.msr:SPEC",
    "msrcr": "train.networks.msr:MSRCR",
}


@dataclass(frozen=True)
class PartsSpec:
    """Modules at which a network comes apart: what is decided on an overview, and what is done to each part of a picture."""

    #: The module that makes the overview and the side of its squares, from `train.networks.overview`.
    overview: str
    #: The modules whose outputs are all that a part must know of the rest.
    light: tuple[str, ...]
    #: Height and width of an overview together are at most this.
    points: int
    #: Pixels of context that a part needs to each side.
    halo: int


@dataclass(frozen=True)
class NetworkSpec:
    """Everything in which one network differs from another."""

    name: str
    title: str
    #: Builds the network with its seeded initialisation; keywords select other readings of the paper.
    build: Callable[..., nn.Module]
    #: Learned and frozen parameters together.
    parameters: int
    #: Height and width that the bare network takes are multiples of this.
    multiple: int = 1
    #: Pixels of context that one output pixel depends on to each side; None: it depends on the whole picture.
    halo: int | None = None
    #: Module paths (shell patterns) that stay FP32 in the typed FP16 graph.
    islands: tuple[str, ...] = ()
    #: The Retinex steps that the exported graph must keep as ops.
    contract: tuple[Rule, ...] = ()
    #: Precision of convolutions on CPU backends that have the choice.
    cpu_precision: Literal["fp32", "bf16"] = "fp32"
    #: How large pictures are done in parts, where the network decides on an overview.
    parts: PartsSpec | None = None
    #: Stem of the file in train/weights/; None for a network without weights.
    weights: str | None = None
    #: Of a convolution's weights in that file: 16, or 8 with a scale for each filter.
    weight_bits: Literal[8, 16] = 16


def get_spec(name: str) -> NetworkSpec:
    """Return the spec of the network called `name`."""
    try:
        target = NETWORKS[name]
    except KeyError:
        near = get_close_matches(name.lower(), NETWORKS, 1, 0.6)
        meant = f"; did you mean {near[0]}?" if near else ";"
        raise UnknownNetworkError(f"unknown network {name!r}{meant} known: {', '.join(NETWORKS)}") from None
    module, attribute = target.split(":")
    return getattr(import_module(module), attribute)
