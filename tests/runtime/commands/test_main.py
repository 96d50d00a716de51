"""The command line, mostly in this process, and in one of its own where signals and pipes matter."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import runtime.cuda
from runtime.artifact import locate
from runtime.commands.main import _SCRIPTS, main  # pyright: ignore[reportPrivateUsage]
from runtime.media import pictures
from runtime.media.inputs import Failure, find
from runtime.media.pictures import Picture
from tests.runtime.conftest import double, make_info, write_artifact
from tests.support.processes import start

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def photographs(tmp_path: Path, dark: NDArray[np.uint8]) -> Path:
    """in/a.png, in/below/b.png, in/below/c.jpg and things that are no pictures."""
    folder = tmp_path / "in"
    for name in ("a.png", "below/b.png", "below/c.jpg"):
        pictures.write(folder / name, Picture(dark))
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_keeps_its_structure(
    engine: list[str], photographs: Path, dark: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    out = photographs.parent / "out"
    assert main(["enhance", str(photographs), "-o", str(out), *engine]) == 0
    assert _tree(out) == ["a.png", "below/b.png", "below/c.jpg"]
    assert np.array_equal(pictures.read(out / "below/b.png").rgb, double(dark))
    captured = capsys.readouterr()
    assert captured.err == "retinexrt: 3 enhanced, 0 failed, 1 other file passed over: notes.txt\n"
    assert captured.out == ""


def test_one_file_becomes_a_file_or_goes_into_a_folder(engine: list[str], photographs: Path) -> None:
    source, base = str(photographs / "a.png"), photographs.parent
    assert main(["enhance", source, "-o", str(base / "x" / "bright.webp"), *engine]) == 0
    assert main(["enhance", source, "-o", str(base / "folder"), *engine]) == 0
    assert (base / "x" / "bright.webp").is_file() and (base / "folder" / "a.png").is_file()


def test_strength_and_gate_reach_the_network(engine: list[str], photographs: Path, dark: NDArray[np.uint8]) -> None:
    source, out = str(photographs / "a.png"), photographs.parent / "out.png"
    assert main(["enhance", source, "-o", str(out), "--strength", "0", *engine]) == 0
    assert np.array_equal(pictures.read(out).rgb, dark)
    assert main(["enhance", source, "-o", str(out), "--gate", "--strength", "1", *engine]) == 0
    assert not np.array_equal(pictures.read(out).rgb, double(dark))


def test_failures_are_summed_up_and_cost_the_others_nothing(
    engine: list[str], photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "broken.jpg").write_bytes((photographs / "below/c.jpg").read_bytes()[:300])
    (photographs / "film.avi").write_bytes(b"no film")
    pictures.write(photographs / "tiny.png", Picture(np.zeros((15, 40, 3), np.uint8)))
    out = photographs.parent / "out"
    assert main(["enhance", str(photographs), str(photographs / "absent.png"), "-o", str(out), *engine]) == 1
    assert _tree(out) == ["a.png", "below/b.png", "below/c.jpg"]
    lines = capsys.readouterr().err.splitlines()
    assert "retinexrt: 3 enhanced, 4 failed, 1 other file passed over: notes.txt" in lines
    for name, reason in {
        "absent.png": "does not exist", "broken.jpg": "is truncated", "film.avi": "not a video", "tiny.png": "15x40"
    }.items():  # fmt: skip
        assert sum(name in line and reason in line for line in lines) == 1
    assert not any("Traceback" in line for line in lines)


def test_quiet_says_only_what_failed(engine: list[str], photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(photographs.parent / "out")
    assert main(["enhance", "-q", str(photographs / "a.png"), "-o", out, *engine]) == 0
    assert capsys.readouterr().err == ""
    assert main(["enhance", "-q", str(photographs / "absent.png"), "-o", out, *engine]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("out", ["in", "in/a.png", "in/../in"])
def test_inputs_are_never_written_over(
    engine: list[str], photographs: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (photographs / "a.png").read_bytes()
    assert main(["enhance", str(photographs / "a.png"), "-o", str(photographs.parent / out), *engine]) == 1
    assert (photographs / "a.png").read_bytes() == before
    assert "would write over the input" in capsys.readouterr().err


def test_two_inputs_do_not_become_one_file(engine: list[str], photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures.write(photographs / "other" / "b.png", Picture(np.full((20, 20, 3), 9, np.uint8)))
    inputs = [str(photographs / "below" / "b.png"), str(photographs / "other" / "b.png")]
    assert main(["enhance", *inputs, "-o", str(photographs.parent / "out"), *engine]) == 1
    assert "so would" in capsys.readouterr().err
    assert _tree(photographs.parent / "out") == ["b.png"]


def test_the_output_folder_inside_the_input_is_not_read_again(engine: list[str], photographs: Path) -> None:
    out = photographs / "bright"
    for _ in range(2):
        assert main(["enhance", str(photographs), "-o", str(out), *engine]) == 0
        assert _tree(out) == ["a.png", "below/b.png", "below/c.jpg"]


def test_folders_that_cannot_be_read_are_named(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where root, who may read everything, runs the tests."""
    scan = os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "below":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find([str(photographs)], str(photographs.parent / "out"))
    assert [job.source.name for job in found.jobs] == ["a.png"]
    assert found.failures == [Failure(str(photographs / "below"), "cannot be read: Permission denied")]
    found = find([str(photographs / "below")], str(photographs.parent / "out"))
    assert [failure.reason for failure in found.failures] == ["cannot be read: Permission denied"]


