"""PyTorch as a contender: as it is, compiled, and on a GPU replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness.contenders import Contender, OpenContender, in_half, lanes_of, pictures_of
from benchmarks.harness.lane import Bound
from benchmarks.harness.timing import timed
from export.image_graph import ImageGraph
from runtime.artifact import ArtifactInfo
from runtime.errors import BackendUnavailableError, InputError
from runtime.images import Images
from train.networks.registry import get_spec
from train.networks.weights import load

_LABELS = {"torch": "torch, channels last", "torch-compile": "torch.compile", "torch-graph": "torch, CUDA graph"}
#: Runs before a graph is recorded: what torch compiles and chooses by trying is settled by then.
_RUNS_BEFORE_GRAPH = 3


class Halved(nn.Module):
    """A network in FP16, weights and all; what asks for FP32 inside it, and gets it, meets convolutions in FP16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_pre_hook(_in_half)

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image.half()).float()


def _in_half(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].half(), *inputs[1:])


def open_contender(contender: Contender, info: ArtifactInfo) -> OpenContender:
    """The network that the artifact was exported from, in channels-last memory."""
    on_gpu = contender.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise BackendUnavailableError(f"torch {torch.__version__} has no CUDA here")
    if contender.kind == "torch-graph" and not on_gpu:
        raise InputError("torch-graph records a CUDA graph; on a CPU compare with torch or torch-compile")
    if contender.threads is not None:
        torch.set_num_threads(contender.threads)
    spec = get_spec(info.network)
    half = on_gpu and info.precision == "fp16" and in_half(spec)
    network = load(spec).network
    module: Any = ImageGraph(Halved(network) if half else network, spec.multiple).eval()
    module = module.to(contender.device, memory_format=torch.channels_last)
    if contender.kind == "torch-compile":
        # Of its modes the one that tries every kernel; the graph around them is recorded here, as for torch-graph.
        module = torch.compile(module, dynamic=False, mode="max-autotune-no-cudagraphs" if on_gpu else None)

    def forward(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return module(images)

    label, precision = _LABELS[contender.kind], "fp16" if half else "fp32"
    if not on_gpu:

        def enhance(pictures: Images) -> Images:
            return forward(torch.from_numpy(pictures)).numpy()

        images = pictures_of(contender)
        run, any_shape = timed(lambda: enhance(images)), contender.kind == "torch"
        return OpenContender(contender, info, label, precision, "cpu", run, enhance, any_shape=any_shape)
    if contender.kind == "torch-compile":
        label += ", max-autotune, CUDA graph"
    captured, shape = contender.kind != "torch", pictures_of(contender).shape
    lanes = lanes_of(contender, lambda source, target, stream: _bind(forward, captured, shape, source, target, stream))
    run, close = lanes.sample, lanes.close
    return OpenContender(contender, info, label, precision, "cuda:0", run, lanes.enhance, close, lanes=lanes)


class _OnDevice:
    """Device memory that torch can look into: the CUDA array interface."""

    def __init__(self, pointer: int, shape: tuple[int, ...]) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": "|u1", "data": (pointer, False), "strides": None, "version": 3,
        }  # fmt: skip


def _bind(
    forward: Callable[[Tensor], Tensor], captured: bool, shape: tuple[int, ...], source: int, target: int, stream: int
) -> Bound:
    """The network on device memory and on a stream; `captured` as a CUDA graph."""
    images, out = (torch.as_tensor(_OnDevice(pointer, shape), device="cuda") for pointer in (source, target))
    own: Any = torch.cuda.ExternalStream(stream)

    def enqueue() -> None:
        with torch.cuda.stream(own):
            out.copy_(forward(images))

    if not captured:
        return Bound(enqueue)
    for _ in range(_RUNS_BEFORE_GRAPH):
        enqueue()
    own.synchronize()
    graph: Any = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=own):
        out.copy_(forward(images))

    def replay() -> None:
        with torch.cuda.stream(own):
            graph.replay()

    return Bound(replay, graph.reset)
