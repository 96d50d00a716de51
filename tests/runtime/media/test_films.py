"""Films: every frame, the sound where it can be had, and what happens when a film or a disk breaks off."""

from __future__ import annotations

import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime import Enhancer, InputError, OutputError
from runtime.images import Images
from runtime.media import films, pipeline


@pytest.fixture
def enhancer(artifacts: Path) -> Enhancer:
    return Enhancer(artifacts / "double.onnx", backend="onnxruntime", threads=1)


@pytest.fixture(autouse=True)
def without_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with nothing on it but what a test puts there."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    return tools


def _film(path: Path, frames: int = 30, codec: str = "mp4v", size: tuple[int, int] = (64, 48)) -> Path:
    """Frame i has brightness 20 + i."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, size)
    for number in range(frames):
        writer.write(np.full((size[1], size[0], 3), 20 + number, np.uint8))
    writer.release()
    return path


def _frames(path: Path) -> list[Images]:
    capture = cv2.VideoCapture(str(path))
    frames: list[Images] = []
    while True:
        found, frame = capture.read()
        if not found:
            return frames
        frames.append(np.asarray(frame, np.uint8))


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v"), (".mov", "mp4v"), (".webm", "VP80"), (".mpg", "MPG1")],
)
def test_every_frame_is_enhanced(enhancer: Enhancer, tmp_path: Path, suffix: str, codec: str) -> None:
    source, target = _film(tmp_path / f"in{suffix}", codec=codec), tmp_path / "out" / f"film{suffix}"
    note = films.enhance(enhancer, source, target)
    assert note == "without sound: ffmpeg is not on the PATH"
    before, after = _frames(source), _frames(target)
    assert len(after) == len(before) == 30
    assert max(abs(b.mean() - 2 * a.mean()) for a, b in zip(before, after, strict=True)) < 4
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert cv2.VideoCapture(str(target)).get(cv2.CAP_PROP_FPS) == pytest.approx(25.0)


def test_strength_reaches_the_frames(enhancer: Enhancer, tmp_path: Path) -> None:
    source, target = _film(tmp_path / "in.avi", codec="MJPG"), tmp_path / "out.avi"
    films.enhance(enhancer, source, target, strength=0.0)
    assert np.abs(_frames(target)[10].astype(int) - _frames(source)[10]).max() <= 2


def test_a_film_that_breaks_off_keeps_what_there_was(enhancer: Enhancer, tmp_path: Path) -> None:
    source, target = _film(tmp_path / "in.avi", frames=60, codec="MJPG"), tmp_path / "out" / "film.avi"
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(InputError, match=r"breaks off after \d+ of \d+ frames; those are in .*film\.partial\.avi"):
        films.enhance(enhancer, source, target)
    assert [path.name for path in target.parent.iterdir()] == ["film.partial.avi"]
    assert 10 < len(_frames(target.parent / "film.partial.avi")) < 50


@pytest.mark.parametrize("content", [b"", b"no film at all", b"RIFF\0\0\0\0AVI LIST"])
def test_what_is_no_film_is_named(enhancer: Enhancer, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "in.avi"
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"not a video that OpenCV opens|no frame"):
        films.enhance(enhancer, source, tmp_path / "out" / "film.avi")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_frame_that_fails_leaves_nothing(enhancer: Enhancer, tmp_path: Path) -> None:
    source = _film(tmp_path / "in.avi", codec="MJPG")
    enhancer.close()
    with pytest.raises(RuntimeError, match="closed"):
        films.enhance(enhancer, source, tmp_path / "out" / "film.avi")
    assert list((tmp_path / "out").iterdir()) == []


def test_frames_that_do_not_arrive_are_noticed(enhancer: Enhancer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's writer says nothing on a full disk; here one that drops every frame from the tenth on."""
    source = _film(tmp_path / "in.avi", codec="MJPG")
    open_writer = films._open_writer  # pyright: ignore[reportPrivateUsage]

    class Dropping:
        def __init__(self, writer: cv2.VideoWriter) -> None:
            self.writer, self.left = writer, 10

        def write(self, frame: Images) -> None:
            self.left -= 1
            if self.left > 0:
                self.writer.write(frame)

        def release(self) -> None:
            self.writer.release()

    def open_dropping(path: Path, rate: float, width: int, height: int) -> Dropping:
        return Dropping(open_writer(path, rate, width, height))

    monkeypatch.setattr(films, "_open_writer", open_dropping)
    with pytest.raises(OutputError, match=r"9 of 30 frames arrived \(\d+ MiB are free\)"):
        films.enhance(enhancer, source, tmp_path / "out" / "film.avi")
    assert list((tmp_path / "out").iterdir()) == []


def _put_ffmpeg(tools: Path, script: str) -> None:
    path = tools / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_ffmpeg_is_asked_for_the_sound(enhancer: Enhancer, tmp_path: Path, without_ffmpeg: Path) -> None:
    """A stand-in that notes its arguments and appends a mark to the pictures."""
    _put_ffmpeg(
        without_ffmpeg,
        f'echo "$@" > {tmp_path}/arguments\nfor last; do :; done\n/bin/cat "$6" > "$last"; printf SOUND >> "$last"',
    )
    source, target = _film(tmp_path / "in.avi", codec="MJPG"), tmp_path / "out" / "film.avi"
    assert films.enhance(enhancer, source, target) == ""
    assert target.read_bytes().endswith(b"SOUND")
    arguments = (tmp_path / "arguments").read_text()
    assert f"-i {source}" in arguments and "-map 0:v:0 -map 1:a? -c copy" in arguments
    assert [path.name for path in target.parent.iterdir()] == ["film.avi"]


def test_sound_that_does_not_fit_is_said_and_costs_nothing(enhancer: Enhancer, tmp_path: Path, without_ffmpeg: Path) -> None:
    _put_ffmpeg(without_ffmpeg, "echo 'codec not supported in container' >&2; exit 1")
    source, target = _film(tmp_path / "in.avi", codec="MJPG"), tmp_path / "out" / "film.avi"
    assert films.enhance(enhancer, source, target) == (
        "without sound: ffmpeg could not copy it (codec not supported in container)"
    )
    assert len(_frames(target)) == 30


def test_memory_is_bounded_by_frames_in_flight(enhancer: Enhancer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding stops when it is too far ahead of a network that is slower."""
    source = _film(tmp_path / "in.avi", frames=200, codec="MJPG", size=(32, 32))
    overlap = pipeline.overlap
    alive: list[int] = [0, 0]

    def watched(items, load, work, store, **options):  # type: ignore[no-untyped-def]
        def counted_load(item):  # type: ignore[no-untyped-def]
            alive[0] += 1
            alive[1] = max(alive)
            return load(item)

        def counted_store(item, made):  # type: ignore[no-untyped-def]
            alive[0] -= 1
            return store(item, made)

        return overlap(items, counted_load, work, counted_store, **options)

    monkeypatch.setattr(pipeline, "overlap", watched)
    films.enhance(enhancer, source, tmp_path / "out.avi")
    assert len(_frames(tmp_path / "out.avi")) == 200
    assert alive[1] <= 12


def test_an_unwritable_folder_is_named(enhancer: Enhancer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        films.enhance(enhancer, _film(tmp_path / "in.avi", codec="MJPG"), tmp_path / "file" / "film.avi")
