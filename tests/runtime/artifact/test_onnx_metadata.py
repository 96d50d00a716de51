"""Reading an ONNX file's own words without onnx."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime import ArtifactError, NewerSchemaError, RetinexError
from runtime.artifact import METADATA_KEY
from runtime.artifact.onnx_metadata import read_info, read_metadata
from tests.runtime.conftest import make_info


def test_it_reads_what_onnx_wrote(artifacts: Path) -> None:
    assert read_info(artifacts / "blur.onnx") == make_info(network="blur", halo=4, multiple=4)
    model = onnx.load(artifacts / "blur.onnx")
    assert read_metadata(artifacts / "blur.onnx") == {entry.key: entry.value for entry in model.metadata_props}


def test_many_entries_and_other_letters(artifacts: Path, tmp_path: Path) -> None:
    model = onnx.load(artifacts / "double.onnx")
    entries = {"a": "", "größe": "夜" * 1000, "b": "x" * 70000}
    helper.set_model_props(model, entries)
    onnx.save(model, tmp_path / "m.onnx")
    assert read_metadata(tmp_path / "m.onnx") == entries


def test_a_foreign_model_is_told_from_an_artifact(artifacts: Path, tmp_path: Path) -> None:
    model = onnx.load(artifacts / "double.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ArtifactError, match=r"does not describe itself.*retinexrt export"):
        read_info(tmp_path / "m.onnx")


def test_a_newer_schema_is_an_error_of_its_own(artifacts: Path, tmp_path: Path) -> None:
    model = onnx.load(artifacts / "double.onnx")
    helper.set_model_props(model, {METADATA_KEY: '{"schema": 2, "colours": "CMYK"}'})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(NewerSchemaError, match=r"newer retinexrt \(schema 2.*pip install -U retinexrt"):
        read_info(tmp_path / "m.onnx")


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(data)
    try:
        read_metadata(path)
    except RetinexError as error:
        assert "any.onnx" in str(error)
