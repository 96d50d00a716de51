"""The light of a film: noise averaged, exposure followed, nothing kept of what moved or of the scene before a cut."""

from __future__ import annotations

import numpy as np

from runtime.calm.light import FRAMES, LightWindow
from runtime.tiling import Floats

_RANDOM = np.random.default_rng(0)
_SCENE = _RANDOM.uniform(0.02, 0.2, (1, 3, 40, 60)).astype(np.float32)


def _light(value: float, level: float = 0.0) -> tuple[Floats, ...]:
    """A map with a frame of one point around it, another, and a level."""
    return (
        np.full((1, 4, 42, 62), value, np.float32),
        np.full((1, 8, 42, 62), 2 * value, np.float32),
        np.full((1, 1, 1, 1), level, np.float32),
    )


def test_the_first_frame_has_its_own_light() -> None:
    for found, given in zip(LightWindow().add(_SCENE, _light(0.5, -3.0)), _light(0.5, -3.0), strict=True):
        assert found.dtype == np.float32 and np.array_equal(found, given)


def test_what_jitters_is_averaged() -> None:
    window = LightWindow()
    found = [window.add(_SCENE, _light(0.1 * (-1) ** frame, 0.1 * (-1) ** frame)) for frame in range(2 * FRAMES)]
    for index, factor in enumerate((1, 2, 1)):
        values = np.array([float(light[index].mean()) for light in found[FRAMES:]])
        assert np.abs(np.diff(values)).max() < 0.2 * factor * 0.2


def test_a_change_of_exposure_is_followed_at_once() -> None:
    window = LightWindow()
    for frame in range(FRAMES):
        window.add(_SCENE, _light(0.3, -3.0 + 0.001 * frame))
    brighter = np.float32(np.exp(0.5))
    (curve, _, level) = window.add(_SCENE * brighter, _light(0.3, -2.5))
    assert abs(float(level[0, 0, 0, 0]) + 2.5) < 0.02
    assert np.allclose(curve, 0.3, atol=1e-3)


def test_nothing_is_kept_where_something_moved() -> None:
    window = LightWindow()
    lamp = _SCENE.copy()
    lamp[..., 10:20, 10:20] = 0.9
    for _ in range(FRAMES):
        window.add(lamp, _light(1.0))
    curve, context, _ = window.add(_SCENE, _light(0.0))
    assert curve[..., 12:20, 12:20].max() < 0.02 and context[..., 12:20, 12:20].max() < 0.04
    assert curve[..., 30:, 30:].min() > 0.5


def test_nothing_is_kept_over_a_cut_or_another_size() -> None:
    other = _RANDOM.uniform(0.02, 0.6, _SCENE.shape).astype(np.float32) ** 2
    small = tuple(each[..., :32, :32] if each.shape[2] > 1 else each for each in _light(0.0))
    for overview, light in ((other, _light(0.0)), (_SCENE[..., :30, :30], small)):
        window = LightWindow()
        for _ in range(FRAMES):
            window.add(_SCENE, _light(1.0, 1.0))
        assert all(not found.any() for found in window.add(overview, light))


def test_nothing_is_known_of_frames_before_the_window() -> None:
    """What makes segments of a film exact."""
    frames = [_SCENE * np.float32(1 + 0.05 * _RANDOM.random()) for _ in range(3 * FRAMES)]
    lights = [_light(float(_RANDOM.random()), float(_RANDOM.random())) for _ in frames]
    whole, late = LightWindow(), LightWindow()
    start = 2 * FRAMES
    for frame, light in zip(frames[:start], lights[:start], strict=True):
        whole.add(frame, light)
    for frame, light in zip(frames[start - FRAMES + 1 : start], lights[start - FRAMES + 1 : start], strict=True):
        late.add(frame, light)
    for frame, light in zip(frames[start:], lights[start:], strict=True):
        for one, other in zip(whole.add(frame, light), late.add(frame, light), strict=True):
            assert np.array_equal(one, other)
