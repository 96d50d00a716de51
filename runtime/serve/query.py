"""The parameters of a request, besides the picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.options import CallOptions

if TYPE_CHECKING:
    from runtime.serve.networks import Networks

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_PARAMETERS = ("network", "strength", "gate", "name")
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Query:
    network: str
    options: CallOptions
    #: Of the picture's file, for errors; raw photographs are known by its ending.
    name: str

    @classmethod
    def of(cls, items: Iterable[tuple[str, str]], networks: Networks) -> Query:
        """Read and check the parameters of a URL; InputError says what is wrong with them."""
        given: dict[str, str] = {}
        for key, value in items:
            if key not in _PARAMETERS:
                near = get_close_matches(key, _PARAMETERS, 1)
                raise InputError(f"there is no parameter {key[:40]!r}; {f'did you mean {near[0]}?' if near else _known()}")
            if key in given:
                raise InputError(f"{key} is given twice")
            given[key] = value
        network = given.get("network", networks.default)
        networks.check(network)
        return cls(network, CallOptions(_strength(given), _gate(given)), _name(given))


def _known() -> str:
    return f"known: {', '.join(_PARAMETERS)}"


def _strength(given: dict[str, str]) -> float:
    text = given.get("strength", "1")
    try:
        return float(text)
    except ValueError:
        raise InputError(f"strength lies between 0 and 1, found {text[:40]!r}") from None


def _gate(given: dict[str, str]) -> bool:
    text = given.get("gate", "false").lower()
    if text not in _TRUTH:
        raise InputError(f"gate is true or false, found {text[:40]!r}")
    return _TRUTH[text]


def _name(given: dict[str, str]) -> str:
    """A file's name without folders, from whatever system it came."""
    name = given.get("name", "").replace("\\", "/").rpartition("/")[2]
    return name[-_LONGEST_NAME:] if name.isprintable() and name else "the picture"
