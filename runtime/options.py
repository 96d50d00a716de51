"""Options: how an Enhancer is opened, and how one call of it enhances. Whatever is made of them is valid."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, Self

from runtime.artifact.info import CpuPrecision
from runtime.errors import InputError

Color = Literal["rgb", "bgr"]
Tile = Literal["auto", "off"]

#: The network used where none is named, and the one that the command line uses for films alone.
DEFAULT_NETWORK, FILM_NETWORK = "dawn", "dawn-live"


_DEVICE = 'device is the number of a GPU, from 0 up (a CPU is chosen by its backend, as backend="openvino")'


class _Options:
    """The members that both kinds of options share."""

    @classmethod
    def of(cls, arguments: Namespace) -> Self:
        """The options among the arguments of a command line."""
        given = {name: getattr(arguments, name) for name in cls.names() if hasattr(arguments, name)}
        return cls(**given)

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class OpenOptions(_Options):
    """How an artifact is opened; see `Enhancer`, whose keywords these are."""

    backend: str = "auto"
    device: int = 0
    color: Color = "rgb"
    threads: int | None = None
    precision: CpuPrecision | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.backend, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f'backend is "auto" or the name of a backend, found {self.backend!r}')
        _set(self, device=_whole(_DEVICE, self.device, 0))
        _one_of("color", self.color, ("rgb", "bgr"))
        if self.threads is not None:
            _set(self, threads=_whole("threads is at least 1", self.threads, 1))
        if self.precision is not None:
            _one_of("precision", self.precision, ("fp32", "bf16"))


@dataclass(frozen=True)
class CallOptions(_Options):
    """How one call enhances; see `Enhancer.__call__`, whose keywords these are."""

    strength: float = 1.0
    gate: bool = False
    tile: Tile = "auto"

    def __post_init__(self) -> None:
        strength: Any = self.strength
        if isinstance(strength, bool) or not isinstance(strength, Real) or not 0.0 <= float(strength) <= 1.0:
            raise InputError(f"strength lies between 0 and 1, found {strength!r}")
        if type(self.gate).__name__ not in ("bool", "bool_"):  # NumPy's is known by name: this module needs no other
            raise InputError(f"gate is True or False, found {self.gate!r}")
        _one_of("tile", self.tile, ("auto", "off"))
        _set(self, strength=float(strength), gate=bool(self.gate))


def add_open_arguments(parser: ArgumentParser) -> None:
    """The options of `OpenOptions` that a command line has: the order of channels is the files' own."""
    parser.add_argument("--backend", default="auto", help="auto, or a name that `retinexrt doctor` shows")
    parser.add_argument("--device", type=int, default=0, metavar="N", help="number of the GPU")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the backend decides)")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help="of convolutions on the CPU (default: the artifact's); bf16 is less exact, and faster with AMX or on AMD",
    )


def add_call_arguments(parser: ArgumentParser) -> None:
    """The options of `CallOptions` on a command line."""
    parser.add_argument("--strength", type=float, default=1.0, metavar="S", help="0: the input, 1: the network")
    parser.add_argument("--gate", action="store_true", help="leave pictures alone that are bright enough")
    parser.add_argument("--tile", choices=("auto", "off"), default="auto", help="how pictures too large for one run are cut")


def _set(options: Any, **values: Any) -> None:
    """Store values in their own type, as a NumPy number as a plain one."""
    for name, value in values.items():
        object.__setattr__(options, name, value)


def _whole(rule: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise InputError(f"{rule}, found {value!r}")
    return int(value)


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in known:
        *some, last = (f'"{word}"' for word in known)
        raise InputError(f"{name} is {', '.join(some)} or {last}, found {value!r}")
