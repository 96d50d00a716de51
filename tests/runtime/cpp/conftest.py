"""Builds the C++ programs once, and runs them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tests.runtime.conftest import make_info, write_artifact

Images = NDArray[np.uint8]

PROJECT = Path(__file__).resolve().parents[3]
CMAKE_DIR = PROJECT / "runtime" / "cpp" / "cmake"


def configure(source: Path, build: Path, *options: str) -> None:
    """Run CMake on a project with this Python's packages."""
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("cmake and a C++ compiler are needed")
    call(["cmake", "-S", source, "-B", build, f"-DPython_EXECUTABLE={sys.executable}", *options])


def compile_(build: Path, *targets: str) -> None:
    call(["cmake", "--build", build, *(f"--target={target}" for target in targets)])


def call(command: list[str | Path], **environment: str) -> str:
    """Run a command that must succeed, and return what it wrote."""
    done = run(command, **environment)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def run(command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    return subprocess.run(
        ["nice", "-n", "5", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | environment,
        check=False,
    )


#: What programs of one ending need; the others may need all sorts of things.
NEEDS = {"native_onnxruntime": "ONNX Runtime and its headers (on Debian, tests/runtime/cpp/onnxruntime-headers fetches them)"}


class Programs:
    """The programs of one build folder, kept from one test run to the next: what did not change is not compiled again."""

    def __init__(self, name: str, *options: str) -> None:
        self.folder = PROJECT / "build" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._built: dict[str, Path] = {}
        # Workers of one test run take turns.
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            configure(PROJECT / "tests" / "runtime" / "cpp", self.folder, f"-Dretinexrt_DIR={CMAKE_DIR}", *options)

    def find(self, name: str) -> Path | None:
        """Build the program called `name`; None where what it needs was not found."""
        if name not in self._built:
            with (self.folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if f" {name}\n" not in call(["cmake", "--build", self.folder, "--target", "help"]):
                    return None
                compile_(self.folder, name)
            places = (self.folder / name, self.folder / "examples" / name, self.folder / f"lib{name}.so")
            self._built[name] = next(path for path in places if path.is_file())
        return self._built[name]

    def build(self, name: str) -> Path:
        """The program called `name`; skips where what it needs was not found."""
        found = self.find(name)
        if found is None:
            needed = NEEDS.get(name.partition("_")[2], "OpenVINO, ONNX Runtime, pybind11, libpython, OpenCV or CUDA")
            pytest.skip(f"{name} cannot be built here: CMake did not find {needed}")
        return found

    def __call__(self, name: str, *arguments: str | Path) -> str:
        """Run a program that must succeed, and return what it printed."""
        return call([self.build(name), *arguments])

    def fails(self, name: str, *arguments: str | Path, **environment: str) -> str:
        """Run a program that must end with an error of ours, and return all that it said."""
        done = run([self.build(name), *arguments], **environment)
        assert done.returncode == 2, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def programs() -> Programs:
    """The examples and the test programs."""
    return Programs("runtime-cpp-tests")


@pytest.fixture(scope="session")
def sanitized() -> Callable[[str], Programs]:
    """sanitized("thread") are the native programs under a sanitizer."""
    return lambda kind: Programs(f"runtime-cpp-tests-{kind.split(',')[0]}", f"-DSANITIZE={kind}")


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts that work (double, blur, whole, light) and some that cannot be opened."""
    folder = tmp_path_factory.mktemp("cpp-artifacts")
    info = make_info()
    double = write_artifact(folder / "double.onnx", info)
    write_artifact(folder / "blur.onnx", make_info(network="blur", halo=4, multiple=4), around=4)
    whole = make_info(network="whole", halo=None, contract=())
    write_artifact(folder / "whole.onnx", whole, whole=True)
    light = replace(whole, network="light", weights_sha256=None)
    write_artifact(folder / "light.onnx", light, whole=True)
    write_artifact(folder / "newer.onnx", make_info(schema=99))
    write_artifact(folder / "tensors.onnx", replace(info, input=replace(info.input, dtype="float32")))
    write_artifact(folder / "no halo.onnx", replace(info, halo=-4))
    write_artifact(folder / "no multiple.onnx", replace(info, multiple=0))
    write_artifact(folder / "no size.onnx", replace(info, input=replace(info.input, shape=(1, 0, 64, 3))))
    (folder / "damaged.onnx").write_bytes(double.read_bytes()[:300])
    model = onnx.load(double)
    del model.metadata_props[:]
    onnx.save(model, folder / "foreign.onnx")
    (folder / "picture.png").write_bytes(b"no model")
    return folder


def read_ppm(path: Path) -> Images:
    """A binary PPM file as our programs write it."""
    data = path.read_bytes()
    magic, width, height, most = data.split(maxsplit=4)[:4]
    assert (magic, most) == (b"P6", b"255"), path
    size = int(width) * int(height) * 3
    return np.frombuffer(data[-size:], np.uint8).reshape(int(height), int(width), 3)


def write_ppm(path: Path, image: Images) -> Path:
    height, width, _ = image.shape
    path.write_bytes(b"P6\n# a comment\n%d %d\n255\n" % (width, height) + image.tobytes())
    return path
