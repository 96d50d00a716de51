"""Shapes on the command line, and the profiles they make."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engines.profiles import make_profile, parse_shape
from runtime.artifact import Profile
from runtime.errors import InputError
from tests.runtime.conftest import make_info

PICTURES = make_info()
TENSORS = replace(
    PICTURES,
    multiple=16,
    input=replace(PICTURES.input, dtype="float32", layout="NCHW", shape=("N", 3, "H", "W"), white=1.0),
)


def test_a_shape_is_three_numbers() -> None:
    assert parse_shape("1x400x600") == (1, 400, 600)


@pytest.mark.parametrize("text", ["", "400x600", "1x400x600x3", "1x400x-6", "axbxc", "1 x 400 x 600", "1x400x600 "])
def test_other_texts_are_no_shapes(text: str) -> None:
    with pytest.raises(InputError, match="expected NxHxW"):
        parse_shape(text)


@pytest.mark.parametrize("text", ["0x400x600", "1x15x600", "1x400x15"])
def test_shapes_below_the_smallest_picture_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="at least 1x16x16"):
        parse_shape(text)


def test_the_default_profile() -> None:
    assert make_profile(PICTURES, None, None, None) == Profile((1, 64, 64, 3), (1, 400, 600, 3), (1, 1088, 1920, 3))


def test_defaults_give_way_to_what_is_asked_for() -> None:
    assert make_profile(PICTURES, None, (4, 32, 2000), None) == Profile((1, 32, 64, 3), (4, 32, 2000, 3), (4, 1088, 2000, 3))
    assert make_profile(PICTURES, (2, 500, 500), None, None) == Profile((2, 500, 500, 3), (2, 500, 600, 3), (2, 1088, 1920, 3))
    assert make_profile(PICTURES, None, None, (1, 64, 64)) == Profile((1, 64, 64, 3), (1, 64, 64, 3), (1, 64, 64, 3))


def test_a_profile_is_ordered() -> None:
    with pytest.raises(InputError, match="not ordered: min 1x64x64, opt 1x32x64, max 1x100x100"):
        make_profile(PICTURES, (1, 64, 64), (1, 32, 64), (1, 100, 100))
    with pytest.raises(InputError, match="not ordered"):
        make_profile(PICTURES, (1, 200, 200), None, (1, 100, 100))


def test_a_fixed_graph_gives_its_own_size() -> None:
    fixed = replace(PICTURES, input=replace(PICTURES.input, shape=("N", 720, 1280, 3)))
    assert make_profile(fixed, None, None, None) == Profile(*[(1, 720, 1280, 3)] * 3)
    with pytest.raises(InputError, match="fixed to a height of 720"):
        make_profile(fixed, None, (1, 400, 1280), None)


def test_tensors_are_channels_first_in_multiples() -> None:
    assert make_profile(TENSORS, None, None, None) == Profile((1, 3, 64, 64), (1, 3, 400, 608), (1, 3, 1088, 1920))
    with pytest.raises(InputError, match="multiples of 16"):
        make_profile(TENSORS, None, (1, 400, 600), None)