def test_paths_that_cannot_be_looked_at_are_named(
    engine: list[str], photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, long = str(photographs.parent / "out"), 300 * "x"
    (photographs / "circle.png").symlink_to("circle.png")
    assert main(["enhance", long, str(photographs), str(photographs / "a.png" / "b.png"), "-o", out, *engine]) == 1
    said = capsys.readouterr().err
    assert f"retinexrt: {long}: cannot be read: File name too long" in said
    assert "b.png: does not exist" in said and "circle.png: Too many levels" in said and "3 enhanced, 3 failed" in said


def test_typescript_is_no_film(tmp_path: Path) -> None:
    packets = (b"G" + 187 * b"\0") * 3
    films = {
        "a.ts": packets,
        "b.MTS": b"".join(4 * b"\1" + packets[:188] for _ in range(3)),
        "c.ts": (packets[:188] + bytes(16)) * 2,
    }
    others = {"d.ts": b"GET = 1;\n" * 99, "e.ts": b"G", "f.mts": b"", "g.ts": b"export const a = 1;\n"}
    for name, data in (films | others).items():
        (tmp_path / name).write_bytes(data)
    found = find([str(tmp_path)], str(tmp_path / "out"))
    assert sorted(job.source.name for job in found.jobs) == sorted(films)
    assert [path.name for path in found.ignored] == sorted(others)


def test_what_is_read_but_not_written_becomes_png(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"x")
    found = find([str(tmp_path)], str(tmp_path / "out"))
    assert [job.target.name for job in found.jobs] == ["a.png"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["enhance"], "nothing to enhance"),
        (["enhance", "a.png"], "where to"),
        (["enhance", "", "-o", "out"], "an INPUT or OUT is empty"),
        (["enhance", "a.png", "-o", ""], "an INPUT or OUT is empty"),
        (["enhance", "a.png", "b.png", "-o", "one.jpg", "--ray"], "2 inputs go into a folder"),
        (["enhance", "a.png", "-", "-o", "out"], "cannot be mixed"),
        (["enhance", "a.png", "--raw", "4x4"], "--raw reads from stdin"),
        (["enhance", "-", "--raw", "4by4"], "--raw takes WxH"),
        (["enhance", "a.png", "-o", "out", "--backend", "abacus"], "unknown backend 'abacus'; known: auto"),
        (["enhance", "a.png", "-o", "out", "--network", "nonesuch"], "retinexrt export nonesuch"),
        (["enhance", "a.png", "-o", "out", "--engine", "no.plan"], "no.plan does not exist"),
        (["enhance", "a.png", "-o", "out", "--device", "cuda"], "invalid int value: 'cuda'; see: retinexrt enhance --help"),
        (["enhanec"], "invalid choice: 'enhanec'; did you mean enhance? see: retinexrt --help"),
        (["enhance", "--strenght=1"], "enhance knows no --strenght; did you mean --strength? see: retinexrt enhance --help"),
        (["--verson"], "retinexrt knows no --verson; did you mean --version? see: retinexrt --help"),
        (["train", "dawn", "--stesp", "9"], "train knows no --stesp; did you mean --steps? see: retinexrt train --help"),
        (["web"], "required: -o/--out; see: retinexrt web --help"),
    ],
)
def test_usage_errors_are_one_line_and_2(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("retinexrt: ")


def test_a_bad_strength_fails_before_any_file(engine: list[str], photographs: Path) -> None:
    assert main(["enhance", str(photographs), "-o", str(photographs.parent / "o"), "--strength", "2", *engine]) == 2


class Pipe:
    """Stands for sys.stdin or sys.stdout of a process."""

    def __init__(self, data: bytes = b"") -> None:
        self.buffer = io.BytesIO(data)


def _piped(monkeypatch: pytest.MonkeyPatch, argv: list[str], data: bytes) -> tuple[int, bytes]:
    out = Pipe()
    monkeypatch.setattr(sys, "stdin", Pipe(data))
    monkeypatch.setattr(sys, "stdout", out)
    return main(argv), out.buffer.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_a_picture_through_a_pipe(
    engine: list[str], dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    code, data = _piped(monkeypatch, ["enhance", "-", *engine], pictures.encode(Picture(dark), suffix))
    assert code == 0
    assert pictures.format_of(data) == suffix
    if suffix != ".jpg":
        assert np.array_equal(pictures.decode(data, "stdout").rgb, double(dark))


def test_garbage_through_a_pipe(engine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _piped(monkeypatch, ["enhance", "-", *engine], b"garbage") == (2, b"")


def test_raw_frames_through_a_pipe(engine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(0).integers(0, 200, (7, 20, 30, 3), dtype=np.uint8)
    code, data = _piped(monkeypatch, ["enhance", "--raw", "30x20", *engine], frames.tobytes())
    assert code == 0
    assert np.array_equal(np.frombuffer(data, np.uint8).reshape(frames.shape), double(frames))


@pytest.mark.parametrize(("data", "message"), [(b"x" * 2000, "middle of a frame: 200 of 1800 bytes"), (b"", "no frame")])
def test_broken_raw_streams(
    engine: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: bytes, message: str
) -> None:
    code, out = _piped(monkeypatch, ["enhance", "-", "--raw", "30x20", *engine], data)
    assert code == 2
    assert len(out) == len(data) // 1800 * 1800  # whole frames before the break are through
    assert message in capsys.readouterr().err


def test_a_video_beside_pictures(engine: list[str], photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = cv2.VideoWriter(str(photographs / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (32, 32))
    for _ in range(5):
        writer.write(np.full((32, 32, 3), 30, np.uint8))
    writer.release()
    out = photographs.parent / "out"
    assert main(["enhance", str(photographs), "-o", str(out), *engine]) == 0
    assert "film.avi" in _tree(out)


@pytest.mark.parametrize(
    ("argv", "network"),
    [
        (["a.mp4", "b.MKV", "-o", "out"], "dawn-live"),
        (["a.mp4", "b.jpg", "-o", "out"], "dawn"),
        (["folder", "-o", "out"], "dawn"),
        (["a.jpg", "-o", "b.jpg"], "dawn"),
        (["-", "-o", "b.png"], "dawn"),
        (["-", "-o", "b.mp4"], "dawn-live"),
        (["--raw", "64x48"], "dawn-live"),
        (["camera:0", "-o", "b.mp4"], "dawn-live"),
        (["rtsp://127.0.0.1/x", "-o", "b.mp4"], "dawn-live"),
        (["a.mp4", "-o", "out", "--network", "pdn"], "pdn"),
    ],
)
def test_films_alone_have_a_network_of_their_own(argv: list[str], network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    for module in ("enhance", "live"):
        monkeypatch.setattr(f"runtime.commands.{module}.run", lambda arguments: used.append(arguments.network) or 0)
    assert main(["enhance", *argv]) == 0
    assert used == [network]


def test_networks_and_doctor(capsys: pytest.CaptureFixture[str], artifacts: Path) -> None:
    assert main(["networks"]) == 0
    assert "network" in capsys.readouterr().out
    assert main(["doctor", str(artifacts / "double.onnx")]) == 0
    report = capsys.readouterr().out
    for name in ("tensorrt", "tensorrt_rtx", "onnxruntime-cuda", "openvino", "onnxruntime"):
        assert f" {name} " in report
    assert "used: " in report
    assert main(["doctor", "nonesuch"]) == 2
    assert "retinexrt export nonesuch" in capsys.readouterr().out


def test_the_table_of_networks_fits_its_columns(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_artifact(tmp_path / "a.onnx", make_info(network="a-network-of-a-long-name"))
    write_artifact(tmp_path / "b.onnx", make_info(network="b", halo=None))
    (tmp_path / "c.onnx").write_bytes(b"x")
    monkeypatch.setattr(locate, "search_folders", lambda: [tmp_path])
    assert main(["networks"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    for row in rows[:2]:
        assert [row[head.index(name) - 1] for name in ("precision", "weights", "tiles", "file")] == [" "] * 4
        assert row[head.index("file") :] in (str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx"))
    assert rows[2].split()[:2] == ["c", "damaged:"]


def test_doctor_explains_and_names_the_next_faster(
    capsys: pytest.CaptureFixture[str], artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import runtime.backends.openvino_cpu as ov
    from runtime.backends.session import Probe

    monkeypatch.setattr(
        ov, "probe", lambda backend, device: Probe("openvino", False, "it is not installed", "pip install openvino-x")
    )
    assert main(["doctor", str(artifacts / "double.onnx")]) == 0
    report = capsys.readouterr().out
    assert "no  openvino" in report and "it is not installed" in report
    assert "used: onnxruntime" in report
    assert "openvino          pip install openvino-x" in report.split("faster, if you install it:")[1]


@pytest.mark.parametrize(("init", "count", "advised"), [(100, 0, False), (0, 0, False), (0, 1, True)])
def test_doctor_advises_no_package_where_a_driver_finds_no_gpu(
    init: int, count: int, advised: bool, capsys: pytest.CaptureFixture[str], artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an image for GPUs on a machine without one: the driver's library is there, cuInit answers NO_DEVICE."""
    import runtime.backends.trt.session as trt
    from runtime.backends.session import Probe

    def counted(found: Any) -> int:
        found._obj.value = count
        return 0

    driver = SimpleNamespace(cuInit=lambda flags: init, cuDeviceGetCount=counted)
    monkeypatch.setattr(runtime.cuda.ctypes, "CDLL", lambda name: driver)
    monkeypatch.setattr(
        trt, "probe", lambda backend, device: Probe(backend.name, False, "the package is not installed", "pip install trt-x")
    )
    assert main(["doctor", str(artifacts / "double.onnx")]) == 0
    assert ("pip install trt-x" in capsys.readouterr().out) == advised


@pytest.mark.parametrize("name", _SCRIPTS)
def test_scripts_are_handed_their_arguments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _SCRIPTS[name][0]
    fake = ModuleType(module)
    seen: list[Any] = []
    fake.main = lambda argv, prog: seen.append((argv, prog)) or 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module, fake)
    assert main([name, "--help", "pdn"]) == 3
    assert seen == [(["--help", "pdn"], f"retinexrt {name}")]


@pytest.mark.parametrize("name", ["enhance", "networks", "doctor", *_SCRIPTS])
def test_every_command_has_one_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: retinexrt {name} ") and said.count("usage:") == 1


def test_a_missing_package_is_one_line_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "export.exporter", raising=False)
    assert main(["export", "pdn"]) == 2
    found = capsys.readouterr().err
    assert found == "retinexrt: torch is missing; install it with: pip install 'retinexrt[export]'\n"


def test_help_version_and_cmake_dir(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cmake-dir"]) == 0
    assert capsys.readouterr().out.strip() == str(ROOT / "runtime" / "cpp" / "cmake")
    assert main([]) == 2
    assert "enhance" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("retinexrt ")


def test_ctrl_c_ends_with_a_summary_and_whole_files(engine: list[str], tmp_path: Path) -> None:
    """A stream of pictures that never ends, interrupted once the first results are there."""
    image = Picture(np.full((400, 400, 3), 30, np.uint8))
    pictures.write(tmp_path / "in" / "0.png", image)
    for number in range(1, 3000):
        os.link(tmp_path / "in" / "0.png", tmp_path / "in" / f"{number}.png")
    process = start(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *engine])
    while not (tmp_path / "out" / "0.png").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    text = error.decode()
    assert "interrupted" in text and "enhanced" in text and "Traceback" not in text
    files = list((tmp_path / "out").iterdir())
    assert 0 < len(files) < 3000
    assert all(pictures.read(path).rgb.shape == (400, 400, 3) for path in files)


def test_a_reader_that_leaves_is_no_traceback(engine: list[str]) -> None:
    frame = bytes(64 * 64 * 3)
    process = start(["enhance", "--raw", "64x64", *engine], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(frame)
    process.stdin.flush()
    process.stdout.close()
    try:
        for _ in range(200):
            process.stdin.write(frame)
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.stdin = None
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"Traceback" not in error and b"Exception ignored" not in error


_GROWTH = """
import re, sys
from pathlib import Path
from runtime.commands.main import main
for folder in sys.argv[2:4]:
    assert main(["enhance", "-q", folder, "-o", folder + "-out", "--engine", sys.argv[1], "--backend", "onnxruntime"]) == 0
    print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_folder(artifacts: Path, tmp_path: Path) -> None:
    """Pictures of many sizes: what 100 of them need is enough for 1,000."""
    random = np.random.default_rng(0)
    for folder, count in (("few", 100), ("many", 1000)):
        for number in range(count):
            height, width = random.integers(50, 300, 2) if number else (300, 300)
            pictures.write(tmp_path / folder / f"{number}.bmp", Picture(np.full((height, width, 3), 30, np.uint8)))
    command = [sys.executable, "-c", _GROWTH, str(artifacts / "blur.onnx"), str(tmp_path / "few"), str(tmp_path / "many")]
    few, many = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert many < few + 25
