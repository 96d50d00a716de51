"""What people give `retinexrt enhance`, on purpose or not: no hang, no traceback, and nothing lost without a word."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.commands import enhance
from runtime.commands.main import main
from runtime.errors import GpuLostError
from runtime.media import pictures
from runtime.media.inputs import find
from runtime.media.pictures import Picture
from tests.runtime.commands.test_main import _piped  # pyright: ignore[reportPrivateUsage]
from tests.runtime.conftest import double


@pytest.fixture
def night(tmp_path: Path, dark: NDArray[np.uint8]) -> Path:
    """A picture in a folder of its own."""
    pictures.write(tmp_path / "in" / "night.png", Picture(dark))
    return tmp_path / "in" / "night.png"


def test_a_pipe_among_pictures_is_named(engine: list[str], night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("f.jpg", "g.ts"):
        os.mkfifo(night.with_name(name))
    assert main(["enhance", str(night.parent), "-o", str(night.parents[1] / "out"), *engine]) == 1
    said = capsys.readouterr().err
    assert "1 enhanced, 2 failed" in said and f"f.jpg: is a pipe, not a file; read it with: cat {night.parent}" in said
    assert main(["enhance", str(night.with_name("f.jpg")), "-o", str(night.parents[1] / "out"), *engine]) == 1
    assert "is a pipe" in capsys.readouterr().err


def test_devices_are_no_files_and_pipes_of_the_shell_are(tmp_path: Path) -> None:
    assert find(["/dev/zero"], str(tmp_path)).failures[0].reason == "is a socket or a device, not a file"
    reader, writer = os.pipe()
    try:
        assert len(find([f"/dev/fd/{reader}"], str(tmp_path)).jobs) == 1
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("size", ["100000x100000", "40000x40000"])
def test_frames_beyond_memory_are_one_line(
    engine: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    assert _piped(monkeypatch, ["enhance", "--raw", size, *engine], b"x") == (2, b"")
    assert f"at most 1,073,741,824 pixels, found {size}" in capsys.readouterr().err


def test_no_memory_for_a_frame_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def read(self, size: int) -> bytes:
            raise MemoryError

    with pytest.raises(enhance.InputError, match="a frame of 400x300 needs 0 MiB, more than this machine gives"):
        enhance._read_frame(Full(), (300, 400, 3))  # type: ignore[arg-type]


def test_names_that_begin_with_a_dash(
    engine: list[str], night: Path, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(night.parent)
    for name in ("-dash.png", "--double.png", "-o.png"):
        pictures.write(Path(name), Picture(dark))
    assert main(["enhance", "-dash.png", "--double.png", "-o.png", "-o", "../out", *engine]) == 0
    assert np.array_equal(pictures.read(Path("../out/-dash.png")).rgb, double(dark))
    assert main(["enhance", "-absent.png", "-o", "../out", *engine]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "retinexrt: retinexrt enhance knows no -absent.png; see: retinexrt enhance --help"
    )


def test_one_picture_to_stdout(
    engine: list[str], night: Path, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, data = _piped(monkeypatch, ["enhance", str(night), "-o", "-", *engine], b"")
    assert code == 0 and np.array_equal(pictures.decode(data, "stdout").rgb, double(dark))


@pytest.mark.parametrize("inputs", [["a.png", "b.png"], ["a.mp4"], ["."]])
def test_what_does_not_go_to_stdout(engine: list[str], inputs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", *inputs, "-o", "-", *engine]) == 2
    assert "-o - writes one picture to stdout" in capsys.readouterr().err


def test_stdin_into_a_folder(
    engine: list[str], tmp_path: Path, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, out in enumerate((tmp_path / "new", tmp_path)):
        data = pictures.encode(Picture(dark), (".png", ".webp")[number])
        assert _piped(monkeypatch, ["enhance", "-", "-o", str(out), *engine], data) == (0, b"")
    assert np.array_equal(pictures.read(tmp_path / "new" / "stdin.png").rgb, double(dark))
    assert (tmp_path / "stdin.webp").is_file()


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        (["night.png"], "x.gif", "cannot write .gif files (x.gif); known: .jpg"),
        (["night.png"], "o5.xyz", "for a folder of that name write o5.xyz/"),
        (["night.png", "other.png"], "single.jpg", "2 inputs go into a folder, and single.jpg is named like a file"),
        (["."], "single.jpg", "the files of a folder go into a folder"),
        (["."], "x.gif", "and x.gif is named like a file"),
    ],
)
def test_outputs_that_no_file_can_be(
    engine: list[str],
    night: Path,
    inputs: list[str],
    out: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(night.parent)
    assert main(["enhance", *inputs, "-o", out, *engine]) == 2
    assert message in capsys.readouterr().err
    assert not Path(out).exists()
    assert main(["enhance", "night.png", "-o", f"../{out}/", *engine]) == 0
    assert Path("..", out, "night.png").is_file()
    assert main(["enhance", "night.png", "-o", f"../{out}", "-q", *engine]) == 0  # a folder that is there


def test_many_files_passed_over_are_counted_by_ending(
    engine: list[str], night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        night.with_name(f"{number}.XMP" if number % 3 else f"{number}").write_bytes(b"")
    assert main(["enhance", str(night.parent), "-o", str(night.parents[1] / "out"), *engine]) == 0
    assert "12 other files passed over: 8 .xmp, 4 no ending" in capsys.readouterr().err


def test_files_written_over_and_notes_are_in_the_summary(
    engine: list[str], night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["enhance", str(night), "-o", str(night.parents[1] / "out"), *engine]
    assert main(argv) == 0 and capsys.readouterr().err == "retinexrt: 1 enhanced, 0 failed\n"
    assert main(argv) == 0
    assert capsys.readouterr().err == "retinexrt: 1 enhanced (1 over files that were there), 0 failed\n"
    pictures.write(night, Picture(np.zeros((20, 20, 3), np.uint16)))
    assert main(["enhance", str(night), "-o", str(night.parents[1] / "a.jpg"), *engine]) == 0
    assert f"{night}: with 8 of its 16 bits, .jpg holds no more" in capsys.readouterr().err


def test_without_its_gpu_a_folder_ends_with_what_is_done(
    engine: list[str], night: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every later picture would fail as the first one does, and be named for it."""
    for number in range(8):
        pictures.write(night.with_name(f"{number}.png"), Picture(np.zeros((20, 20, 3), np.uint8)))
    asked: list[int] = []
    enhance_one = pictures.enhance

    def loses(*arguments: Any, **options: Any) -> Picture:
        asked.append(len(asked))
        if len(asked) > 3:
            raise GpuLostError("cuLaunchKernel: CUDA_ERROR_ILLEGAL_ADDRESS; CUDA works no more in this process")
        return enhance_one(*arguments, **options)

    monkeypatch.setattr(pictures, "enhance", loses)
    out = night.parents[1] / "out"
    assert main(["enhance", str(night.parent), "-o", str(out), *engine]) == 1
    summary, lost, left = capsys.readouterr().err.splitlines()
    assert summary == "retinexrt: 3 enhanced, 0 failed"
    assert lost.startswith(f"retinexrt: {night.with_name('3.png')}: cuLaunchKernel: CUDA_ERROR_ILLEGAL_ADDRESS")
    assert left == f"retinexrt: what was finished is whole; 6 of 9 files are left, from {night.with_name('3.png')} on"
    assert sorted(path.name for path in out.iterdir()) == ["0.png", "1.png", "2.png"]


