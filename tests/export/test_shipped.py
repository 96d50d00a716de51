"""The ONNX files that the package carries are what the shipped weights export to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from export.contract import check
from export.onnx_files import load
from runtime.files import sha256
from train.networks.registry import get_spec
from train.networks.weights import default_path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "runtime" / "models").glob("*.onnx"))


def test_the_default_network_is_shipped() -> None:
    assert {"pdn.onnx", "pdn_fp16.onnx"} <= {path.name for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_it_holds_the_shipped_weights_and_keeps_its_contract(path: Path) -> None:
    model, info = load(path)
    spec = get_spec(info.network)
    assert check(model, spec.contract) and info.contract == spec.contract
    assert (info.halo, info.multiple, info.trained) == (spec.halo, spec.multiple, True)
    weights = default_path(spec)
    assert info.weights_sha256 == (None if weights is None else sha256(weights)), (
        f"{path.name} is of other weights; export it again with: python export/to_onnx.py {info.network} --out runtime/models"
    )


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_card_of_its_weights_names_it(path: Path) -> None:
    _, info = load(path)
    weights = default_path(get_spec(info.network))
    if weights is not None:
        card = json.loads(weights.with_suffix(".json").read_text())
        assert card["exported"]["sha256"][path.name] == sha256(path), (
            f"export it again with: python export/to_onnx.py {info.network} --out runtime/models --card"
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pdn", "msr"])
def test_exporting_again_gives_the_same_bytes(name: str, exported: Callable[[str], Path]) -> None:
    for file_name in (f"{name}.onnx", f"{name}_fp16.onnx"):
        assert (exported(name) / file_name).read_bytes() == (ROOT / "runtime" / "models" / file_name).read_bytes()
