"""Speeds that papers claim. None was measured here, and none on this hardware."""

from __future__ import annotations

from dataclasses import dataclass

#: Printed wherever a claim stands beside a figure of ours.
CAVEAT = "claims are the papers' own, on other hardware; ratios to them say nothing about software"

_TABLE = "BLNet's table, arXiv 2106.15953"
_HARDWARE = "not stated; the same times stand in its authors' earlier work, their next one names a TITAN Xp"
_SIZE = "not stated; 600x400 in their next work"


@dataclass(frozen=True)
class Claim:
    """A published time for one picture."""

    method: str
    milliseconds: float
    hardware: str
    resolution: str
    source: str
    #: Name of the network here; None: it is not one of ours.
    network: str | None = None
    #: What else a reader must know.
    note: str = ""


#: Networks that are not part of this project.
OTHERS: tuple[Claim, ...] = tuple(
    Claim(method, milliseconds, _HARDWARE, _SIZE, _TABLE)
    for method, milliseconds in (
        ("MBLLEN", 80.0),
        ("RDGAN", 30.0),
        ("GLAD", 25.0),
        ("RetinexNet", 20.0),
        ("Zhang", 20.0),
        ("EnlightenGAN", 20.0),
        ("Zero-DCE", 2.0),
    )
)

_UNSYNCHRONISED = (
    "a published script of the same authors stops its clock without waiting for the GPU; taken that way, it would be the "
    "time to launch the work, not to do it"
)


def claims() -> list[Claim]:
    """Every claim: those of this project's networks, from their specs, and the others, the fastest first."""
    from train.networks.registry import NETWORKS, get_spec

    own: list[Claim] = []
    for name in NETWORKS:
        spec = get_spec(name)
        paper = spec.paper
        if paper.milliseconds is not None:
            hardware = paper.hardware or "not stated"
            own.append(Claim(spec.title, paper.milliseconds, hardware, _SIZE, paper.source, name, _UNSYNCHRONISED))
    return sorted((*own, *OTHERS), key=lambda claim: claim.milliseconds)
