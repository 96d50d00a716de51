"""Differences in codes, against a direct computation on the samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.measures import differences


def _pictures(seed: int, spread: int) -> tuple[differences.Images, differences.Images]:
    random = np.random.default_rng(seed)
    expected = random.integers(0, 256, (2, 17, 23, 3), dtype=np.uint8)
    change = random.integers(-spread, spread + 1, expected.shape)
    return expected, np.clip(expected + change, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("spread", [1, 9, 255])
def test_figures_follow_from_the_samples(spread: int) -> None:
    expected, found = _pictures(3, spread)
    signed = found.astype(np.float64) - expected.astype(np.float64)
    difference = differences.compare(expected, expected, found)
    assert difference.samples == signed.size
    assert difference.max_codes == np.abs(signed).max()
    assert difference.mean_codes == pytest.approx(np.abs(signed).mean())
    assert difference.p999_codes == np.quantile(np.abs(signed), 0.999, method="inverted_cdf")
    assert difference.psnr == pytest.approx(10 * math.log10(255**2 / np.square(signed).mean()))


def test_the_sign_is_kept() -> None:
    expected = np.full((1, 2, 2, 3), 100, np.uint8)
    found = expected.copy()
    found[0, 0, 0] = (98, 100, 103)
    assert differences.compare(expected, expected, found).histogram == {-2: 1, 0: 10, 3: 1}


def test_the_worst_pixel_is_shown() -> None:
    image = np.full((2, 4, 5, 3), 7, np.uint8)
    expected = np.full_like(image, 50)
    found = expected.copy()
    found[1, 2, 3] = (50, 61, 49)
    worst = differences.compare(image, expected, found).worst
    assert worst == differences.WorstPixel(1, 2, 3, (7, 7, 7), (50, 50, 50), (50, 61, 49))


def test_identical_pictures_have_no_worst_pixel_and_a_finite_psnr() -> None:
    expected, _ = _pictures(0, 1)
    difference = differences.compare(expected, expected, expected)
    assert difference.worst is None
    assert (difference.max_codes, difference.p999_codes) == (0, 0)
    once = expected.copy()
    once[0, 0, 0, 0] ^= 1
    assert difference.psnr == pytest.approx(differences.compare(expected, expected, once).psnr)


def test_pooled_is_all_samples_at_once() -> None:
    pairs = [_pictures(seed, 5) for seed in (1, 2)]
    each = [differences.compare(a, a, b) for a, b in pairs]
    together = differences.compare(*(np.concatenate([pair[i] for pair in pairs]) for i in (0, 0, 1)))
    assert differences.pool(each).histogram == together.histogram


def test_one_bad_sample_in_a_thousand_is_within_the_percentile_and_two_are_not() -> None:
    for bad, expected in ((1, 0), (2, 200)):
        histogram = {0: 1000 - bad, 200: bad}
        assert differences.Difference(histogram).p999_codes == expected


def test_shapes_must_match() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        differences.compare(*(np.zeros((1, side, 4, 3), np.uint8) for side in (4, 4, 5)))
