"""Colours: what comes out means what went in, whatever matrix and range it was coded with, and is tagged so."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from runtime import InputError
from runtime.images import Images
from runtime.media import films
from runtime.media.films import color, hdr
from tests.support.films import STEADY, shown, write_film

LIMITED, FULL = 1, 2
BT709, BT470BG, SMPTE170M, BT2020, PQ, HLG = 1, 5, 6, 9, 16, 18
PATCH = (200, 60, 90)


def _same(image: Images) -> Images:
    return image


def _patches(size: tuple[int, int] = (64, 48)) -> list[Images]:
    return [np.full((size[1], size[0], 3), PATCH, np.uint8) for _ in range(3)]


@pytest.mark.parametrize(("limits", "matrix"), [*itertools.product((LIMITED, FULL), (BT709, BT470BG, SMPTE170M))])
def test_colours_survive_matrix_and_range(tmp_path: Path, limits: int, matrix: int) -> None:
    tags = (limits, matrix, matrix, BT709 if matrix == BT709 else SMPTE170M)
    source = write_film(tmp_path / "in.mp4", _patches(), STEADY[:3], tags=tags, options={"crf": "1"})
    seen: list[Images] = []
    films.enhance(lambda image: seen.append(image) or image, source, tmp_path / "out.mp4")
    assert np.abs(seen[0][10, 10].astype(int) - PATCH).max() <= 2
    assert np.abs(shown(tmp_path / "out.mp4").frames[0][10, 10].astype(int) - PATCH).max() <= 4
    assert _tags(tmp_path / "out.mp4") == (LIMITED, *tags[1:])


def _tags(path: Path) -> tuple[int, int, int, int]:
    with av.open(str(path)) as film:
        context = film.streams.video[0].codec_context
        return context.color_range, context.colorspace, context.color_primaries, context.color_trc


@pytest.mark.parametrize(("size", "matrix"), [((64, 48), SMPTE170M), ((64, 720), BT709)])
def test_untagged_films_are_read_as_players_do(tmp_path: Path, size: tuple[int, int], matrix: int) -> None:
    source = write_film(tmp_path / "in.mkv", _patches(size), STEADY[:3], tags=None)
    films.enhance(_same, source, tmp_path / "out.mp4")
    assert _tags(tmp_path / "out.mp4")[:2] == (LIMITED, matrix)


def test_ten_bits_become_eight_and_it_is_said(tmp_path: Path) -> None:
    tags = (LIMITED, BT709, BT709, BT709)
    source = write_film(tmp_path / "in.mkv", _patches(), STEADY[:3], codec="libx265", pixel_format="yuv420p10le", tags=tags)
    assert films.enhance(_same, source, tmp_path / "out.mp4") == "10 bits a channel became 8"
    assert np.abs(shown(tmp_path / "out.mp4").frames[0][10, 10].astype(int) - PATCH).max() <= 4


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG")])
def test_hdr_becomes_sdr_and_says_so(tmp_path: Path, transfer: int, name: str) -> None:
    tags = (LIMITED, BT2020, BT2020, transfer)
    frames = [np.full((48, 64, 3), 90, np.uint8) for _ in range(3)]
    source = write_film(tmp_path / "in.mkv", frames, STEADY[:3], codec="libx265", pixel_format="yuv420p10le", tags=tags)
    note = films.enhance(_same, source, tmp_path / "out.mp4")
    assert note == f"HDR ({name}, 10 bits) became SDR (BT.709, 8 bits)"
    assert _tags(tmp_path / "out.mp4") == (LIMITED, BT709, BT709, BT709)
    code = np.full((1, 1, 3), round(90 / 255 * 65535), np.uint16)
    expected = hdr.to_sdr(code, "pq" if transfer == PQ else "hlg")[0, 0, 0]
    assert abs(shown(tmp_path / "out.mp4").frames[0].mean() - expected) <= 3


def _pq(light: float) -> int:
    """The 16-bit PQ code of cd/m2, by the formula of SMPTE ST 2084."""
    power = (light / 10000) ** (2610 / 16384)
    return round(((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32) * 65535)


def test_dark_light_keeps_its_amount_and_highlights_are_told_apart() -> None:
    codes = np.array([_pq(light) for light in (0.5, 5, 50, 203, 500, 1000, 4000)], np.uint16)
    found = hdr.to_sdr(np.repeat(codes[None, :, None], 3, axis=2), "pq")[0, :, 0].astype(int)
    for light, code in zip((0.5, 5, 50), found, strict=False):
        amount = light / 203
        assert abs(code - 255 * (4.5 * amount if amount < 0.018 else 1.099 * amount**0.45 - 0.099)) <= 1.5
    assert 180 < found[3] < found[4] < found[5] == found[6] == 255


def test_wide_colours_become_narrow_ones() -> None:
    """BT.2020's red is outside BT.709: it is clipped, and grey stays grey."""
    codes = np.array([[[_pq(100), _pq(1), _pq(1)], [_pq(100)] * 3]], np.uint16)
    red, even = hdr.to_sdr(codes, "pq")[0]
    assert red[0] > 150 and red[1] == 0
    assert max(even) - min(even) <= 1


def test_a_matrix_that_cannot_be_converted_is_refused() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.colorspace = 14  # ICtCp
    with pytest.raises(InputError, match="coded by matrix 14 of ISO 23091-4"):
        color.reading(frame)


def test_frames_of_odd_size_keep_their_edges(tmp_path: Path) -> None:
    frames = [np.tile(np.arange(65, dtype=np.uint8)[None, :, None], (47, 1, 3)) for _ in range(3)]
    source = write_film(tmp_path / "in.mkv", frames, STEADY[:3], codec="ffv1", pixel_format="bgr0", time_base=Fraction(1, 1000))
    seen: list[Images] = []
    films.enhance(lambda image: seen.append(image) or image, source, tmp_path / "out.mp4")
    assert np.array_equal(seen[0], frames[0])
