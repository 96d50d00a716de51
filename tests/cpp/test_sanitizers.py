"""No reports from our code under AddressSanitizer, ThreadSanitizer and valgrind.

OpenVINO and TBB are not instrumented. What the suppression files leave out lies inside of them or of the C library.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cpp.conftest import PROJECT, Images, Programs, call, write_ppm

pytestmark = pytest.mark.slow

HERE = PROJECT / "tests" / "cpp"

#: TBB loads a library in a way that sanitizers refuse, unless it is told that there is one.
SANITIZERS = {"TBB_ENABLE_SANITIZERS": "1"}


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


def test_valgrind_finds_no_leak(programs: Programs, artifacts: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    exercise = programs.build("exercise_native")
    call([
        "valgrind", "-q", "--leak-check=full", "--undef-value-errors=no", "--error-exitcode=9",
        "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect",
        f"--suppressions={HERE / 'valgrind.supp'}", exercise, "cycles", artifacts / "double.onnx", "200",
    ])  # fmt: skip
