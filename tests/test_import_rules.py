"""Import rules: between packages train.networks -> export -> engines -> runtime, and within the runtime from floor to floor.

The commands are the roof: they may import everything, and nobody imports them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("train", "export", "engines", "runtime", "benchmarks", "retinexrt")

#: What of the project a package may import besides itself.
ALLOWED: dict[str, tuple[str, ...]] = {
    "train": (
        "runtime.artifact.contract",
        "runtime.artifact.decode",
        "runtime.command_line",
        "runtime.errors",
        "runtime.files",
    ),
    "export": (
        "train.networks",
        "train.errors",
        "runtime.artifact",
        "runtime.calm",
        "runtime.command_line",
        "runtime.errors",
        "runtime.files",
        "runtime.shapes",
    ),
    "engines": ("runtime",),
    "runtime": (),
    "benchmarks": PACKAGES,
    "retinexrt": ("runtime",),
}

#: Rooms of the runtime, files and folders, from the ground up: each imports itself and rooms of floors below it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "page", "shapes"),
    ("files", "images"),
    ("artifact", "cuda"),
    ("command_line", "exposure", "options", "tiling"),
    ("calm",),
    ("media",),
    ("backends", "conversions"),
    ("enhancer",),
    ("browser", "comparison", "ray_cluster", "serve", "shortcuts", "triton"),
    ("commands",),
    ("__main__",),
)


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            names |= {node.module}
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_flow_one_way(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        for name in _imports(path):
            first = name.split(".")[0]
            if first not in PACKAGES or first == package:
                continue
            allowed = any(name == other or name.startswith(f"{other}.") for other in ALLOWED[package])
            assert allowed, f"{path.relative_to(ROOT)} imports {name}"


def _rooms(path: Path) -> set[str]:
    """The rooms of the runtime that a file of it imports."""
    return {name.split(".")[1] for name in _imports(path) if name.startswith("runtime.")} - {"__version__"}


def test_every_room_of_the_runtime_stands_on_lower_floors() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    for path in sorted((ROOT / "runtime").rglob("*.py")):
        room = path.relative_to(ROOT / "runtime").parts[0].removesuffix(".py")
        if room == "__init__":  # hands on names of several, as they are asked for
            continue
        for other in _rooms(path) - {room}:
            assert floor[other] < floor[room], f"{path.relative_to(ROOT)} imports runtime.{other}"


def test_nobody_imports_the_roof() -> None:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            inside = path.is_relative_to(ROOT / "runtime" / "commands") or path.name == "__main__.py"
            names = {name for name in _imports(path) if name.startswith("runtime.commands")}
            assert inside or not names, f"{path.relative_to(ROOT)} imports {names}"


def test_runtime_and_engines_never_import_torch() -> None:
    for package in ("runtime", "engines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            assert not any(name.split(".")[0] in ("torch", "onnxscript") for name in _imports(path)), path


def test_importing_the_runtime_is_light() -> None:
    code = """
import sys, threading
import runtime
runtime.Enhancer
heavy = {"av", "torch", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "pycuda", "cuda", "tqdm"}
heavy &= set(sys.modules)
assert not heavy, heavy
assert threading.active_count() == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("folder", ["train", "export", "engines", "benchmarks"])
def test_no_module_shadows_another(folder: str) -> None:
    """Running a script puts its folder first on the path."""
    third_party = {"onnx", "torch", "numpy", "cv2", "tqdm", "onnxruntime", "openvino", "tensorrt", "polygraphy", "safetensors"}
    for path in (ROOT / folder).iterdir():
        name = path.stem
        if name != "__init__" and (path.suffix == ".py" or path.is_dir()):
            assert name not in sys.stdlib_module_names and name not in third_party, path
