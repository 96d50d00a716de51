"""What C++ projects find: the headers, the CMake package, and figures that agree with Python's."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from runtime import artifact, exposure, tiling
from tests.runtime.conftest import make_info, write_artifact
from tests.runtime.cpp.conftest import CMAKE_DIR, PROJECT, call, compile_, configure, run
from tests.support import wheel

PACKAGES = ("train", "export", "engines", "runtime", "benchmarks", "retinexrt")
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
find_package(retinexrt 0.2 CONFIG REQUIRED COMPONENTS {components})
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE retinexrt::headers)
foreach(way native native_onnxruntime)
  if(TARGET retinexrt::${{way}})
    add_executable(${{way}} EXCLUDE_FROM_ALL native.cpp)
    target_link_libraries(${{way}} PRIVATE retinexrt::${{way}})
  endif()
endforeach()
"""

MAIN = """
#include <retinexrt/manifest.hpp>
#include <retinexrt/onnx_file.hpp>
#include <retinexrt/tiling.hpp>
int main() { return retinexrt::Image(2, 3).size() == 18 ? 0 : 1; }
"""

NATIVE = """
#include <retinexrt/retinexrt.hpp>
#include <iostream>
int main(int, char** files) {
  const auto enhancer = retinexrt::open(files[1]);
  const retinexrt::Image image(16, 16);
  std::cout << enhancer->backend() << ' ' << int(enhancer->enhance(image.view()).data()[0]);
}
"""


def consumer(folder: Path, components: str) -> Path:
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(CONSUMER.format(components=components))
    (folder / "main.cpp").write_text(MAIN)
    (folder / "native.cpp").write_text(NATIVE)
    return folder


#: What `python -m runtime --cmake-dir` is where the package lies in the folder that is given.
COMMAND = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
sys.argv[1:] = ["--cmake-dir"]
runpy.run_module("runtime", run_name="__main__")
"""


@pytest.mark.slow
def test_an_installed_wheel_serves_a_project_of_its_own(tmp_path: Path) -> None:
    site = wheel.unpack(tmp_path)
    tree = tmp_path / "tree"
    for package in PACKAGES:
        found = (path.relative_to(tree) for path in (tree / package).rglob("*.py"))
        modules = {path for path in found if "build" not in path.parts}  # which building leaves in the tree
        assert modules == {path.relative_to(site) for path in (site / package).rglob("*.py")}
    installed = site / "runtime" / "cpp"
    assert {path.name for path in (installed / "include" / "retinexrt").iterdir()} == {path.name for path in HEADERS.iterdir()}
    printed = call([sys.executable, "-c", COMMAND, site])
    assert Path(printed.strip()) == installed / "cmake"
    source = consumer(tmp_path / "consumer", "headers OPTIONAL_COMPONENTS native native_onnxruntime embedded")
    build = tmp_path / "build"
    configure(source, build, f"-Dretinexrt_DIR={printed.strip()}")
    compile_(build)
    call([build / "consumer"])
    artifact = write_artifact(tmp_path / "double.onnx", make_info())
    targets = call(["cmake", "--build", build, "--target", "help"])
    for way, backend in (("native", "openvino"), ("native_onnxruntime", "onnxruntime")):
        if f" {way}\n" not in targets:
            assert way != "native", "OpenVINO is among what the tests need"
            continue
        compile_(build, way)
        assert call([build / way, artifact]) == f"{backend} 0"


@pytest.mark.slow
def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    empty = tmp_path / "python"
    call([sys.executable, "-m", "venv", "--without-pip", empty])
    source = consumer(tmp_path / "consumer", "native")
    python = f"-DPython_EXECUTABLE={empty / 'bin' / 'python'}"
    command = ["cmake", "-S", source, "-B", tmp_path / "build", f"-Dretinexrt_DIR={CMAKE_DIR}", python]
    done = run([*command, "-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF"], onnxruntime_ROOT="")
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert "pip install openvino" in said
    assert "onnxruntime_ROOT" in said


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_onnxruntime_is_found_where_it_was_unpacked_or_in_the_project(tmp_path: Path, own: bool) -> None:
    """Without the real one: the configuration alone, beside one of its own that ends CMake, as in some of its archives."""
    root = tmp_path / "onnxruntime"
    for file, text in {
        "include/onnxruntime_c_api.h": "",
        "lib/libonnxruntime.so": "",
        "lib/cmake/onnxruntime/onnxruntimeConfig.cmake": "message(FATAL_ERROR stop)",
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    source = consumer(tmp_path / "consumer", "native_onnxruntime")
    listing = source / "CMakeLists.txt"
    target = f"""
add_library(onnxruntime::onnxruntime INTERFACE IMPORTED)
set_target_properties(onnxruntime::onnxruntime PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "{root / "include"}")
find_package(retinexrt"""
    if own:
        listing.write_text(listing.read_text().replace("find_package(retinexrt", target))
    with listing.open("a") as file:
        file.write(
            "get_target_property(found retinexrt::onnxruntime INTERFACE_LINK_LIBRARIES)\nmessage(STATUS found=${found}.)\n"
        )
    place = () if own else (f"-Donnxruntime_ROOT={root}",)
    python = f"-DPython_EXECUTABLE={sys.executable}"
    said = call(
        ["cmake", "-S", source, "-B", tmp_path / "build", f"-Dretinexrt_DIR={CMAKE_DIR}", python, *place], onnxruntime_ROOT=""
    )
    assert f"found={'onnxruntime::onnxruntime' if own else root / 'lib' / 'libonnxruntime.so'}." in said


@pytest.mark.slow
def test_an_unknown_component_and_a_later_version_are_refused(tmp_path: Path) -> None:
    source = consumer(tmp_path / "one", "abacus")
    done = run(["cmake", "-S", source, "-B", tmp_path / "a", f"-Dretinexrt_DIR={CMAKE_DIR}"])
    assert done.returncode != 0
    assert "no component abacus" in " ".join(done.stderr.split())
    project = consumer(tmp_path / "two", "headers") / "CMakeLists.txt"
    project.write_text(project.read_text().replace("retinexrt 0.2 ", "retinexrt 0.3 "))
    assert run(["cmake", "-S", project.parent, "-B", tmp_path / "b", f"-Dretinexrt_DIR={CMAKE_DIR}"]).returncode != 0
