"""What C++ projects find: the headers, the CMake package, and figures that agree with Python's."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.embedding import PAGE, figures
from runtime import artifact, exposure, tiling
from tests.cpp.conftest import CMAKE_DIR, PROJECT, call, compile_, configure, run
from tests.runtime.conftest import make_info

HEADERS = PROJECT / "runtime" / "cpp" / "include" / "retinexrt"


def test_the_command_prints_the_cmake_folder() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "runtime", "--cmake-dir"], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert Path(found.stdout.strip()) == CMAKE_DIR
    assert (CMAKE_DIR / "retinexrtConfig.cmake").is_file()


def test_cmake_and_python_have_one_version() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert f'set(PACKAGE_VERSION "{version}")' in (CMAKE_DIR / "retinexrtConfigVersion.cmake").read_text()


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        ("artifact.hpp", "schema", artifact.SCHEMA),
        ("artifact.hpp", "minimum_size", artifact.MINIMUM_SIZE),
        ("exposure.hpp", "gate_open", exposure.GATE_OPEN),
        ("exposure.hpp", "gate_shut", exposure.GATE_SHUT),
        ("tiling.hpp", "whole_pixels", tiling.whole_pixels(make_info())),
        ("tiling.hpp", "whole_pixels_light", tiling.whole_pixels(make_info(weights_sha256=None))),
    ],
)
def test_constants_agree_with_python(header: str, name: str, value: float) -> None:
    found = re.search(rf"constexpr \S+ {name} = ([\d. *]+);", (HEADERS / header).read_text())
    assert found is not None
    assert math.prod(float(factor) for factor in found[1].split("*")) == value


CONSUMER = """
cmake_minimum_required(VERSION 3.18)
project(consumer CXX)
find_package(retinexrt 0.1 CONFIG REQUIRED COMPONENTS {components})
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE retinexrt::headers)
"""

MAIN = """
#include <retinexrt/manifest.hpp>
#include <retinexrt/onnx_file.hpp>
#include <retinexrt/tiling.hpp>
int main() { return retinexrt::Image(2, 3).size() == 18 ? 0 : 1; }
"""


def consumer(folder: Path, components: str) -> Path:
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(CONSUMER.format(components=components))
    (folder / "main.cpp").write_text(MAIN)
    return folder


@pytest.mark.slow
def test_an_installed_wheel_serves_a_project_of_its_own(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    tree = tmp_path / "tree"
    left_out = shutil.ignore_patterns(".*", "build", "out", "runs", "tests", "*.onnx", "*.plan", "*.egg-info")
    shutil.copytree(PROJECT, tree, ignore=left_out)
    call([*pip, "-w", tmp_path, tree])
    (wheel,) = tmp_path.glob("retinexrt-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    installed = tmp_path / "site" / "runtime" / "cpp"
    assert {path.name for path in (installed / "include" / "retinexrt").iterdir()} == {path.name for path in HEADERS.iterdir()}
    source = consumer(tmp_path / "consumer", "headers OPTIONAL_COMPONENTS native embedded")
    configure(source, tmp_path / "build", f"-Dretinexrt_DIR={installed / 'cmake'}")
    compile_(tmp_path / "build")
    call([tmp_path / "build" / "consumer"])


@pytest.mark.slow
def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    empty = tmp_path / "python"
    call([sys.executable, "-m", "venv", "--without-pip", empty])
    source = consumer(tmp_path / "consumer", "native")
    python = f"-DPython_EXECUTABLE={empty / 'bin' / 'python'}"
    done = run(["cmake", "-S", source, "-B", tmp_path / "build", f"-Dretinexrt_DIR={CMAKE_DIR}", python])
    assert done.returncode != 0
    assert "pip install openvino" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_an_unknown_component_and_a_later_version_are_refused(tmp_path: Path) -> None:
    source = consumer(tmp_path / "one", "abacus")
    done = run(["cmake", "-S", source, "-B", tmp_path / "a", f"-Dretinexrt_DIR={CMAKE_DIR}"])
    assert done.returncode != 0
    assert "no component abacus" in " ".join(done.stderr.split())
    project = consumer(tmp_path / "two", "headers") / "CMakeLists.txt"
    project.write_text(project.read_text().replace("retinexrt 0.1 ", "retinexrt 0.2 "))
    assert run(["cmake", "-S", project.parent, "-B", tmp_path / "b", f"-Dretinexrt_DIR={CMAKE_DIR}"]).returncode != 0


def test_the_page_holds_the_figures_of_the_record() -> None:
    assert figures(record.read(record.RESULTS / "embedding.json")) in PAGE.read_text()
