"""The pictures of the parity check are the ones that the project promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.pictures import parity_set

#: What networks are exported with; a graph that only runs there must not pass.
EXPORT_EXAMPLE = (80, 96)


def test_hard_pictures_cover_what_breaks_networks() -> None:
    found = {case.name: case.images for case in parity_set.hard_cases()}
    assert not found["black"].any()
    assert set(np.unique(found["one code"])) == {1}
    assert set(np.unique(found["white"])) == {255}
    assert np.count_nonzero(found["one bright pixel"].any(axis=-1)) == 1
    assert found["noise"].std() > 50
    shapes = [images.shape for images in found.values()]
    assert any(shape[1:3] == (16, 16) for shape in shapes)
    assert any(shape[1] % 2 and shape[2] % 2 for shape in shapes)
    assert any(shape[0] > 1 for shape in shapes)


def test_without_data_dark_photographs_are_made_up_and_always_the_same() -> None:
    first, second = (parity_set.photographs(3, parity_set.SMALL, None) for _ in range(2))
    assert len(first) == 4
    for one, other in zip(first, second, strict=True):
        assert one.kind == "photograph"
        assert np.array_equal(one.images, other.images)
        assert one.images.shape[1:3] != EXPORT_EXAMPLE
        assert 2 < one.images.mean() < 60
    assert first[-1].images.shape[0] == 2


def test_photographs_come_from_both_folders_and_keep_their_pixels(data: Path) -> None:
    found = parity_set.photographs(4, (97, 131), data)
    names = [case.name for case in found]
    assert any(name.startswith("LOL/") for name in names)
    assert any(name.startswith("unpaired/") for name in names)
    assert all(case.images.shape[1:3] == (97, 131) for case in found[:-1])
    assert all(case.images.mean() < 128 for case in found)


def test_validation_scenes_only(data: Path) -> None:
    rows = dict(line.split(",")[::2] for line in (data / "LOL" / "pairs.csv").read_text().split()[1:])
    names = [case.name for case in parity_set.photographs(8, (64, 64), data) if case.name.startswith("LOL/")]
    assert names
    assert all(rows[name.removeprefix("LOL/")] == "val" for name in names)
