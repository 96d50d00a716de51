"""Parity measures, judges, finds the layer at fault and writes manifests; on real exports with small pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks import parity
from benchmarks.measures import by_layer, differences
from benchmarks.pictures import parity_set
from export import onnx_files
from runtime.artifact import ArtifactInfo, PlanInfo, Profile, manifest
from runtime.errors import ArtifactError, BackendUnavailableError, InputError
from tests.support.files import asking_for_bf16

Exported = Callable[[str], Path]


@pytest.fixture
def pictures() -> list[parity_set.Case]:
    return [*parity_set.photographs(2, (41, 59), None), *parity_set.hard_cases()[:2]]


def _weights(folder: Path, name: str) -> Path | None:
    """What the test's artifacts were exported from; None: the project's own."""
    path = folder / f"{name}.safetensors"
    return path if path.exists() else None


def _damage(source: Path, target: Path, tensor: str, by: float) -> None:
    """Copy an artifact with one weight tensor scaled."""
    model, info = onnx_files.load(source)
    found = next(entry for entry in model.graph.initializer if entry.name.startswith(tensor))
    values = numpy_helper.to_array(found)
    found.CopyFrom(numpy_helper.from_array((values * by).astype(values.dtype), found.name))
    target.write_bytes(onnx_files.to_bytes(model, info))


def test_faithful_artifacts_pass(exported: Exported, pictures: list[parity_set.Case]) -> None:
    folder = exported("pdn")
    engines = [folder / "pdn.onnx", folder / "pdn_fp16.onnx"]
    found = parity.measure("pdn", engines=engines, weights=_weights(folder, "pdn"), pictures=pictures)
    subjects = {one.subject for one in found}
    assert {"onnx fp32, ONNX Runtime", "onnx fp16, ONNX Runtime"} <= subjects
    assert len(found) == len(subjects) * len(pictures)
    assert {one.case for one in found} == {case.name for case in pictures}
    assert parity.judge("pdn", found) == []
    table = parity.table("pdn", found, every=True)
    assert all(case.name in table for case in pictures)


def test_a_changed_weight_is_noticed(exported: Exported, pictures: list[parity_set.Case], tmp_path: Path) -> None:
    damaged = tmp_path / "pdn.onnx"
    _damage(exported("pdn") / "pdn.onnx", damaged, "fine_light.tail.weight", 3.0)
    weights = _weights(exported("pdn"), "pdn")
    found = parity.measure("pdn", engines=[damaged], weights=weights, pictures=pictures)
    assert any("worst sample" in line for line in parity.judge("pdn", found))


def test_the_layer_at_fault_is_found(exported: Exported, tmp_path: Path) -> None:
    folder = exported("pdn")
    picture = parity_set.photographs(1, (41, 59), None)[0].images
    damaged = tmp_path / "pdn_fp16.onnx"
    _damage(folder / "pdn_fp16.onnx", damaged, "coarse_noise.body.1.0.weight", 1.2)
    found = by_layer.compare(folder / "pdn.onnx", damaged, picture)
    worst = max(found, key=lambda layer: layer.lost or 0.0)
    assert worst.name == "coarse_noise.body.1.0/Conv"
    before = [layer for layer in found if layer.name.startswith(("coarse_light", "fine_light"))]
    assert min(layer.snr or 200.0 for layer in before) > 40
    assert "coarse_noise.body.1.0/Conv" in by_layer.table("pdn", found).splitlines()[-1]


def test_every_layer_of_the_faithful_graph_agrees(exported: Exported) -> None:
    folder = exported("pdn")
    found = by_layer.compare(folder / "pdn.onnx", folder / "pdn_fp16.onnx", parity_set.photographs(1, (41, 59), None)[0].images)
    nodes = {
        node.name for node in onnx.load(folder / "pdn.onnx").graph.node if node.op_type in ("Conv", "ConvTranspose", "Div")
    }
    assert nodes <= {layer.name for layer in found}
    assert {layer.dtype for layer in found} == {"float16", "float32"}
    assert all(layer.max_error < 0.05 * max(layer.largest, 1e-3) for layer in found if not layer.name.endswith("/Round"))


def test_artifacts_of_other_weights_are_refused(exported: Exported, pictures: list[parity_set.Case]) -> None:
    path = exported("pdn") / "pdn.onnx"
    _, info = onnx_files.load(path)
    if info.weights_sha256 is None:
        pytest.fail("the test's export should carry weights")
    from train.networks.registry import get_spec
    from train.networks.weights import load

    if load(get_spec("pdn")).sha256 == info.weights_sha256:  # exported from the project's own: then change what it says
        model, _ = onnx_files.load(path)
        other = path.parent / "other.onnx"
        other.write_bytes(onnx_files.to_bytes(model, replace(info, weights_sha256="0" * 64)))
        path = other
    with pytest.raises(ArtifactError, match="other weights"):
        parity.measure("pdn", engines=[path], pictures=pictures)


def test_artifacts_of_another_network_are_refused(exported: Exported, pictures: list[parity_set.Case]) -> None:
    with pytest.raises(InputError, match="of the network pdn, not of msr"):
        parity.measure("msr", engines=[exported("pdn") / "pdn.onnx"], pictures=pictures)


def test_bfloat16_is_compared_where_the_file_asks_for_it(pictures: list[parity_set.Case], tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bfloat16")
    shipped = Path(parity.__file__).parents[1] / "runtime" / "models"
    photographs = [case for case in pictures if case.kind == "photograph"]
    found = parity.measure("pdn", engines=[asking_for_bf16(shipped / "pdn.onnx", tmp_path)], pictures=photographs)
    exact = [one for one in found if one.subject == "onnx fp32, OpenVINO"]
    rounded = [one for one in found if one.subject == "onnx bf16, OpenVINO"]
    assert len(exact) == len(rounded) == len(photographs) > 0
    assert max(one.difference.max_codes for one in exact) <= 1 < max(one.difference.max_codes for one in rounded)
    assert parity.judge("pdn", found) == []


def _measurement(kind: parity_set.Kind, precision: Any, histogram: dict[int, int]) -> parity.Measurement:
    return parity.Measurement(f"onnx {precision}", precision, "a", kind, (1, 16, 16, 3), differences.Difference(histogram))


@pytest.mark.parametrize(
    ("name", "kind", "precision", "histogram", "reasons"),
    [
        ("pdn", "photograph", "fp32", {0: 9, 1: 1}, 0),
        ("pdn", "hard", "fp32", {0: 9999, 2: 1}, 1),
        ("pdn", "photograph", "fp16", {0: 990, -1: 10}, 0),
        ("pdn", "photograph", "fp16", {0: 99999, 9: 1}, 0),
        ("pdn", "photograph", "fp16", {0: 990, -2: 10}, 1),
        ("pdn", "photograph", "fp16", {0: 900, -3: 100}, 2),
        ("pdn", "hard", "fp16", {0: 900, -3: 100}, 0),
        ("dsn", "photograph", "fp16", {0: 990, -2: 10}, 0),
        ("dsn-reverse", "photograph", "fp16", {0: 700, -2: 300}, 1),
    ],
)
def test_limits(name: str, kind: parity_set.Kind, precision: str, histogram: dict[int, int], reasons: int) -> None:
    assert len(parity.judge(name, [_measurement(kind, precision, histogram)])) == reasons


def _plan(folder: Path, info: ArtifactInfo) -> Path:
    """A file that passes for a plan until it is deserialised, with its manifest."""
    plan = folder / "pdn_fp16.plan"
    plan.write_bytes(b"plan")
    shape = (1, 64, 64, 3)
    what = PlanInfo(
        flavour="tensorrt_rtx", version="1.7.1", sms=("8.9",), gpu=None, cuda=None, driver=None, platform="linux-x86_64",
        profile=Profile(shape, shape, shape), digest=None, plan_sha256=hashlib.sha256(b"plan").hexdigest(), plan_bytes=4,
        onnx_sha256=hashlib.sha256(b"graph").hexdigest(), level=3, workspace_bytes=None, tf32=False, build_seconds=0.2,
    )  # fmt: skip
    manifest.write(replace(info, plan=what), plan)
    return plan


def test_the_manifest_gets_the_plans_own_figures(exported: Exported, tmp_path: Path) -> None:
    _, info = onnx_files.load(exported("pdn") / "pdn_fp16.onnx")
    plan = _plan(tmp_path, info)
    measured = [
        replace(_measurement("photograph", "fp16", {0: 999, 1: 1}), subject="plan fp16, TensorRT-RTX"),
        replace(_measurement("hard", "fp16", {5: 1000}), subject="plan fp16, TensorRT-RTX"),
        _measurement("photograph", "fp16", {0: 1000}),
    ]
    assert parity.write_into_manifest(plan, measured) == tmp_path / "pdn_fp16.json"
    (entry,) = manifest.read(plan).parity
    assert entry.reference == "torch fp32, against plan fp16, TensorRT-RTX"
    assert (entry.images, entry.max_codes, entry.p999_codes) == (1, 1, 0.0)
    assert entry.psnr == pytest.approx(78.13, abs=0.01)


def test_without_a_gpu_the_manifest_says_that_the_onnx_file_was_measured(exported: Exported, tmp_path: Path) -> None:
    _, info = onnx_files.load(exported("pdn") / "pdn_fp16.onnx")
    plan = _plan(tmp_path, info)
    measured = [_measurement("photograph", "fp16", {0: 10}), _measurement("photograph", "fp32", {0: 10})]
    assert parity.write_into_manifest(plan, measured) is None  # what it was built from is not there
    plan.with_suffix(".onnx").write_bytes(b"another graph")
    assert parity.write_into_manifest(plan, measured) is None
    plan.with_suffix(".onnx").write_bytes(b"graph")
    parity.write_into_manifest(plan, measured)
    assert [entry.reference for entry in manifest.read(plan).parity] == ["torch fp32, against onnx fp16"]
    assert parity.write_into_manifest(plan, measured[1:]) is None


def test_the_command(
    exported: Exported,
    pictures: list[parity_set.Case],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(parity, "default_cases", lambda *_: pictures)
    monkeypatch.setattr("benchmarks.harness.record.RESULTS", tmp_path / "results")
    weights = _weights(exported("pdn"), "pdn")
    option = ["--weights", str(weights)] if weights else []
    good = exported("pdn") / "pdn.onnx"
    assert parity.main(["pdn", "--engine", str(good), "--record", *option]) == 0
    assert "all photographs" in capsys.readouterr().out
    assert (tmp_path / "results" / "parity-pdn.json").is_file()
    bad = tmp_path / "pdn.onnx"
    _damage(good, bad, "fine_noise.tail.weight", 1.5)
    assert parity.main(["pdn", "--engine", str(bad), *option]) == 1
    assert "BROKEN: pdn" in capsys.readouterr().err


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main(["nothing"]) == 2
    assert parity.main(["pdn", "--engine", "absent.onnx"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_without_a_gpu_a_plan_is_replaced_by_what_it_is_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.harness.contenders.gpu_problem", lambda: "no driver")
    plan, onnx_file = tmp_path / "x_fp16.plan", tmp_path / "x_fp16.onnx"
    plan.touch()
    with pytest.raises(BackendUnavailableError, match="no driver"):
        parity.without_unusable([plan])
    onnx_file.touch()
    assert parity.without_unusable([plan, onnx_file]) == [onnx_file]
    assert "no driver" in capsys.readouterr().err
    assert parity.without_unusable([onnx_file]) == [onnx_file]


def test_pictures_that_an_artifact_does_not_take_are_left_out(tmp_path: Path) -> None:
    from export.exporter import Options, export_network, write

    paths = write(export_network("msr", Options(size=(32, 48))), tmp_path)
    random = np.random.default_rng(0)
    fitting = parity_set.Case("fits", "hard", random.integers(0, 40, (1, 32, 48, 3), dtype=np.uint8))
    found = parity.measure("msr", engines=paths[:1], pictures=[fitting, *parity_set.hard_cases()])
    assert {one.case for one in found} == {"fits"}
