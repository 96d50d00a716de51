"""CONTRIBUTING.md's worked example, followed to the letter in a copy of the packages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _block(text: str, marker: str) -> str:
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None, marker
    return found[1]


@pytest.mark.slow
def test_adding_a_network(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for package in ("train", "export", "runtime"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors", "*.onnx")
        )
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "train" / "networks" / "tiny.py").write_text(_block(text, "file: train/networks/tiny.py"))
    registry = tmp_path / "train" / "networks" / "registry.py"
    opening = "NETWORKS: dict[str, str] = {\n"
    assert opening in registry.read_text()
    registry.write_text(registry.read_text().replace(opening, opening + _block(text, "line: NETWORKS")))
    commands = re.findall(r"^python (export/\S+ .*)$", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run([sys.executable, *command.split()], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "tiny fp16: 1 x division" in done.stdout
    count = (
        "from train.networks import get_spec; spec = get_spec('tiny')\n"
        "print(sum(parameter.numel() for parameter in spec.build().parameters()) == spec.parameters)"
    )
    done = subprocess.run([sys.executable, "-c", count], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
