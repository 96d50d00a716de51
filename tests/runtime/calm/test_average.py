"""The mean over time: less noise where nothing moves, and no trace of what moved."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.calm import average
from runtime.calm.average import Average
from runtime.images import Images
from tests.support.calm import GAIN, noisy, scene


def _run(frames: list[Images]) -> list[Images]:
    mean = Average()
    return [mean.add(frame // GAIN, frame) for frame in frames]


def _error(picture: Images, truth: NDArray[np.float32]) -> float:
    return float(np.square(picture - truth).mean())


@pytest.mark.parametrize("size", [(96, 160), (97, 131), (33, 47)])
def test_noise_of_a_still_scene_averages_away(size: tuple[int, int]) -> None:
    still = scene(*size)
    frames = [noisy(still, number) for number in range(16)]
    found = _run(frames)
    assert np.array_equal(found[0], frames[0])
    assert _error(found[-1], still) < 0.25 * _error(frames[-1], still)  # 6 dB
    changes = [float(np.abs(np.diff(np.stack(each[8:]).astype(np.int16), axis=0)).mean()) for each in (found, frames)]
    assert changes[0] < 0.3 * changes[1]


@pytest.mark.parametrize("speed", [1, 3, 8])
def test_nothing_trails_behind_a_moving_edge(speed: int) -> None:
    """Where a thing was and is no more, frames are as near to the truth as they come, and no nearer to the past."""
    still = scene(120, 240)
    frames: list[Images] = []
    truths: list[NDArray[np.float32]] = []
    for number in range(14):
        truth = still.copy()
        truth[40:80, 20 + speed * number : 60 + speed * number] = (230, 40, 120)
        truths.append(truth)
        frames.append(noisy(truth, number))
    found = _run(frames)
    uncovered = slice(20 + speed * 13 - 3 * speed, 20 + speed * 13)  # by the last three frames
    last, truth = found[-1][42:78, uncovered].astype(np.float32), truths[-1][42:78, uncovered]
    past = truths[-4][42:78, uncovered]
    # The share of the past that is left, where it differed.
    left = float(((last - truth) * (past - truth)).sum() / np.square(past - truth).sum())
    assert abs(left) < 0.02
    assert _error(last.astype(np.uint8), truth) < 1.2 * _error(frames[-1][42:78, uncovered], truth)


def test_no_ghost_after_a_cut() -> None:
    frames = [noisy(scene(96, 160), number) for number in range(10)]
    other = scene(96, 160, seed=5)
    after = noisy(other, 99)
    found = _run([*frames, after])[-1]
    assert _error(found, other) < 1.3 * _error(after, other)


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (0, 3), (2, -5), (-7, 0)])
def test_a_camera_that_pans_is_followed(rows: int, columns: int) -> None:
    large = scene(320, 480)
    truths = [large[100 + rows * k : 260 + rows * k, 120 + columns * k : 360 + columns * k] for k in range(12)]
    frames = [noisy(truth, number) for number, truth in enumerate(truths)]
    found = _run(frames)
    inner = slice(30, -30), slice(30, -30)
    assert _error(found[-1][inner], truths[-1][inner]) < 0.4 * _error(frames[-1][inner], truths[-1][inner])


def test_where_everything_moves_its_own_way_every_frame_stands_alone() -> None:
    """Motion that no shift of the picture follows must not be taken for noise."""
    large = scene(320, 480)
    truths: list[NDArray[np.float32]] = []
    for k in range(12):
        halves = large[100:180, 120 + 3 * k : 360 + 3 * k], large[180:260, 120 - 3 * k : 360 - 3 * k]
        truths.append(np.concatenate(halves))
    frames = [noisy(truth, number, 3.0) for number, truth in enumerate(truths)]
    found = _run(frames)
    assert _error(found[-1], truths[-1]) < 1.1 * _error(frames[-1], truths[-1])


def test_movement_is_found_in_pixels() -> None:
    large = noisy(scene(320, 480), 0)
    here, there = (np.ascontiguousarray(large[top : top + 200, left : left + 300]) for top, left in ((60, 80), (56, 91)))
    halves = [
        np.asarray(cv2.resize(each, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8) for each in (there, here)
    ]
    rows, columns = average.movement(*halves)
    assert abs(rows - 4) <= 1 and abs(columns + 11) <= 1
    assert np.array_equal(average.shifted(here, 4, -11)[4:, :-11], there[4:, :-11])


@pytest.mark.parametrize("step", [-6, -2, 1, 4])
def test_a_fade_is_followed(step: int) -> None:
    still = scene(96, 160) * 0.5 + 60
    frames = [np.clip(noisy(still, number).astype(np.int16) + step * number, 0, 255).astype(np.uint8) for number in range(10)]
    for found, frame in zip(_run(frames), frames, strict=True):
        assert abs(float(found.mean()) - float(frame.mean())) < 2.5


@pytest.mark.parametrize(("value", "step"), [(255, 8), (0, -8)])
def test_what_is_white_or_black_stays_so_in_a_fade(value: int, step: int) -> None:
    """The mean is made as much brighter as the rest, and no more than white."""
    mean = Average()
    for number in range(3):
        frame = np.full((96, 160, 3), 120 + step * number, np.uint8)
        frame[20:50, 20:50] = value
        assert np.array_equal(mean.add(frame // GAIN, frame)[20:50, 20:50], frame[20:50, 20:50])


def test_a_change_of_size_begins_anew() -> None:
    mean = Average()
    for size in ((64, 96), (48, 64)):
        frame = noisy(scene(*size), 0)
        assert np.array_equal(mean.add(frame, frame), frame)


def test_results_are_the_callers_own() -> None:
    frames = [noisy(scene(64, 96), number) for number in range(4)]
    expected = [each.copy() for each in _run(frames)]
    mean = Average()
    for frame, wanted in zip(frames, expected, strict=True):
        found = mean.add(frame // GAIN, frame)
        assert np.array_equal(found, wanted)
        found[:] = 0
