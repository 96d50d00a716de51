"""Speeds that papers claim. None was measured here, and none on this hardware."""

from __future__ import annotations

from dataclasses import dataclass

#: Printed wherever a claim stands beside a figure of ours.
CAVEAT = "claims are the papers' own, on other hardware; ratios to them say nothing about software"


@dataclass(frozen=True)
class Claim:
    """A published time for one picture."""

    method: str
    milliseconds: float
    hardware: str = "not stated; the same times stand in its authors' earlier work, their next one names a TITAN Xp"
    resolution: str = "not stated; 600x400 in their next work"
    source: str = "BLNet's table, arXiv 2106.15953"
    #: Name of the network here; None: it is not one of ours.
    network: str | None = None
    #: A doubt about the figure, for the reader.
    note: str = ""


#: Every claim, the fastest first.
CLAIMS = (
    Claim("Zero-DCE", 2.0),
    Claim(
        "BLNet",
        7.0,
        hardware="not stated; its successor's 7 ms were taken at 600x400 on a TITAN Xp",
        source="Wei et al., arXiv 2106.15953",
        network="blnet",
        note="a published script of the same authors stops its clock without waiting for the GPU; taken that way, it would be "
        "the time to launch the work, not to do it",
    ),
    Claim("RetinexNet", 20.0),
    Claim("Zhang", 20.0),
    Claim("EnlightenGAN", 20.0),
    Claim("GLAD", 25.0),
    Claim("RDGAN", 30.0),
    Claim("MBLLEN", 80.0),
)