def test_photographs_of_telephones_and_cameras_are_found_in_folders(tmp_path: Path) -> None:
    for name in ("a.HEIC", "b.CR2", "c.jfif"):
        (tmp_path / name).write_bytes(b"x")
    found = find([str(tmp_path)], str(tmp_path / "out"))
    assert [job.target.name for job in found.jobs] == ["a.jpg", "b.png", "c.jpg"]


def test_a_path_stands_once_in_a_message(engine: list[str], night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    night.with_name("a.heic").write_bytes(b"nothing")
    assert main(["enhance", str(night.parent), "-o", str(night.parents[1] / "out"), *engine]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"retinexrt: {night.with_name('a.heic')} is ") and last.count("a.heic") == 1


def test_tiles_are_counted_on_a_terminal(artifacts: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.full((1100, 2000, 3), 30, np.uint8))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    words = [str(tmp_path / "large.png"), "-o", str(tmp_path / "out"), "--engine", str(artifacts / "blur.onnx")]
    command = [sys.executable, "-m", "runtime", "enhance", *words, "--backend", "onnxruntime"]
    done = subprocess.run(command, stderr=theirs, check=False, timeout=120)
    os.close(theirs)
    said = os.read(ours, 2**16).decode()
    assert done.returncode == 0, said
    assert "tile/s" in said and "file/s" in said
