"""Plans made elsewhere are loaded only after somebody has said that they are trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines import trust
from runtime.artifact import manifest
from runtime.artifact.manifest import Host
from runtime.errors import ManifestError
from tests.runtime.conftest import make_info, write_artifact


def arguments(folder: Path, *more: str) -> list[str]:
    plan = folder / "foreign.plan"
    plan.write_bytes(b"built by somebody")
    onnx = write_artifact(folder / "double.onnx", make_info())
    shapes = ["--min", "1x64x64", "--opt", "1x64x64", "--max", "4x128x128"]
    return [str(plan), "--onnx", str(onnx), "--flavour", "tensorrt", "--version", "11.4.0.106", "--sm", "8.9", *shapes, *more]


def test_without_the_word_it_says_what_trust_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trust.main(arguments(tmp_path)) == 2
    error = capsys.readouterr().err
    assert "a plan is executable code" in error
    assert "--trust" in error and "retinexrt build" in error
    assert error.count("\n") == 1
    with pytest.raises(ManifestError):
        manifest.read(tmp_path / "foreign.plan")


def test_with_the_word_the_plan_is_loaded_like_any_other(tmp_path: Path) -> None:
    assert trust.main(arguments(tmp_path, "--trust")) == 0
    plan = tmp_path / "foreign.plan"
    host = Host("tensorrt", "11.4.0.106", "8.9", manifest.this_platform())
    info, data = manifest.verify(plan, lambda: host)
    assert data == b"built by somebody"
    assert info.plan is not None
    assert (info.plan.digest, info.plan.build_seconds, info.plan.tf32) == (None, None, None)
    manifest.check_name(plan, info, "Unnamed Network 0")
    plan.write_bytes(b"built by SOMEBODY")
    with pytest.raises(ManifestError, match="was changed"):
        manifest.verify(plan, lambda: host)


def test_a_plan_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = arguments(tmp_path, "--trust")
    (tmp_path / "foreign.plan").unlink()
    assert trust.main(words) == 2
    assert "cannot read" in capsys.readouterr().err
