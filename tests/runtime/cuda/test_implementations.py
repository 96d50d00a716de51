"""cuda-python and PyCUDA are called for real, on a driver that lives in host memory."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import runtime.cuda
from runtime.cuda import open_cuda
from runtime.errors import BackendUnavailableError, InputError

SUPPORT = Path(__file__).resolve().parents[2] / "support"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake driver, compiled as libcuda.so.1, with empty functions for all else that PyCUDA links to."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("compiling the fake driver needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    source = (SUPPORT / "fake_driver.c").read_text()
    stubs = folder / "stubs.c"
    stubs.write_text("".join(f"int {name}(void) {{ return 801; }}\n" for name in _linked() if f" {name}(" not in source))
    library = folder / "libcuda.so.1"
    command = [
        compiler,
        "-O1",
        "-shared",
        "-fPIC",
        "-Wl,-soname,libcuda.so.1",
        "-o",
        library,
        SUPPORT / "fake_driver.c",
        stubs,
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return library


def _linked() -> list[str]:
    """Names of the driver that PyCUDA's extension module can't be loaded without."""
    spec = find_spec("pycuda")
    nm = shutil.which("nm")
    if spec is None or spec.origin is None or nm is None:
        return []
    (module,) = Path(spec.origin).parent.glob("_driver*.so")
    symbols = subprocess.run([nm, "-D", "--undefined-only", module], capture_output=True, text=True, check=True).stdout
    return [word for word in symbols.split() if word.startswith("cu")]


@pytest.mark.parametrize("name", ["cuda-python", "pycuda"])
def test_every_operation(driver: Path, name: str) -> None:
    if find_spec({"cuda-python": "cuda", "pycuda": "pycuda"}[name]) is None:
        pytest.skip(f"{name} is not installed")
    project = SUPPORT.parents[1]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(driver.parent), "PYTHONPATH": str(project)}
    command = [sys.executable, str(SUPPORT / "scenario.py"), name, str(driver)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "every operation worked\n"
    assert done.stderr == ""


def test_a_driver_without_a_gpu_is_said_and_the_gpus_tests_are_skipped(driver: Path) -> None:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(driver.parent), "PYTHONPATH": str(SUPPORT.parents[1])}
    environment["FAKE_DRIVER_NO_DEVICE"] = "1"
    for code, words in (
        ("import runtime.cuda as c; print(c.driver_found(), c.gpu_found())", "True False"),
        ("from tests.gpu.marks import problem; print(problem())", "CUDA_ERROR_NO_DEVICE"),
    ):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert words in done.stdout


def _without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", load)


def test_without_a_driver_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_driver(monkeypatch)
    assert not runtime.cuda.driver_found()
    with pytest.raises(BackendUnavailableError, match="no NVIDIA driver here"):
        open_cuda()


def test_an_unknown_implementation_is_refused() -> None:
    with pytest.raises(InputError, match="known: cuda-python, pycuda"):
        open_cuda("opencl")


def test_missing_packages_name_their_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.cuda, "driver_found", lambda: True)
    monkeypatch.setattr(runtime.cuda, "_opened", {})
    for module in ("cuda.bindings", "cuda.bindings.driver", "pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailableError, match=r"cuda-python>=13.*pip install pycuda"):
        open_cuda()


def test_pycuda_comes_first_where_the_application_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    order = runtime.cuda._order  # pyright: ignore[reportPrivateUsage]
    monkeypatch.delitem(sys.modules, "pycuda.driver", raising=False)
    assert order()[0] == "cuda-python"
    monkeypatch.setitem(sys.modules, "pycuda.driver", runtime.cuda)
    assert order()[0] == "pycuda"
