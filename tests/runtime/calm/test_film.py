"""Film: calmer than frame by frame, the same at first, and off where it is asked to be."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

import runtime
from runtime import Enhancer, Film, InputError
from runtime.calm.film import SteadyEnhancer
from runtime.calm.light import FRAMES
from runtime.images import Images

_HEIGHT, _WIDTH = 96, 128


def _frames(count: int, light: Callable[[int], float] = lambda _: 0.2, step: int = 0) -> list[Images]:
    """A dark scene, its light from frame to frame, moving to the left by `step` pixels, with noise."""
    random = np.random.default_rng(3)
    large = cv2.resize(random.integers(10, 250, (14, 30, 3)).astype(np.float32), (300, 140), interpolation=cv2.INTER_CUBIC)
    result: list[Images] = []
    for number in range(count):
        window = large[20 : 20 + _HEIGHT, number * step : number * step + _WIDTH] * light(number)
        result.append(np.clip(np.rint(window + random.normal(0, 2, window.shape)), 0, 255).astype(np.uint8))
    return result


@pytest.fixture(scope="module")
def dawn() -> Enhancer:
    return Enhancer("dawn", backend="onnxruntime", threads=1)


def _change(frames: list[Images], step: int) -> float:
    film = np.stack(frames).astype(np.float32)
    width = film.shape[2] - step
    return float(np.abs(film[1:, :, :width] - film[:-1, :, step:]).mean() / film.mean())


@pytest.mark.parametrize(
    ("light", "step"), [(lambda _: 0.2, 0), (lambda k: 0.2 * np.exp(0.1 * (-1) ** k), 0), (lambda _: 0.2, 3)]
)
def test_it_flickers_less_than_frame_by_frame_and_than_the_film_itself(
    dawn: Enhancer, light: Callable[[int], float], step: int
) -> None:
    frames = _frames(10, light, step)
    film = Film(dawn)
    calm, alone = [film(frame) for frame in frames], [dawn(frame) for frame in frames]
    assert _change(calm, step) < 0.8 * _change(alone, step)
    assert _change(calm, step) < _change(frames, step)


def test_the_first_frame_is_not_delayed(dawn: Enhancer) -> None:
    frames = _frames(3)
    film = Film(dawn)
    first = film(frames[0])
    assert np.abs(first.astype(np.int16) - dawn(frames[0])).max() <= 1
    film(frames[1])
    film.reset()
    assert np.array_equal(film(frames[0]), first)


def test_nothing_of_the_scene_before_a_cut(dawn: Enhancer) -> None:
    film = Film(dawn)
    for frame in _frames(8):
        film(frame)
    after = np.ascontiguousarray(_frames(1, lambda _: 0.5)[0][::-1, ::-1])
    apart = np.abs(film(after).astype(np.int16) - dawn(after))
    assert np.quantile(apart, 0.99) <= 3


def test_calm_zero_is_the_enhancer(dawn: Enhancer) -> None:
    frames = _frames(3)
    film = Film(dawn, calm=0)
    assert all(np.array_equal(film(frame), dawn(frame)) for frame in frames)
    assert np.array_equal(Film(dawn)(frames[0], strength=0), frames[0])


def test_a_network_of_one_piece_is_averaged_alone(artifacts: object) -> None:
    film = Film(Enhancer(f"{artifacts}/double.onnx", backend="onnxruntime", threads=1))
    frames = _frames(8)
    calm = [film(frame) for frame in frames]
    assert np.array_equal(calm[0], np.minimum(frames[0].astype(np.int32) * 2, 255))
    assert _change(calm, 0) < 0.8 * _change(frames, 0)


def test_the_light_knows_nothing_before_its_window(dawn: Enhancer) -> None:
    frames = _frames(FRAMES + 6, lambda k: 0.2 + 0.01 * k, 1)
    whole = SteadyEnhancer(dawn)
    assert whole.frames == FRAMES
    expected = [whole(frame) for frame in frames]
    late = SteadyEnhancer(dawn)
    start = FRAMES + 2
    for frame in frames[start - FRAMES + 1 : start]:
        late.look(frame)
    assert all(np.array_equal(late(frames[k]), expected[k]) for k in range(start, len(frames)))


def test_a_gated_frame_ends_the_window(dawn: Enhancer) -> None:
    """Else what comes of a frame would depend on frames from long ago."""
    dark, bright = _frames(2), np.full((_HEIGHT, _WIDTH, 3), 200, np.uint8)
    film = SteadyEnhancer(dawn)
    film(dark[0], gate=True)
    assert np.array_equal(film(bright, gate=True), bright)
    assert np.array_equal(film(dark[1], gate=True), SteadyEnhancer(dawn)(dark[1], gate=True))


@pytest.mark.parametrize("calm", [-0.1, 1.5, True, "much"])
def test_what_is_not_calm(calm: object) -> None:
    with pytest.raises(InputError, match="calm lies between 0"):
        Film(lambda image: image, calm=calm)  # pyright: ignore[reportArgumentType]


def test_what_is_no_enhancer() -> None:
    with pytest.raises(InputError, match=r"as Film\(Enhancer\('dawn-live'\)\), found 'dawn'"):
        Film("dawn")  # pyright: ignore[reportArgumentType]


def test_what_is_no_frame() -> None:
    film = runtime.Film(lambda image: image)
    for wrong in (np.zeros((4, 16, 16, 3), np.uint8), np.zeros((16, 16, 3), np.float32), "film.mp4"):
        with pytest.raises(InputError, match="a film's frame is"):
            film(wrong)  # pyright: ignore[reportArgumentType]


def test_openvino_renders_frames_as_it_enhances_pictures() -> None:
    """With a model for the film's own size, made anew where the size changes."""
    with Enhancer("dawn", backend="openvino", threads=1) as enhancer:
        film = SteadyEnhancer(enhancer)
        for shape in ((96, 128), (80, 112)):
            for frame in (np.ascontiguousarray(each[: shape[0], : shape[1]]) for each in _frames(2)):
                film.reset()
                assert np.abs(film(frame).astype(np.int16) - enhancer(frame)).max() <= 1
