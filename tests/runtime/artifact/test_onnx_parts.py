"""Cutting an ONNX file in two: what it says of itself must be true, and the file must still be the one that was opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from runtime import Enhancer, tiling
from runtime.artifact import METADATA_KEY, ArtifactInfo, locate, read_info
from runtime.artifact.info import Parts
from runtime.artifact.onnx_parts import cut, cut_file
from runtime.errors import ArtifactError
from tests.runtime.conftest import make_info

Exported = Callable[[str], Path]


@pytest.mark.parametrize("name", ["dawn", "dawn_fp16"])
def test_both_halves_are_models_with_the_inputs_they_need(exported: Exported, name: str) -> None:
    path = exported("dawn") / f"{name}.onnx"
    info = read_info(path)
    assert info.parts is not None
    halves = cut_file(path, info)
    decide, render = (onnx.load_from_string(half) for half in (halves.decide, halves.render))
    for model in (decide, render):
        onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in decide.graph.input] == [info.parts.overview]
    assert [value.name for value in decide.graph.output] == list(info.parts.light)
    assert [value.name for value in render.graph.input] == [info.input.name, info.parts.side, *info.parts.light]
    assert len(halves.decide) + len(halves.render) < 1.1 * path.stat().st_size


def test_a_file_that_does_not_come_apart_where_it_says(exported: Exported) -> None:
    path = exported("dawn") / "dawn.onnx"
    info = read_info(path)
    assert info.parts is not None
    for wrong in ({"overview": "light/Conv"}, {"light": ("nothing",)}, {"side": "nothing"}):
        with pytest.raises(ArtifactError, match="does not come apart where it says"):
            cut(path.read_bytes(), replace(info, parts=replace(info.parts, **wrong)))
    with pytest.raises(ArtifactError, match="does not come apart"):
        cut(path.read_bytes()[:2000], info)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_file_may_be_gone_or_another(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1)
    image = np.zeros((64, 64, 3), np.uint8)
    path = tmp_path / "dawn.onnx"
    for change in (path.unlink, lambda: path.write_bytes((exported("pdn") / "pdn.onnx").read_bytes())):
        path.write_bytes((exported("dawn") / "dawn.onnx").read_bytes())
        with Enhancer(path, backend=backend) as enhancer:
            change()
            with pytest.raises(ArtifactError, match=r"cannot read|another file"):
                enhancer(image)


@pytest.mark.parametrize("wrong", [{"points": 0}, {"halo": -1}, {"halo": 10**9}])
def test_numbers_that_nothing_can_be_counted_with(wrong: dict[str, int]) -> None:
    info = make_info(halo=None, parts=replace(Parts("overview", "side", ("light",), 250, 75), **wrong))
    (name,) = wrong
    with pytest.raises(ArtifactError, match=rf"it.onnx.parts.{name}: expected a number from"):
        ArtifactInfo.from_json(info.to_json(), "it.onnx")
    for wrong_itself in ({"multiple": 0}, {"halo": -4}):
        with pytest.raises(ArtifactError, match="expected a number from"):
            ArtifactInfo.from_json(make_info(**wrong_itself).to_json())


def test_damaged_files_are_cut_or_refused() -> None:
    content = locate.onnx_file("dawn").read_bytes()
    info = read_info(locate.onnx_file("dawn"))
    random = np.random.default_rng(0)
    whole = refused = 0
    for number in range(60):
        damaged = bytearray(content)
        if number % 8 == 0:
            del damaged[random.integers(len(damaged)) :]
        for place in random.integers(min(len(damaged), 120_000), size=random.integers(1, 5)):  # the nodes: all else is weights
            damaged[place] = random.integers(256)
        try:
            cut(bytes(damaged), info)
            whole += 1
        except ArtifactError:
            refused += 1
    assert whole > 5
    assert refused > 20


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_light_of_another_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str) -> None:
    """The map before it gets its frame."""
    pytest.importorskip(backend)
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1)
    model = onnx.load(locate.onnx_file("dawn"))
    description = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    info = ArtifactInfo.from_json(description.value)
    assert info.parts is not None
    frames = {node.output[0]: node.input[0] for node in model.graph.node}
    light = tuple(frames[name] if "context" in name else name for name in info.parts.light)
    description.value = replace(info, parts=replace(info.parts, light=light)).to_json()
    onnx.save(model, tmp_path / "it.onnx")
    said = r"the light of a picture has the shape .*export it again"
    with Enhancer(tmp_path / "it.onnx", backend=backend) as enhancer, pytest.raises(ArtifactError, match=said):
        enhancer(np.zeros((64, 64, 3), np.uint8))
