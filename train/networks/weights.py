"""Trained weights on disk: safetensors of 16 or 8 bits in train/weights/, read into FP32 networks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from runtime.files import write_atomically
from train.errors import WeightsError
from train.networks.registry import NetworkSpec

#: Where the weights that were trained for the project lie.
FOLDER = Path(__file__).resolve().parents[1] / "weights"
#: The ending of the names of the scales of 8-bit weights, and the number of weights from which on a convolution has them.
_SCALE, _LEAST_CODED = ":scale", 4096


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready for export: in eval mode, float32."""

    network: nn.Module
    #: False: a seeded initialisation, whose output is no picture.
    trained: bool
    #: Of the weights file; None where there is none.
    sha256: str | None
    path: Path | None


def default_path(spec: NetworkSpec) -> Path | None:
    """The file in train/weights/ that belongs to a network; None for a network without weights."""
    return None if spec.weights is None else FOLDER / f"{spec.weights}.safetensors"


def load(spec: NetworkSpec, path: Path | None = None, **build_keywords: Any) -> LoadedNetwork:
    """Build a network and read its weights.

    Without `path`, the project's own weights are read if they exist for these keywords; else the network keeps its
    seeded initialisation. A `path` that cannot be used is a `WeightsError`.
    """
    network = build_seeded(spec, **build_keywords)
    if spec.weights is None:
        return LoadedNetwork(network, trained=True, sha256=None, path=None)
    chosen = path if path is not None else default_path(spec)
    assert chosen is not None
    if path is None and not chosen.is_file():
        return LoadedNetwork(network, trained=False, sha256=None, path=None)
    content, tensors, metadata = read(chosen)
    found = metadata.get("network")
    if found != spec.weights:
        raise WeightsError(f"{chosen} holds weights of {found!r}, not of {spec.weights!r}; pass the file of {spec.name}")
    if metadata.get("build") != _build_json(build_keywords):
        if path is None:  # The project's weights are of another reading of the paper.
            return LoadedNetwork(network, trained=False, sha256=None, path=None)
        raise WeightsError(
            f"{chosen} was trained with build keywords {metadata.get('build')}, not {_build_json(build_keywords)}; "
            "build the network with those of the file"
        )
    try:
        network.load_state_dict({**_absent_identities(network, tensors), **tensors})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{chosen} does not fit {spec.name}: {reason}; train it again with train/train.py") from error
    return LoadedNetwork(network, trained=True, sha256=hashlib.sha256(content).hexdigest(), path=chosen)


def save(network: nn.Module, spec: NetworkSpec, path: Path, metadata: Mapping[str, str], **build_keywords: Any) -> str:
    """Write a network's weights, floats as FP16 or 8 bits, to a temporary name and rename it; return the file's SHA-256.

    Running statistics of batch normalisation and their counters are kept. Of blocks that are identities nothing is stored.
    """
    from safetensors.torch import save as serialise

    tensors: dict[str, Tensor] = {}
    identities = _identities(network)
    for name, value in network.state_dict().items():
        if name.startswith(identities):
            continue
        stored = value.detach().cpu().contiguous()
        if spec.weight_bits == 8 and stored.dim() == 4 and stored.numel() > _LEAST_CODED:
            tensors[name], tensors[name + _SCALE] = _to_codes(stored)
        else:
            tensors[name] = stored.half() if stored.is_floating_point() else stored
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{name} of {spec.name} holds values that FP16 cannot store; nothing was written")
    header = {**metadata, "network": spec.weights or spec.name, "build": _build_json(build_keywords)}
    content = _sort_header(serialise(tensors, metadata=header))
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def _to_codes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A convolution's weights as codes of 8 bits, and what one code is worth in each slice along the first axis."""
    scale = (weight.abs().amax((1, 2, 3)) / 127).clamp(min=1e-7).half()
    return torch.round(weight / scale.float()[:, None, None, None]).clamp(-127, 127).to(torch.int8), scale


def _from_codes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The opposite, for the codes among the tensors of a file."""
    return {
        name: value.float() * tensors[name + _SCALE].float()[:, None, None, None] if value.dtype == torch.int8 else value
        for name, value in tensors.items()
        if not name.endswith(_SCALE)
    }


def _identities(network: nn.Module) -> tuple[str, ...]:
    """Prefixes of the parts of a network that are identities; () for one that does not say."""
    return tuple(getattr(network, "identities", tuple)())


def _absent_identities(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros, which make an identity, for each part of a new network that may be one and of which a file holds nothing."""
    absent = tuple(prefix for prefix in _identities(network) if not any(name.startswith(prefix) for name in tensors))
    return {name: torch.zeros_like(value) for name, value in network.state_dict().items() if name.startswith(absent)}


def _sort_header(content: bytes) -> bytes:
    """The same file with its header in a fixed order: safetensors writes the metadata in a random one."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def build_seeded(spec: NetworkSpec, seed: int = 0, **build_keywords: Any) -> nn.Module:
    """A network with the initialisation of `seed`, in eval mode; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec.build(**build_keywords).float().eval()


def read(path: Path) -> tuple[bytes, dict[str, Tensor], dict[str, str]]:
    """The bytes, the tensors as float32, and the metadata of a file."""
    from safetensors import SafetensorError
    from safetensors.torch import load as deserialise

    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}; check the path") from error
    try:
        tensors = _from_codes(deserialise(content))
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is no intact safetensors file ({error}); fetch or train it again") from error
    return content, {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}, metadata


def _build_json(keywords: Mapping[str, Any]) -> str:
    """The keywords that shape a network. A path only says where frozen values came from: the file holds them."""
    return json.dumps({key: value for key, value in sorted(keywords.items()) if not isinstance(value, Path)})
