"""Nights made from photographs, and the batches of scenes that they are part of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from train import nights
from train.errors import DataError
from train.nights import Shares, backlight, darken_plainly, make_night
from train.pairs import PairStore, find_pairs, find_photographs
from train.scenes import SceneBatches, SceneCut


def _photograph(seed: int, height: int = 330, width: int = 490) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(20, 250, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_a_night_is_darker_and_the_same_each_time(seed: int) -> None:
    photograph = _photograph(seed)
    dark, truth = make_night(photograph, np.random.default_rng(seed), Shares(plain=0.0))
    again = make_night(photograph, np.random.default_rng(seed), Shares(plain=0.0))
    assert dark.shape == truth.shape == photograph.shape and dark.dtype == truth.dtype == np.uint8
    assert dark.mean() < 0.95 * truth.mean()
    assert np.array_equal(dark, again[0]) and np.array_equal(truth, again[1])


def test_what_is_left_as_it_is_is_its_own_truth() -> None:
    photograph = _photograph(0)
    dark, truth = make_night(photograph, np.random.default_rng(0), Shares(plain=1.0, jpeg=0.0))
    assert np.array_equal(dark, photograph) and np.array_equal(truth, photograph)


def test_without_lamps_and_tints_the_truth_is_the_photograph() -> None:
    photograph = _photograph(1)
    _, truth = make_night(photograph, np.random.default_rng(1), Shares(plain=0.0, lamps=0.0, tinted=0.0))
    assert np.array_equal(truth, photograph)


def test_a_plain_night_has_the_light_and_the_noise_it_is_told() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    still = darken_plainly(grey, 0.25, 0.0, 0.0, np.random.default_rng(0))
    assert np.all(still == round(128 * 0.25 ** (1 / 2.2)))
    noisy = darken_plainly(grey, 0.25, 2e-3, 5e-4, np.random.default_rng(0))
    linear = (noisy / 255) ** 2.2
    light = 0.25 * (128 / 255) ** 2.2
    assert linear.std() == pytest.approx(np.sqrt(light * 5e-4 + 4e-6), rel=0.1)
    assert linear.mean() == pytest.approx(light, rel=0.02)


def test_backlight_darkens_what_is_dark() -> None:
    picture = np.full((120, 160, 3), 60, np.uint8)
    picture[:60] = 220
    lit = backlight(picture, 1.5)
    assert lit[5].mean() > 200 and lit[115].mean() < 25


def test_grains_are_correlated_and_single_pixels_are_not() -> None:
    light = np.full((200, 200, 3), 0.1, np.float32)
    neighbours = [
        float(np.corrcoef(noise[:, :-1, 0].ravel(), noise[:, 1:, 0].ravel())[0, 1])
        for noise in (nights._expose_sensor(light, np.random.default_rng(2), coarse, 1) for coarse in (False, True))  # pyright: ignore[reportPrivateUsage]
    ]
    assert abs(neighbours[0]) < 0.05 < 0.15 < neighbours[1]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for index in range(20):
        height, width = (330, 490) if index % 3 else (490, 330)
        cv2.imwrite(str(folder / f"{index:02}.png"), _photograph(index, height, width))
    return folder


def test_every_tenth_photograph_is_kept_from_training(photographs: Path) -> None:
    train, val = (find_photographs(photographs, split) for split in ("train", "val"))
    assert [pair.name for pair in val] == ["00", "10"]
    assert len(train) == 18 and not {pair.high for pair in train} & {pair.high for pair in val}
    with pytest.raises(DataError, match="expected at least 10"):
        find_photographs(photographs.parent, "train")


def test_a_batch_of_scenes_is_a_function_of_seed_and_step(pairs_folder: Path, photographs: Path) -> None:
    def batches(seed: int) -> SceneBatches:
        stores = PairStore(find_pairs(pairs_folder, "train")), PairStore(find_photographs(photographs, "train"))
        return SceneBatches(*stores, SceneCut(2, 3, 32, (0.5, 2.0)), seed, torch.device("cpu"))

    stream = batches(5).iterate(7)
    for step in (7, 8):
        for one, other in zip(next(stream), batches(5).batch(step), strict=True):
            assert torch.equal(one.low, other.low) and torch.equal(one.overviews[0].bright, other.overviews[0].bright)
            assert one.corners == other.corners
    assert not torch.equal(batches(5).batch(7)[1].low, batches(6).batch(7)[1].low)


def test_a_crop_is_the_part_of_the_overview_that_its_corner_says(pairs_folder: Path, photographs: Path) -> None:
    stores = PairStore(find_pairs(pairs_folder, "train")), PairStore(find_photographs(photographs, "train"))
    for side in (4, 6):
        cut = SceneCut(3, 2, 48, sides=(side,))
        for group in SceneBatches(*stores, cut, 0, torch.device("cpu")).batch(0):
            reduced, squares = torch.nn.functional.avg_pool2d(group.high, side), 48 // side
            for one, whole, (row, column) in zip(reduced, group.overviews[0].bright, group.corners, strict=True):
                assert torch.allclose(one, whole[:, row : row + squares, column : column + squares], atol=1e-5)


def test_the_side_of_squares_is_drawn_and_fits_the_crop(pairs_folder: Path, photographs: Path) -> None:
    stores = PairStore(find_pairs(pairs_folder, "train")), PairStore(find_photographs(photographs, "train"))
    drawn = SceneBatches(*stores, SceneCut(3, 2, 48, sides=(4, 6)), 0, torch.device("cpu"))
    groups = [group for step in range(8) for group in drawn.batch(step)]
    assert {group.side for group in groups} == {4, 6}
    for group in groups:
        heights = [each.dark.shape[2] * side for each, side in zip(group.overviews, (group.side, 10 - group.side), strict=True)]
        assert heights[0] == heights[1] and heights[0] % 12 == 0  # both of the whole scene
    with pytest.raises(DataError, match="whole squares of 5"):
        SceneBatches(*stores, SceneCut(3, 2, 48, sides=(5,)), 0, torch.device("cpu")).batch(0)


def test_some_photographs_are_enlarged(pairs_folder: Path, photographs: Path) -> None:
    stores = PairStore(find_pairs(pairs_folder, "train")), PairStore(find_photographs(photographs, "train"))
    sizes = {
        share: {
            SceneBatches(*stores, SceneCut(1, 1, 48, enlarged=share), 0, torch.device("cpu"))
            .batch(step)[1]
            .overviews[0]
            .dark.shape[2:]
            for step in range(6)
        }
        for share in (0.0, 1.0)
    }
    assert sizes == {0.0: {(80, 120), (120, 80)}, 1.0: {(120, 180), (180, 120)}}


def test_halved_scenes_are_the_same_overviews_with_noise_as_if_they_were_whole(pairs_folder: Path, photographs: Path) -> None:
    stores = PairStore(find_pairs(pairs_folder, "train")), PairStore(find_photographs(photographs, "train"))
    whole, halved = (
        SceneBatches(*stores, SceneCut(2, 3, 12, sides=(side,), halved=side == 3), 0, torch.device("cpu")).batch(0)
        for side in (6, 3)
    )
    for one, other in zip(whole, halved, strict=True):
        assert one.overviews[0].bright.shape == other.overviews[0].bright.shape
    levels = [batch[0].overviews[0].bright.mean((1, 2, 3)) for batch in (whole, halved)]  # which flips leave as they are
    assert torch.allclose(levels[0], levels[1], atol=0.01)

    flat, noisy = np.full((64, 64, 3), 120, np.uint8), Shares(0, 0, 0, 0, 0, 0, 0)
    single, averaged = (
        float(make_night(flat, np.random.default_rng(3), noisy, averaged)[0].astype(float).std()) for averaged in (1, 16)
    )
    assert single > 2 * averaged > 0


def test_photographs_that_are_missing_or_small_are_named(pairs_folder: Path, photographs: Path) -> None:
    pairs = PairStore(find_pairs(pairs_folder, "train"))
    with pytest.raises(DataError, match="--photographs"):
        SceneBatches(pairs, None, SceneCut(1, 1, 32), 0, torch.device("cpu"))
    with pytest.raises(DataError, match="fewer than 40 photographs"):
        SceneBatches(
            pairs, PairStore(find_photographs(photographs, "train")), SceneCut(1, 40, 32), 0, torch.device("cpu")
        ).batch(0)
