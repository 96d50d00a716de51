"""No reports from our code under AddressSanitizer, ThreadSanitizer and valgrind.

OpenVINO and TBB are not instrumented. What the suppression files leave out lies inside of them or of the C library.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cpp.conftest import PROJECT, Images, Programs, call, write_ppm

pytestmark = pytest.mark.slow

HERE = PROJECT / "tests" / "cpp"

#: TBB loads a library in a way that sanitizers refuse, unless it is told that there is one.
SANITIZERS = {"TBB_ENABLE_SANITIZERS": "1"}


@pytest.fixture(scope="module", autouse=True)
def valgrind(programs: Programs, artifacts: Path) -> Iterator[subprocess.Popen[str] | None]:
    """Two hundred enhancers, made and destroyed under valgrind; that takes long, and runs beside the other tests here."""
    if shutil.which("valgrind") is None:
        yield None
        return
    program = programs.build("exercise_native")
    command = [
        "nice", "-n", "5", "valgrind", "-q", "--leak-check=full", "--undef-value-errors=no", "--error-exitcode=9",
        "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect",
        f"--suppressions={HERE / 'valgrind.supp'}", program, "cycles", artifacts / "double.onnx", "200",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        yield process
        process.kill()


def test_address_sanitizer(
    sanitized: Callable[[str], Programs], exported: Callable[[str], Path], artifacts: Path, tmp_path: Path, dark: Images
) -> None:
    programs = sanitized("address,undefined")
    enhance, exercise = programs.build("enhance_native"), programs.build("exercise_native")
    image = write_ppm(tmp_path / "in.ppm", dark)
    environment = SANITIZERS | {"UBSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=1"}
    call([enhance, exported("pdn") / "pdn.onnx", image, tmp_path / "out.ppm"], **environment)
    call([exercise, "errors", artifacts], **environment)
    call([exercise, "views", artifacts / "blur.onnx"], **environment)
    call([exercise, "cycles", artifacts / "double.onnx", "200"], **environment)


def test_thread_sanitizer(
    sanitized: Callable[[str], Programs], exported: Callable[[str], Path], tmp_path: Path, dark: Images
) -> None:
    threads = sanitized("thread").build("threads_native")
    image = write_ppm(tmp_path / "in.ppm", dark)
    options = f"suppressions={HERE / 'tsan.supp'}"
    call([threads, exported("pdn") / "pdn.onnx", image, tmp_path, "20"], **SANITIZERS, TSAN_OPTIONS=options)


def test_valgrind_finds_no_leak(valgrind: subprocess.Popen[str] | None) -> None:
    if valgrind is None:
        pytest.skip("valgrind is not installed")
    said, _ = valgrind.communicate(timeout=1200)
    assert valgrind.returncode == 0, said[-4000:]
