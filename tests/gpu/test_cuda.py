"""Both CUDA implementations on a real GPU."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from runtime.cuda import Cuda, open_cuda
from tests.gpu.marks import needs_gpu
from tests.support import scenario

pytestmark = [pytest.mark.gpu, needs_gpu]

MODULES = {"cuda-python": "cuda", "pycuda": "pycuda"}


@pytest.fixture(params=list(MODULES))
def cuda(request: pytest.FixtureRequest) -> Iterator[Cuda]:
    if find_spec(MODULES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    cuda = open_cuda(request.param)
    context = cuda.open_context(0)
    with cuda.using(context):
        yield cuda
    cuda.close_context(context)


def test_the_gpu_describes_itself(cuda: Cuda) -> None:
    properties = cuda.properties(0)
    major, _, minor = properties.sm.partition(".")
    assert properties.name
    assert int(major) >= 7 and minor.isdigit()
    assert properties.memory_bytes > 1 << 30


def test_copies(cuda: Cuda) -> None:
    scenario.copies(cuda, too_much=1 << 50)


def test_events(cuda: Cuda) -> None:
    assert 0.0 <= scenario.events(cuda) < 1000.0


def test_graphs(cuda: Cuda) -> None:
    scenario.graphs(cuda)


def test_threads(cuda: Cuda) -> None:
    context = cuda.open_context(0)
    scenario.threads(cuda, context, too_much=1 << 50)
    cuda.close_context(context)
