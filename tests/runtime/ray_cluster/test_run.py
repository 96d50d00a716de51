"""Runs on a cluster give the bytes of one process, say what failed, and go on where they were stopped."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from runtime.commands.main import main
from runtime.errors import InputError
from runtime.ray_cluster import command, run
from runtime.ray_cluster.worker import Settings
from tests.runtime.conftest import make_info, write_artifact
from tests.runtime.ray_cluster.conftest import outputs

ROOT = Path(__file__).resolve().parents[3]


def film(path: Path, frames: int, size: tuple[int, int] = (64, 48)) -> Path:
    """A film of MPEG-4 with a moving square; its pictures depend on those before them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, size)
    for number in range(frames):
        frame = np.full((size[1], size[0], 3), 20 + number % 40, np.uint8)
        frame[10:30, number % 40 : number % 40 + 20] = (60, 90, 30)
        writer.write(frame)
    writer.release()
    return path


def _words(settings: Settings) -> list[str]:
    return ["--engine", settings.source, "--backend", settings.open.backend, "--threads", "1"]


@pytest.mark.slow
def test_the_command_gives_the_bytes_of_one_process_and_keeps_them(
    cluster: Any, folder: Callable[..., Path], settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    source = folder(23)
    film(source / "films" / "a.mp4", 50)
    (source / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (source / "notes.txt").write_text("passed over")
    out, alone = source.parent / "out", source.parent / "alone"
    command = ["enhance", "--ray", cluster.address, str(source), "-o", str(out), "--segment", "20", *_words(settings)]
    assert main(command) == 1
    said = capfd.readouterr().err.splitlines()
    assert main(["enhance", str(source), "-o", str(alone), *_words(settings)]) == 1
    assert outputs(out) == outputs(alone) and len(outputs(out)) == 24
    capfd.readouterr()
    assert said[0] == "retinexrt: 24 enhanced, 1 failed, 1 other files passed over"
    assert "pictures and frames/s" in said[1]
    assert any("process" in line and "busy" in line for line in said)
    assert any("broken.jpg" in line and "truncated" in line for line in said)
    assert all(line.startswith("retinexrt: ") for line in said)

    (source / "0" / "004.png").write_bytes((source / "0" / "005.png").read_bytes())  # another input
    (out / "0" / "006.png").write_bytes(b"damaged")
    (out / "0" / "007.png").unlink()
    assert main(command) == 1
    assert capfd.readouterr().err.startswith("retinexrt: 3 enhanced, 21 kept from an earlier run, 1 failed")
    found = outputs(out)
    assert found["0/004.png"] == found["0/005.png"]
    assert {name: data for name, data in found.items() if name != "0/004.png"} == {
        name: data for name, data in outputs(alone).items() if name != "0/004.png"
    }


@pytest.mark.slow
def test_a_bucket_becomes_another(
    cluster: Any, folder: Callable[..., Path], settings: Settings, store: tuple[dict[str, bytes], str]
) -> None:
    objects, options = store
    source = folder(12)
    for name, data in outputs(source).items():
        objects[f"bucket/in/{name}"] = data
    source_url, out = f"s3://key:secret@bucket/in{options}", f"s3://key:secret@bucket/out{options}"
    drawn = io.StringIO()
    report = run.enhance([source_url], out, settings, address=cluster.address, progress=drawn)
    assert "12/12" in drawn.getvalue()
    assert report.account.enhanced == 12 and not report.failures
    assert main(["enhance", "-q", str(source), "-o", str(source.parent / "alone"), *_words(settings)]) == 0
    found = {key.removeprefix("bucket/out/"): data for key, data in objects.items() if key.startswith("bucket/out/")}
    assert {name: data for name, data in found.items() if not name.startswith(".")} == outputs(source.parent / "alone")
    assert run.enhance([source_url], out, settings, address=cluster.address).account.kept == 12


def _started(address: str, source: Path, out: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """The command in a process of its own and another working folder, until it has written a few pictures; its engine."""
    engine = write_artifact(out.parent / "blur.onnx", make_info(network="blur", halo=40), around=40)
    how = ["--engine", str(engine), "--backend", "onnxruntime", "--threads", "1"]
    command = [sys.executable, "-m", "runtime", "enhance", "--ray", address, str(source), "-o", str(out), *how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=out.parent, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=_heed)
    end = time.monotonic() + 60
    while len(_finished(out)) < 3 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert process.poll() is None
    return process, how


def _heed() -> None:
    """A shell starts what runs in its background with interrupts ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _finished(out: Path) -> list[str]:
    return [name for name in outputs(out) if not Path(name).name.startswith(".")]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(
    cluster: Any, folder: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, out = folder(60), tmp_path / "out"
    process, how = _started(cluster.address, source, out)
    process.kill()
    process.communicate()
    before = len(_finished(out))
    (out / "0" / ".001.png.abcd_123.part").write_bytes(b"what a killed worker had begun to write")
    ours = out / "0" / ".001.png.metadata"
    ours.write_bytes(b"somebody's own")
    assert 3 <= before < 60
    assert main(["enhance", "--ray", cluster.address, str(source), "-o", str(out), *how]) == 0
    enhanced, kept = (int(word) for word in capfd.readouterr().err.split("\n")[0].split()[:4] if word.isdigit())
    # What was on its way from worker to ledger when the command was killed is done again.
    assert enhanced + kept == 60 and kept >= before - 2
    assert ours.read_bytes() == b"somebody's own"
    ours.unlink()
    assert len(outputs(out)) == 60


@pytest.mark.slow
def test_ctrl_c_ends_a_cluster_of_ones_own(folder: Callable[..., Path], tmp_path: Path) -> None:
    process, _ = _started("local", folder(600), tmp_path / "out")  # so many that the signal comes before the end
    others = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1].endswith("what was finished is whole, and the same command goes on from there")
    assert others and not psutil.wait_procs(others, timeout=30)[1]


@pytest.mark.slow
def test_what_is_wrong_is_said_in_one_line(
    cluster: Any, folder: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = str(folder(1))
    cases = {
        "a network that is absent": ["--ray", cluster.address, source, "--network", "absent"],
        "more workers than there is room for": ["--ray", cluster.address, source, "--workers", "9"],
        "a GPU where there is none": ["--ray", cluster.address, source, "--gpus-per-worker", "1"],
        "no cluster": ["--ray", "127.0.0.1:1", source],
        "Ray's client": ["--ray", "ray://127.0.0.1:1", source],
        "stdin": ["--ray", cluster.address, "-"],
        "a strength of 2": ["--ray", cluster.address, source, "--strength", "2"],
        "workers without Ray": [source, "--workers", "2"],
    }
    for case, words in cases.items():
        assert main(["enhance", *words, "-o", str(tmp_path / "out")]) == 2, case
        assert capfd.readouterr().err.count("\n") == 1, case
    # What was to be a picture does not become a folder where there is nothing to enhance.
    words = ["--ray", cluster.address, str(tmp_path / "absent.png"), "-o", str(tmp_path / "bright.png")]
    assert main(["enhance", *words]) == 1
    assert "absent.png: does not exist" in capfd.readouterr().err and not (tmp_path / "bright.png").exists()


def test_ray_is_not_heard(capfd: pytest.CaptureFixture[str]) -> None:
    with command._without_chatter() as stderr:  # pyright: ignore[reportPrivateUsage]
        os.write(2, b"of the native part")
        print("a traceback")
        print("a bar", file=stderr)
    print("after it")
    assert capfd.readouterr() == ("after it\n", "a bar\n")


def test_workers_are_counted_out(settings: Settings) -> None:
    """Where there is a GPU each worker gets its share of one; elsewhere as many CPUs as it has threads."""

    class Ray:
        def __init__(self, *nodes: dict[str, float], **resources: float) -> None:
            self.resources = [*nodes, resources]

        def nodes(self) -> list[dict[str, Any]]:
            left = {"Alive": False, "Resources": {"CPU": 100.0, "GPU": 100.0}}
            return [left, *({"Alive": True, "Resources": found} for found in self.resources)]

    allocate = run.connection.allocate
    # No worker lies across two nodes.
    assert allocate(Ray({"CPU": 3}, CPU=3), None, None, 2, "auto") == run.Allocation(2, 2, 0)
    assert allocate(Ray({"CPU": 8}, CPU=8, GPU=2), None, None, None, "auto") == run.Allocation(2, 1, 1)
    with pytest.raises(InputError, match="no node of the cluster has more than 3"):
        allocate(Ray({"CPU": 3}, CPU=3), None, None, 4, "auto")
    with pytest.raises(InputError, match="no node of the cluster has more than 1 GPUs"):
        allocate(Ray({"CPU": 3, "GPU": 1}, CPU=3, GPU=1), None, 2, None, "auto")
    with pytest.raises(InputError, match="room for a worker of 4 CPUs and 1 GPUs"):
        allocate(Ray({"CPU": 8}, CPU=2, GPU=1), None, None, 4, "auto")
    assert allocate(Ray(CPU=8), None, None, None, "auto") == run.Allocation(8, 1, 0)
    assert allocate(Ray(CPU=8), None, None, 3, "auto") == run.Allocation(2, 3, 0)
    assert allocate(Ray(CPU=64, GPU=4), None, None, None, "auto") == run.Allocation(4, 1, 1)
    assert allocate(Ray(CPU=64, GPU=4), None, 0.5, None, "auto") == run.Allocation(8, 1, 0.5)
    assert allocate(Ray(CPU=6, GPU=4), None, 0.5, None, "auto") == run.Allocation(6, 1, 0.5)
    assert allocate(Ray(CPU=64, GPU=4), 3, 0, None, "auto") == run.Allocation(3, 1, 0)
    assert allocate(Ray(CPU=64, GPU=4), None, None, None, "openvino") == run.Allocation(64, 1, 0)
