"""Strength and gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.measures.quality import psnr
from runtime import Enhancer, exposure
from runtime.artifact import locate
from runtime.artifact.contract import Logarithm, Product
from tests.runtime.conftest import double, make_info
from train.pairs import listed_pairs, read_picture

Picture = NDArray[np.uint8]


def _ramps() -> tuple[Picture, Picture]:
    """Every pair of codes once, as two pictures of 256 x 256."""
    codes = np.arange(256, dtype=np.uint8)
    low, high = np.meshgrid(codes, codes, indexing="ij")
    return np.dstack([low] * 3), np.dstack([high] * 3)


@pytest.mark.parametrize("geometric", [True, False])
def test_the_ends_are_exact_on_every_pair_of_codes(geometric: bool) -> None:
    source, enhanced = _ramps()
    for strength, expected in ((0.0, source), (1.0, enhanced)):
        result = enhanced.copy()
        exposure.blend(source, result, strength, geometric)
        assert np.array_equal(result, expected)


@pytest.mark.parametrize("strength", [0.001, 0.25, 0.5, 0.9, 0.999])
def test_between_the_ends_it_is_the_formula(strength: float) -> None:
    source, enhanced = _ramps()
    result = enhanced.copy()
    exposure.blend(source, result, strength, geometric=True)
    s, e = source.astype(float), enhanced.astype(float)
    expected = (s + 1) ** (1 - strength) * (e + 1) ** strength - 1
    assert np.abs(result - expected).max() <= 0.501
    linear = enhanced.copy()
    exposure.blend(source, linear, strength, geometric=False)
    assert np.abs(linear - (s * (1 - strength) + e * strength)).max() <= 0.501


@given(st.integers(0, 255), st.integers(0, 255), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_more_strength_never_goes_back(source: int, enhanced: int, one: float, other: float) -> None:
    def at(strength: float) -> int:
        result = np.full((1, 1, 3), enhanced, np.uint8)
        exposure.blend(np.full((1, 1, 3), source, np.uint8), result, strength, geometric=True)
        return int(result[0, 0, 0])

    low, high = at(min(one, other)), at(max(one, other))
    assert (low <= high) if source <= enhanced else (low >= high)


def test_which_networks_have_an_illumination() -> None:
    assert exposure.has_illumination(make_info())
    assert exposure.has_illumination(make_info(contract=(Product(1),)))
    assert not exposure.has_illumination(make_info(contract=(Logarithm(4),)))


def test_strength_through_the_enhancer(artifacts: Path, dark: Picture) -> None:
    retinex = Enhancer(artifacts / "double.onnx", backend="onnxruntime")
    other = Enhancer(artifacts / "whole.onnx", backend="onnxruntime")
    assert np.array_equal(retinex(dark, strength=0.0), dark)
    assert np.array_equal(retinex(dark, strength=1.0), double(dark))
    half = (dark + 1.0) ** 0.5 * (double(dark) + 1.0) ** 0.5 - 1
    assert np.abs(retinex(dark, strength=0.5) - half).max() <= 0.501
    mean = (dark.astype(float) + other(dark)) / 2
    assert np.abs(other(dark, strength=0.5) - mean).max() <= 0.501
    image = dark.copy()
    assert retinex(image, out=image, strength=0.5) is image
    assert np.array_equal(image, retinex(dark, strength=0.5))


def test_exposure_is_the_geometric_mean_and_ignores_a_lamp() -> None:
    night = np.full((300, 400, 3), 10, np.uint8)
    assert exposure.exposure(night) == pytest.approx(10, abs=0.1)
    night[100:140, 100:140] = 255
    assert exposure.exposure(night) < 11
    assert exposure.exposure(np.zeros((16, 16, 3), np.uint8)) == 0
    assert exposure.exposure(np.full((17, 2000, 3), 255, np.uint8)) == pytest.approx(255)


def test_the_gate_is_smooth_and_its_ends_are_exact() -> None:
    levels = np.linspace(0, 255, 5000)
    shares = np.array([exposure.gate(level) for level in levels])
    assert shares[levels <= exposure.GATE_OPEN].min() == 1.0
    assert shares[levels >= exposure.GATE_SHUT].max() == 0.0
    assert (np.diff(shares) <= 0).all() and np.abs(np.diff(shares)).max() < 0.003


def test_the_gate_leaves_bright_pictures_to_the_byte_and_dark_ones_to_the_network(artifacts: Path, dark: Picture) -> None:
    enhancer = Enhancer(artifacts / "double.onnx", backend="onnxruntime")
    bright, night = dark // 4 + 100, dark // 4
    mixed = np.stack([bright, night])
    result = enhancer(mixed, gate=True)
    assert np.array_equal(result[0], bright)
    assert np.array_equal(result[1], double(night))


@pytest.mark.slow
def test_on_real_pairs_bright_pictures_are_left_alone_and_dark_ones_are_not(data: Path) -> None:
    with Enhancer(locate.onnx_file("pdn")) as pdn:
        for pair in listed_pairs(data / "LOL", "val")[::3]:
            assert pair.low is not None
            dark, bright = read_picture(pair.low), read_picture(pair.high)
            assert psnr(pdn(bright, gate=True), bright) >= 30 > psnr(pdn(bright), bright)
            assert psnr(pdn(dark, gate=True), bright) >= psnr(pdn(dark), bright) - 0.05


def _flicker(enhancer: Enhancer, bright: Picture) -> float:
    """From night to day: the largest relative change of brightness between frames, over that of the film."""
    film = [np.rint(bright * light).astype(np.uint8) for light in np.geomspace(0.05, 1.0, 90)]
    means = np.array([(frame.mean(), enhancer(frame, gate=True).mean()) for frame in film])
    before, after = np.abs(np.diff(means, axis=0) / means[:-1]).max(axis=0)
    return float(after / before)


@pytest.mark.slow
def test_day_breaks_without_a_step(data: Path) -> None:
    brights = sorted({pair.high for pair in listed_pairs(data / "LOL", "val")})
    with Enhancer(locate.onnx_file("pdn")) as pdn:
        for path in (brights[0], brights[-1]):
            assert _flicker(pdn, read_picture(path)[::4, ::4]) <= 1.2


def test_a_gate_that_drops_at_once_would_be_seen(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer = Enhancer(artifacts / "double.onnx", backend="onnxruntime")
    scene = np.full((32, 32, 3), 120, np.uint8)
    assert _flicker(enhancer, scene) <= 1.2
    monkeypatch.setattr(exposure, "GATE_SHUT", exposure.GATE_OPEN + 0.01)
    assert _flicker(enhancer, scene) > 2
