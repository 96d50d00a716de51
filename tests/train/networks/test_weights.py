"""Weights on disk: what survives, and what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from train.errors import WeightsError
from train.networks import get_spec, weights


def trained_sri() -> Any:
    torch.manual_seed(4)
    network = get_spec("sri").build()
    network.train()
    network(torch.rand(1, 3, 8, 8))
    return network


def test_batch_statistics_survive(tmp_path: Path) -> None:
    network, spec = trained_sri(), get_spec("sri")
    sha256 = weights.save(network, spec, tmp_path / "sri.safetensors", {"recipe": "best"})
    loaded = weights.load(spec, tmp_path / "sri.safetensors")
    assert loaded.trained and loaded.sha256 == sha256 and loaded.path == tmp_path / "sri.safetensors"
    assert not loaded.network.training
    for name, value in network.state_dict().items():
        stored = loaded.network.state_dict()[name]
        assert stored.dtype == (torch.int64 if "num_batches" in name else torch.float32)
        assert torch.equal(stored, value.half().float() if value.is_floating_point() else value)
    assert loaded.network.state_dict()["head.1.num_batches_tracked"] == 1


def test_floats_are_stored_in_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "sri.safetensors"
    weights.save(trained_sri(), get_spec("sri"), path, {"recipe": "best"})
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert header["__metadata__"] == {"network": "sri", "build": "{}", "recipe": "best"}
    assert {each["dtype"] for name, each in header.items() if name != "__metadata__"} == {"F16", "I64"}
    assert [each.name for each in tmp_path.iterdir()] == ["sri.safetensors"]


def test_weights_of_eight_bits_are_half_a_code_off_at_most(tmp_path: Path) -> None:
    network, spec = get_spec("blnet").build(), get_spec("blnet")
    weights.save(network, spec, tmp_path / "blnet.safetensors", {})
    stored = weights.load(spec, tmp_path / "blnet.safetensors").network.state_dict()
    coded = [name for name, value in network.state_dict().items() if value.dim() == 4 and value.numel() > 4096]
    assert len(coded) > 10
    for name, value in network.state_dict().items():
        if name in coded:
            code = value.abs().amax((1, 2, 3), keepdim=True) / 127
            assert float(((stored[name] - value).abs() / code).max()) < 0.6 and not torch.equal(stored[name], value)
        else:
            assert torch.equal(stored[name], value.half().float())
    assert (tmp_path / "blnet.safetensors").stat().st_size < 8e6


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    network = trained_sri()
    facts = {"recipe": "best", "steps": "9", "device": "CPU"}
    assert len({weights.save(network, get_spec("sri"), tmp_path / str(number), facts) for number in range(6)}) == 1


def test_without_a_file_the_initialisation_is_seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    state = torch.random.get_rng_state()
    first, second = (weights.load(get_spec("msrnet")) for _ in range(2))
    assert not first.trained and first.sha256 is None and first.path is None
    assert torch.equal(first.network.state_dict()["restore.weight"], second.network.state_dict()["restore.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_projects_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    spec = get_spec("msrnet")
    weights.save(weights.build_seeded(spec, 9), spec, tmp_path / "msrnet.safetensors", {})
    assert weights.load(spec).trained
    # Another reading of the paper has no weights of its own.
    assert not weights.load(spec, log_width=3).trained


def test_networks_without_weights_count_as_trained() -> None:
    loaded = weights.load(get_spec("msr"))
    assert loaded.trained and loaded.sha256 is None


def test_blocks_that_are_identities_are_not_stored(tmp_path: Path) -> None:
    spec = get_spec("dsn")
    network: Any = weights.build_seeded(spec, 1)
    for block in network.blocks[:2]:
        torch.nn.init.normal_(block.shift.narrow.weight, std=0.1)
    file = tmp_path / "dsn.safetensors"
    weights.save(network, spec, file, {})
    assert file.stat().st_size < 2.5e6  # of 9e6
    loaded: Any = weights.load(spec, file)
    assert loaded.trained and loaded.network.identities() == tuple(f"blocks.{n}." for n in range(2, 8))
    image = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network(image), network(image), rtol=0.0, atol=2e-3)
    _, tensors, metadata = weights.read(file)
    tensors.pop("blocks.1.scale.narrow.weight")  # Of a block that is there, nothing may be missing.
    file.write_bytes(safetensors.torch.save(tensors, metadata))
    with pytest.raises(WeightsError, match=r"does not fit dsn: .*blocks\.1\.scale\.narrow\.weight"):
        weights.load(spec, file)


def test_both_directions_of_dsn_share_a_file(tmp_path: Path) -> None:
    spec = get_spec("dsn")
    weights.save(weights.build_seeded(spec, 1), spec, tmp_path / "dsn.safetensors", {})
    assert weights.load(get_spec("dsn-reverse"), tmp_path / "dsn.safetensors").trained


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    sri, path = get_spec("sri"), tmp_path / "sri.safetensors"
    with pytest.raises(WeightsError, match=r"cannot read the weights .*none\.safetensors.*check the path"):
        weights.load(sri, tmp_path / "none.safetensors")
    weights.save(trained_sri(), sri, path, {})
    with pytest.raises(WeightsError, match="weights of 'sri', not of 'msrnet'"):
        weights.load(get_spec("msrnet"), path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(WeightsError, match="no intact safetensors file"):
        weights.load(sri, path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="no intact safetensors file"):
        weights.load(sri, path)


def test_another_reading_of_the_paper_is_refused(tmp_path: Path) -> None:
    spec, path = get_spec("msrnet"), tmp_path / "m.safetensors"
    weights.save(weights.build_seeded(spec, log_width=3), spec, path, {}, log_width=3)
    assert weights.load(spec, path, log_width=3).trained
    with pytest.raises(WeightsError, match="was trained with build keywords"):
        weights.load(spec, path)


def test_what_half_precision_cannot_hold_is_not_written(tmp_path: Path) -> None:
    network: Any = get_spec("msrnet").build()
    network.restore.bias.data.fill_(1e6)
    with pytest.raises(WeightsError, match=r"restore\.bias"):
        weights.save(network, get_spec("msrnet"), tmp_path / "m.safetensors", {})
    assert not list(tmp_path.iterdir())
