"""Two wheels from one tree: a small one that enhances, and the tools beside it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.commands.main import _SCRIPTS
from tests.support import wheel

_TOOLS = [name for name, (module, _) in _SCRIPTS.items() if not module.startswith("runtime")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel.unpack(tmp_path_factory.mktemp("wheel"), tools=False)


@pytest.mark.slow
def test_the_small_wheel_holds_the_runtime_and_enhances(site: Path, tmp_path: Path) -> None:
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"runtime", "retinexrt"}
    assert not list(site.rglob("*.safetensors"))
    cv2.imwrite(str(tmp_path / "night.png"), np.full((60, 80, 3), 12, np.uint8))
    done = wheel.run(site, "enhance", "night.png", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bright = cv2.imread(str(tmp_path / "out" / "night.png"))
    assert bright is not None and bright.mean() > 30


@pytest.mark.slow
@pytest.mark.parametrize("name", _TOOLS)
def test_what_is_not_in_the_small_wheel_says_where_it_is(site: Path, name: str, tmp_path: Path) -> None:
    done = wheel.run(site, name, "pdn", cwd=tmp_path, blocked=("train", "export", "engines", "benchmarks"))
    assert done.returncode == 2
    assert done.stderr == f"retinexrt: {name} is not in this package; install it with: pip install retinexrt-tools\n"


def test_both_packages_have_one_version() -> None:
    root = Path(__file__).resolve().parents[1]
    small, tools = (
        tomllib.loads((root / name).read_text())["project"] for name in ("pyproject.toml", "train/package/pyproject.toml")
    )
    assert tools["version"] == small["version"] and tools["dependencies"] == [f"retinexrt=={small['version']}"]
