"""Layouts of a data folder, and what is said about wrong ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from train.batches import USUAL_MEAN, Batches, Cut
from train.darkening import darken
from train.errors import DataError
from train.pairs import Pair, PairStore, find_pairs, read_picture

CPU = torch.device("cpu")


def write(path: Path, value: int = 50, size: tuple[int, int] = (48, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(value)
    cv2.imwrite(str(path), random.integers(value // 2, value + 1, (*size, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty-four pairs in low and high."""
    for index in range(24):
        write(tmp_path / "low" / f"{index}.png", 10 + index)
        write(tmp_path / "high" / f"{index}.png", 150 + index)
    return tmp_path


def test_low_and_high(folder: Path) -> None:
    train, val = find_pairs(folder, "train"), find_pairs(folder, "val")
    # The last twelfth, in numerical order: a run, not a draw.
    assert [pair.name for pair in val] == ["22", "23"]
    assert len(train) == 22
    assert all(pair.low and pair.low.stem == pair.high.stem for pair in train + val)


def test_lol_as_distributed(tmp_path: Path) -> None:
    for part, names in (("our485", "abc"), ("eval15", "d")):
        for name in names:
            write(tmp_path / part / "low" / f"{name}.png", ord(name))
            write(tmp_path / part / "high" / f"{name}.png", 2 * ord(name))
    for _ in range(2):
        # The test pictures choose no network: validation is the tail of our485, with and without eval15.
        assert [pair.name for pair in find_pairs(tmp_path, "train")] == ["a", "b"]
        assert [pair.name for pair in find_pairs(tmp_path, "val")] == ["c"]
        shutil.rmtree(tmp_path / "eval15", ignore_errors=True)


def test_equal_bright_files_stay_on_one_side(folder: Path) -> None:
    shutil.copyfile(folder / "high" / "23.png", folder / "high" / "3.png")
    assert [pair.name for pair in find_pairs(folder, "val")] == ["3", "22", "23"]
    train = [pair.name for pair in find_pairs(folder, "train")]
    assert len(train) == 21 and "3" not in train


def test_pairs_csv_may_share_a_bright_picture(folder: Path) -> None:
    (folder / "pairs.csv").write_text(
        "low,high,split\nlow/1.png,high/2.png,train\nlow/2.png,high/2.png,train\nlow/3.png,high/3.png,val\n"
    )
    assert [(pair.name, pair.high.name) for pair in find_pairs(folder, "train")] == [("1", "2.png"), ("2", "2.png")]
    assert len(find_pairs(folder, "val")) == 1


def test_normal_photographs_are_darkened(tmp_path: Path) -> None:
    for index in range(3):
        write(tmp_path / f"{index}.jpg", 200 + index)
    pairs = find_pairs(tmp_path, "train")
    assert [pair.low for pair in pairs] == [None, None]
    batch = Batches(PairStore(pairs), Cut(batch=2, crop=32), seed=1, device=CPU).batch(0)
    assert batch.low.mean() < 0.5 * batch.high.mean()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "high" / "7.png").unlink(), "7 has no counterpart"),
        (lambda f: (f / "pairs.csv").write_text("a,b\n1,2\n"), "needs the columns low, high and split"),
        (
            lambda f: (f / "pairs.csv").write_text("low,high,split\nlow/1.png,high/2.png,train\nlow/2.png,high/2.png,val\n"),
            "has high/2.png in both train and val",
        ),
        (
            lambda f: (f / "pairs.csv").write_text("low,high,split\nlow/1.png,high/99.png,train\n"),
            "99.png, which does not exist",
        ),
    ],
)
def test_a_spoilt_folder_is_named(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(folder)
    with pytest.raises(DataError, match=message):
        find_pairs(folder, "train")


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        find_pairs(tmp_path / "none", "train")
    with pytest.raises(DataError, match="holds no picture"):
        find_pairs(tmp_path, "train")


def test_damaged_and_unequal_pictures(folder: Path) -> None:
    (folder / "low" / "0.png").write_bytes(b"\x89PNG damaged")
    write(folder / "low" / "1.png", size=(40, 64))
    store = PairStore(find_pairs(folder, "train"))
    with pytest.raises(DataError, match=r"0\.png is not a picture or is damaged"):
        store[0]
    with pytest.raises(DataError, match=r"1\.png is 64x40.*64x48"):
        store[1]
    with pytest.raises(DataError, match="smaller than the crop of 100"):
        Batches(PairStore(find_pairs(folder, "train")[2:]), Cut(batch=1, crop=100), 0, CPU).batch(0)


def test_channels_are_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((4, 4, 3), (0, 0, 255), np.uint8))
    assert read_picture(tmp_path / "red.png")[0, 0].tolist() == [255, 0, 0]


def test_memory_is_limited_and_decoding_is_not_repeated(folder: Path) -> None:
    pairs = find_pairs(folder, "train")
    small = PairStore(pairs, limit_bytes=2 * 48 * 64 * 3)
    assert small[0][1] is small[0][1]
    assert small[1][1] is not small[1][1]


