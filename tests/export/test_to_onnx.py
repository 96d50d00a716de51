"""The command as people use it: any size, reproducible bytes, and one line for every mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.exporter import Options, export_network
from export.onnx_files import load
from export.to_onnx import main
from runtime.files import sha256
from train.networks import NETWORKS, get_spec
from train.networks.weights import build_seeded, save

ROOT = Path(__file__).resolve().parents[2]
Exported = Callable[[str], Path]


def test_both_files_are_written_and_described(exported: Exported) -> None:
    folder = exported("msrnet")
    assert sorted(path.name for path in folder.glob("*.onnx*")) == ["msrnet.onnx", "msrnet_fp16.onnx"]
    for precision in ("fp32", "fp16"):
        model, info = load(folder / ("msrnet.onnx" if precision == "fp32" else "msrnet_fp16.onnx"))
        assert (info.network, info.precision, info.image_io) == ("msrnet", precision, True)
        assert info.input.shape == ("N", "H", "W", 3) and info.output.shape == ("N", "H", "W", 3)
        assert info.halo == 11 and info.multiple == 1
        graph_input = model.graph.input[0].type.tensor_type
        assert graph_input.elem_type == onnx.TensorProto.UINT8
        assert [dim.dim_param or dim.dim_value for dim in graph_input.shape.dim] == ["N", "H", "W", 3]


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_of_the_machine_is_inside(name: str, exported: Exported) -> None:
    for path in exported(name).glob("*.onnx"):
        content = path.read_bytes()
        for trace in (str(ROOT).encode(), b"site-packages", b".py", b"stack_trace", b"train.networks"):
            assert trace not in content, f"{path.name} holds {trace!r}"


def test_exporting_twice_gives_the_same_bytes(exported: Exported, tmp_path: Path) -> None:
    """Here, and in another process and folder."""
    command = [sys.executable, str(ROOT / "export" / "to_onnx.py"), "pdn", "msrcr", "--out", str(tmp_path)]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    found = sorted(tmp_path.iterdir())
    assert len(found) == 4
    for path in found:
        assert path.read_bytes() == (exported(path.stem.removesuffix("_fp16")) / path.name).read_bytes(), path.name


def test_a_fixed_size(tmp_path: Path) -> None:
    fp32, fp16 = export_network("blnet", Options(size=(50, 70)))
    for export in (fp32, fp16):
        assert export.info.input.shape == ("N", 50, 70, 3)
        session = onnxruntime.InferenceSession(export.to_bytes(), providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape == ["N", 50, 70, 3]
        found = np.asarray(session.run(None, {"image": np.zeros((2, 50, 70, 3), np.uint8)})[0])
        assert found.shape == (2, 50, 70, 3)


@pytest.mark.parametrize("name", ["pdn", "msrnet"])
def test_tensor_io_is_the_bare_network(name: str) -> None:
    fp32, fp16 = export_network(name, Options(tensor_io=True))
    spec = get_spec(name)
    assert not fp32.info.image_io and fp32.info.input.layout == "NCHW"
    image = np.random.default_rng(0).random((2, 3, 36, 44), np.float32) * np.float32(0.2)
    for export, tolerance in ((fp32, 1e-4), (fp16, 0.02)):
        session = onnxruntime.InferenceSession(export.to_bytes(), providers=["CPUExecutionProvider"])
        found = np.asarray(session.run(None, {"image": image})[0])
        with torch.inference_mode():
            from train.networks.weights import load as load_weights

            wanted = load_weights(spec).network(torch.from_numpy(image)).numpy()
        assert np.abs(found - wanted).max() < tolerance * max(1.0, float(np.abs(wanted).max()))


def test_an_older_opset() -> None:
    fp32, _ = export_network("msrnet", Options(opset=18))
    assert fp32.model.opset_import[0].version == 18 and fp32.info.opset == 18


def test_untrained_weights_are_marked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("train.networks.weights.FOLDER", tmp_path)
    assert main(["msrnet", "--out", str(tmp_path)]) == 0
    assert "UNTRAINED" in capsys.readouterr().out
    assert load(tmp_path / "msrnet.onnx")[1].trained is False


def test_given_weights_are_used(tmp_path: Path) -> None:
    spec = get_spec("msrnet")
    digest = save(build_seeded(spec, seed=9), spec, tmp_path / "mine.safetensors", {})
    info = export_network("msrnet", Options(weights=tmp_path / "mine.safetensors"))[0].info
    assert info.trained and info.weights_sha256 == digest


def _fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and "Traceback" not in output.err
    return output.err


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert "known: dawn, " in _fails(["nope", *out], capsys)
    assert "known: dawn, " in _fails(["msrnet", "nope", *out], capsys)
    assert "below the minimum of 16x16" in _fails(["pdn", "--size", "15x400", *out], capsys)
    assert "multiples of 4" in _fails(["pdn", "--size", "30x40", "--tensor-io", *out], capsys)
    assert "too old" in _fails(["pdn", "--opset", "13", *out], capsys)
    spec = get_spec("msrnet")
    foreign, cut = tmp_path / "foreign.safetensors", tmp_path / "cut.safetensors"
    save(build_seeded(spec), spec, foreign, {})
    cut.write_bytes(foreign.read_bytes()[:1000])
    assert "not of 'pdn'" in _fails(["pdn", "--weights", str(foreign), *out], capsys)
    assert str(cut) in _fails(["msrnet", "--weights", str(cut), *out], capsys)
    assert "none.safetensors" in _fails(["msrnet", "--weights", str(tmp_path / "none.safetensors"), *out], capsys)
    assert not (tmp_path / "out").exists(), "nothing half-written"


def test_an_unwritable_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot write" in _fails(["msr", "--out", str(tmp_path / "file" / "deeper")], capsys)


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import runpy, sys
sys.argv = ["to_onnx.py", "--help"]
try:
    runpy.run_path({str(ROOT / "export" / "to_onnx.py")!r}, run_name="__main__")
except SystemExit:
    pass
heavy = {{"torch", "onnx", "onnxscript", "cv2", "onnxruntime"}} & set(sys.modules)
sys.exit(f"imports {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pdn" in done.stdout


def test_a_card_names_what_was_exported(tmp_path: Path) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(ROOT / "train" / "weights" / f"msrnet{suffix}", tmp_path)
    weights, card = tmp_path / "msrnet.safetensors", tmp_path / "msrnet.json"
    before = json.loads(card.read_text())
    before["exported"] = {"tools": {}, "sha256": {"other.onnx": "0", "msrnet.onnx": "0"}}  # of another network, and an old one
    card.write_text(json.dumps(before))
    command = ["msrnet", "--weights", str(weights), "--out", str(tmp_path), "--card"]
    assert main(command) == 0
    after = json.loads(card.read_text())
    assert {key: value for key, value in after.items() if key != "exported"} == {
        key: value for key, value in before.items() if key != "exported"
    }
    own = {name: sha256(tmp_path / name) for name in ("msrnet.onnx", "msrnet_fp16.onnx")}
    assert after["exported"]["sha256"] == {"other.onnx": "0", **own}
    assert main([*command, "--size", "16x16"]) == 2
    card.write_text("[]")
    assert main(command) == 2
