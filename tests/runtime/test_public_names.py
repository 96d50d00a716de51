"""What an application imports: `runtime`, or `retinexrt`, by which it was installed."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import retinexrt
import runtime
from runtime.artifact import locate
from runtime.errors import InputError
from runtime.media import pictures
from runtime.media.pictures import Picture
from tests.runtime.conftest import double


@pytest.mark.parametrize("package", [runtime, retinexrt])
def test_every_public_name_is_there_and_shown(package: object) -> None:
    assert {*runtime.__all__} <= {*dir(package)} and "Enhancer" in dir(package)
    for name in runtime.__all__:
        assert getattr(package, name) == getattr(runtime, name)


def test_the_second_package_holds_nothing_else() -> None:
    assert dir(retinexrt) == sorted(runtime.__all__)
    with pytest.raises(AttributeError, match="no attribute 'enhancer_'"):
        importlib.import_module("retinexrt").enhancer_  # noqa: B018


def test_what_is_typed_first(artifacts: Path, tmp_path: Path, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("double", "blur"):
        shutil.copy(artifacts / f"{name}.onnx", tmp_path)
    monkeypatch.setattr(locate, "search_folders", lambda: [tmp_path])
    assert retinexrt.networks() == ["blur", "double"]
    pictures.write(tmp_path / "night.png", Picture(dark))
    assert np.array_equal(retinexrt.enhance(tmp_path / "night.png", "double"), double(dark))
    assert np.array_equal(retinexrt.enhance(dark, "double", strength=0.0), dark)
    (tmp_path / "double.onnx").rename(tmp_path / "dawn.onnx")
    assert retinexrt.Enhancer().source == str(tmp_path / "dawn.onnx")
    with pytest.raises(InputError, match=r"source is the name of a network .*, found \['double'\]"):
        retinexrt.enhance(dark, ["double"])  # pyright: ignore[reportArgumentType]


def _python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=100)


def test_a_module_called_runtime_in_the_working_folder(tmp_path: Path) -> None:
    """Python looks there first; this package's own is found all the same, by those who ask for retinexrt."""
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "__init__.py").touch()
    done = _python(
        tmp_path, "-c", "import sys; before = [*sys.path]; import retinexrt; print(retinexrt.Enhancer, before == sys.path)"
    )
    assert done.stdout == "<class 'runtime.enhancer.Enhancer'> True\n", done.stderr
    assert _python(tmp_path, "-m", "retinexrt", "--version").stdout == f"retinexrt {runtime.__version__}\n"
    late = _python(tmp_path, "-c", "import runtime, retinexrt").stderr.splitlines()[-1]
    assert late.startswith("ImportError: <module 'runtime' from") and "was imported before retinexrt" in late
