"""No reports from our code under AddressSanitizer, ThreadSanitizer and valgrind.

OpenVINO, TBB and ONNX Runtime are not instrumented. What the suppression files leave out lies inside of them or of the C
library.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.artifact import locate
from tests.runtime.cpp.conftest import PROJECT, Images, Programs, call, write_ppm

pytestmark = pytest.mark.slow

HERE = PROJECT / "tests" / "runtime" / "cpp"

#: TBB loads a library in a way that sanitizers refuse, unless it is told that there is one.
SANITIZERS = {"TBB_ENABLE_SANITIZERS": "1"}


WAYS = ("native", "native_onnxruntime")


@pytest.fixture(scope="module", autouse=True)
def valgrind(programs: Programs, artifacts: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Two hundred enhancers, made and destroyed under valgrind; that takes long, and runs beside the other tests here."""
    if shutil.which("valgrind") is None:
        yield {}
        return
    options = [
        "-q", "--leak-check=full", "--undef-value-errors=no", "--error-exitcode=9",
        "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect",
        f"--suppressions={HERE / 'valgrind.supp'}",
    ]  # fmt: skip
    with ExitStack() as stack:
        started: dict[str, subprocess.Popen[str]] = {}
        for way in WAYS:
            if (program := programs.find(f"exercise_{way}")) is None:
                continue
            command = ["nice", "-n", "5", "valgrind", *options, program, "cycles", artifacts / "double.onnx", "200"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            started[way] = stack.enter_context(process)
            stack.callback(process.kill)
        yield started


both = pytest.mark.parametrize("way", WAYS)


@both
def test_address_sanitizer(
    sanitized: Callable[[str], Programs],
    exported: Callable[[str], Path],
    artifacts: Path,
    tmp_path: Path,
    dark: Images,
    way: str,
) -> None:
    programs = sanitized("address,undefined")
    exercise = programs.build(f"exercise_{way}")
    leaks = {"ASAN_OPTIONS": "detect_leaks=1", "LSAN_OPTIONS": f"suppressions={HERE / 'lsan.supp'}"}
    environment = SANITIZERS | leaks | {"UBSAN_OPTIONS": "halt_on_error=1"}
    if way == "native":  # one compilation of the example is enough
        image = write_ppm(tmp_path / "in.ppm", dark)
        enhance = programs.build("enhance_native")
        call([enhance, exported("pdn") / "pdn.onnx", image, tmp_path / "out.ppm", "0.5", "gate"], **environment)
        call([programs.build("formats"), "damaged", locate.onnx_file("dawn"), "200"], **environment)
    call([exercise, "progress", locate.onnx_file("dawn")], **environment)
    call([exercise, "views", exported("pdn") / "pdn.onnx"], **environment)
    call([exercise, "errors", artifacts], **environment)
    call([exercise, "views", artifacts / "blur.onnx"], **environment)
    call([exercise, "closing", artifacts / "double.onnx"], **environment)
    call([exercise, "left", artifacts / "double.onnx"], **environment)
    call([exercise, "cycles", artifacts / "double.onnx", "200"], **environment)


@both
def test_thread_sanitizer(
    sanitized: Callable[[str], Programs], exported: Callable[[str], Path], tmp_path: Path, dark: Images, way: str
) -> None:
    threads = sanitized("thread").build(f"threads_{way}")
    image = write_ppm(tmp_path / "in.ppm", dark)
    options = f"suppressions={HERE / 'tsan.supp'}"
    call([threads, exported("pdn") / "pdn.onnx", image, tmp_path, "20"], **SANITIZERS, TSAN_OPTIONS=options)


@both
def test_valgrind_finds_no_leak(programs: Programs, valgrind: dict[str, subprocess.Popen[str]], way: str) -> None:
    programs.build(f"exercise_{way}")
    if way not in valgrind:
        pytest.skip("valgrind is not installed")
    said, _ = valgrind[way].communicate(timeout=1200)
    assert valgrind[way].returncode == 0, said[-4000:]