def test_a_batch_depends_on_seed_and_step_alone(folder: Path) -> None:
    pairs = find_pairs(folder, "train")
    cut = Cut(batch=4, crop=32, zoom=(1.0, 1.3), exposure=(0.5, 2.0))
    ours, theirs = (Batches(PairStore(pairs), cut, seed=3, device=CPU) for _ in range(2))
    stream = theirs.iterate(start=5)
    for step in (5, 6, 7):
        first, second = ours.batch(step), next(stream)
        assert torch.equal(first.low, second.low) and torch.equal(first.high, second.high)
    stream.close()
    assert not torch.equal(ours.batch(5).high, ours.batch(6).high)
    assert not torch.equal(Batches(PairStore(pairs), cut, seed=4, device=CPU).batch(5).high, ours.batch(5).high)


def test_shapes_ranges_and_layout_of_a_batch(folder: Path) -> None:
    batch = Batches(PairStore(find_pairs(folder, "train")), Cut(batch=3, crop=32, exposure=(2.0, 2.0)), 0, CPU).batch(0)
    assert batch.low.shape == batch.high.shape == (3, 3, 32, 32)
    assert batch.low.is_contiguous(memory_format=torch.channels_last)
    assert batch.low.min() >= 0 and batch.high.max() <= 1


def test_exposure_scales_the_dark_picture_only(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "low.png"), np.full((32, 32, 3), 40, np.uint8))
    cv2.imwrite(str(tmp_path / "high.png"), np.full((32, 32, 3), 200, np.uint8))
    store = PairStore([Pair(tmp_path / "low.png", tmp_path / "high.png")])
    batch = Batches(store, Cut(batch=1, crop=16, exposure=(1.5, 1.5)), 0, CPU).batch(0)
    assert batch.low.mean().item() == pytest.approx(60 / 255, abs=0.1 / 255)
    assert batch.high.mean().item() == pytest.approx(200 / 255)


@pytest.mark.parametrize("gain", [0.4, 2.0, 2.5])
def test_the_factor_cannot_be_read_off_the_codes(tmp_path: Path, gain: float) -> None:
    """Multiplied, codes would lie on a grid of their own, with gaps where the factor is above 1."""
    ramp = np.tile(np.arange(10, 90, dtype=np.uint8)[:, None, None], (1, 80, 3))
    for name in ("low", "high"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), ramp)
    store = PairStore([Pair(tmp_path / "low.png", tmp_path / "high.png")])
    batch = Batches(store, Cut(batch=1, crop=80, exposure=(gain, gain), flips=False), 0, CPU).batch(0)
    codes = (batch.low[0] * 255).round()
    assert torch.equal(codes / 255, batch.low[0])
    used = torch.bincount(codes.flatten().long())[int(12 * gain) : int(88 * gain)]
    assert used.min() > 0.6 * used.float().mean() and used.max() < 1.6 * used.float().mean()


@pytest.mark.parametrize(("level", "mean"), [(0.0, 0.4), (0.5, (0.4 * USUAL_MEAN) ** 0.5), (1.0, USUAL_MEAN)])
def test_a_level_draws_the_bright_picture_to_the_usual_mean(tmp_path: Path, level: float, mean: float) -> None:
    """By the mean of the whole picture: a crop of its dark half stays darker than usual."""
    bright = np.zeros((40, 40, 3), np.uint8)
    bright[20:] = 204
    for name in ("low", "high"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), bright)
    store = PairStore([Pair(tmp_path / "low.png", tmp_path / "high.png")])
    whole = Batches(store, Cut(batch=1, crop=40, level=level), 0, CPU).batch(0)
    assert whole.high.mean().item() == pytest.approx(mean, abs=1e-5)
    assert whole.low.mean().item() == pytest.approx(0.4)
    crops = [Batches(store, Cut(batch=1, crop=4, level=level), seed, CPU).batch(0).high.mean().item() for seed in range(8)]
    assert min(crops) == 0.0 and max(crops) == pytest.approx(2 * mean, abs=1e-5)


def test_a_black_picture_and_what_a_level_clips_stay_in_range(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "low.png"), np.zeros((32, 32, 3), np.uint8))
    for value in (0, 240):
        bright = np.zeros((32, 32, 3), np.uint8)
        bright[:4] = value
        cv2.imwrite(str(tmp_path / "high.png"), bright)
        store = PairStore([Pair(tmp_path / "low.png", tmp_path / "high.png")])
        high = Batches(store, Cut(batch=1, crop=32, level=1.0), 0, CPU).batch(0).high
        assert high.isfinite().all() and high.max().item() == (1.0 if value else 0.0)


def test_both_pictures_are_flipped_alike(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    for name in ("low", "high"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    batches = Batches(PairStore([Pair(tmp_path / "low.png", tmp_path / "high.png")]), Cut(batch=1, crop=24), 0, CPU)
    crops = [batches.batch(step) for step in range(12)]
    assert all(torch.allclose(crop.low, crop.high) for crop in crops)


def test_darkening_is_dark_noisy_and_repeatable() -> None:
    image = np.full((64, 64, 3), 180, np.uint8)
    first, second = (darken(image, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.dtype == np.uint8 and first.mean() < 100 and first.std() > 0
    assert darken(np.zeros((8, 8, 3), np.uint8), np.random.default_rng(1)).mean() < 20
