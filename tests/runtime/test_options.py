"""Options check themselves, whoever makes them."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from runtime import InputError
from runtime.options import CallOptions, OpenOptions, add_call_arguments, add_open_arguments


def test_numbers_of_numpy_become_plain_ones() -> None:
    call: Any = CallOptions(np.float32(0.5), np.bool_(True))  # pyright: ignore[reportArgumentType]
    assert (call.strength, call.gate) == (0.5, True) and type(call.strength) is float and call.gate is True
    opened = OpenOptions(device=np.int64(1), threads=np.int32(2))  # pyright: ignore[reportArgumentType]
    assert type(opened.device) is int and type(opened.threads) is int


@pytest.mark.parametrize(
    "options",
    [
        {"strength": True},
        {"strength": None},
        {"strength": 1.5},
        {"strength": "0.5"},
        {"gate": 2},
        {"gate": None},
        {"tile": None},
    ],
)
def test_wrong_call_options_are_input_errors(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))} .*, found"):
        CallOptions(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"device": None},
        {"device": True},
        {"device": 0.0},
        {"device": "cpu"},
        {"device": "cuda"},
        {"threads": "2"},
        {"precision": 16},
        {"color": None},
        {"backend": 1},
    ],
)
def test_wrong_open_options_are_input_errors(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))} .*, found"):
        OpenOptions(**options)


def test_they_are_frozen() -> None:
    options: Any = CallOptions()
    with pytest.raises(FrozenInstanceError):
        options.strength = 0.5


def test_the_command_line_has_them_all() -> None:
    """But for the order of channels, which is the files' own."""
    parser = ArgumentParser()
    add_open_arguments(parser)
    add_call_arguments(parser)
    arguments = parser.parse_args([])
    assert set(vars(arguments)) == {*OpenOptions.names(), *CallOptions.names()} - {"color"}
    assert OpenOptions.of(arguments) == OpenOptions() and CallOptions.of(arguments) == CallOptions()
    arguments = parser.parse_args(["--precision", "bf16", "--tile", "off", "--gate"])
    assert OpenOptions.of(arguments) == OpenOptions(precision="bf16")
    assert CallOptions.of(arguments) == CallOptions(gate=True, tile="off")
