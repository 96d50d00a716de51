"""The project as its wheels install it: without tests, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def unpack(folder: Path, *, tools: bool = True) -> Path:
    """Build the wheels of this tree and unpack them below `folder`; returns what would be site-packages."""
    tree = folder / "tree"
    left_out = shutil.ignore_patterns(".*", "build", "out", "runs", "tests", "*.plan", "*.egg-info")
    shutil.copytree(PROJECT, tree, ignore=left_out)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    for source in (tree, tree / "train" / "package") if tools else (tree,):
        subprocess.run([*pip, "-w", str(folder), str(source)], check=True)
    for wheel in folder.glob("retinexrt*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *words: str, cwd: Path, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command `retinexrt` of an unpacked wheel; modules in `blocked` cannot be imported, as if not installed."""
    code = (
        "import sys\n"
        f"for name in {blocked!r}: sys.modules[name] = None\n"
        "import runtime\n"
        f"assert runtime.__file__.startswith({str(site)!r}), runtime.__file__\n"
        "from runtime.commands.main import entry\n"
        "sys.exit(entry())"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
