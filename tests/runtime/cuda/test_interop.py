"""GPU arrays of other libraries: what is accepted, what is refused with which words, what kind comes out."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from runtime.cuda import Gpu
from runtime.cuda.interop import allocate_like, as_device_images, current_stream, is_device_array
from runtime.errors import InputError
from tests.support.fake_cuda import DeviceArray, FakeCuda

GPU = Gpu(FakeCuda(), 0, 1)


class OnGpu:
    """A CPU tensor that says of itself, by DLPack, that it lies on a GPU."""

    def __init__(self, tensor: torch.Tensor, device: tuple[int, int] = (2, 0)) -> None:
        self.tensor = tensor
        self.device = device
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        self.streams.append(stream)
        return self.tensor.__dlpack__()


def picture(*shape: int) -> torch.Tensor:
    return torch.arange(int(np.prod(shape))).remainder(256).to(torch.uint8).reshape(shape)


def read(pointer: int, count: int) -> bytes:
    return ctypes.string_at(pointer, count)


def test_dlpack_hands_over_the_memory_itself() -> None:
    tensor = picture(2, 5, 7, 3)
    images = as_device_images(OnGpu(tensor), 0, GPU)
    assert images.pointer == tensor.data_ptr()
    assert images.shape == (2, 5, 7, 3)
    assert read(images.pointer, 10) == bytes(range(10))


def test_a_tensor_of_torch_is_shared_while_its_gpu_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch refuses where it isn't."""

    class Tensor(OnGpu):
        device = "cuda:1"  # pyright: ignore[reportAssignmentType]
        current = "cuda:0"

        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor
            self.streams = []

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 1

        def __dlpack__(self, *, stream: int | None = None) -> Any:
            if Tensor.current != self.device:
                raise BufferError("Can't export tensors on a different CUDA device index")
            return super().__dlpack__(stream=stream)

    @contextmanager
    def on(name: str) -> Generator[None]:
        before, Tensor.current = Tensor.current, name
        yield
        Tensor.current = before

    fake = SimpleNamespace(Tensor=Tensor, cuda=SimpleNamespace(device=on))
    monkeypatch.setitem(sys.modules, "torch", fake)  # pyright: ignore[reportArgumentType]
    tensor = Tensor(picture(5, 7, 3))
    assert as_device_images(tensor, 0, Gpu(FakeCuda(), 1, 2)).pointer == tensor.tensor.data_ptr()
    assert Tensor.current == "cuda:0"


def test_one_picture_is_a_batch_of_one() -> None:
    assert as_device_images(OnGpu(picture(5, 7, 3)), 0, GPU).shape == (1, 5, 7, 3)


def test_a_slice_starts_where_it_starts() -> None:
    batch = picture(4, 5, 7, 3)
    assert as_device_images(OnGpu(batch[2:]), 0, GPU).pointer == batch.data_ptr() + 2 * 5 * 7 * 3


def test_the_memory_lives_as_long_as_the_result() -> None:
    images = as_device_images(OnGpu(picture(16, 16, 3)), 0, GPU)
    assert read(images.pointer, 10) == bytes(range(10))
    assert images.owner is not None


@pytest.mark.parametrize(("stream", "told"), [(0, 1), (4711, 4711)])
def test_dlpack_is_told_the_stream_by_its_own_numbers(stream: int, told: int) -> None:
    array = OnGpu(picture(5, 7, 3))
    as_device_images(array, stream, GPU)
    assert array.streams == [told]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.zeros(5, 7, 3), "expected uint8, found"),
        (torch.zeros(5, 7, 3, dtype=torch.int8), "expected uint8"),
        (picture(3, 5, 7), "channels first"),
        (picture(2, 3, 5, 7), "channels first"),
        (picture(5, 7), "expected H x W x 3"),
        (picture(1, 1, 5, 7, 3), "expected H x W x 3"),
        (picture(5, 7, 4), "expected H x W x 3"),
        (picture(0, 7, 3), "holds no pixels"),
        (picture(7, 5, 3).permute(1, 0, 2), "not C-contiguous"),
        (picture(5, 14, 3)[:, ::2], "not C-contiguous"),
    ],
)
def test_what_is_no_picture_is_refused(tensor: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        as_device_images(OnGpu(tensor), 0, GPU)


def test_strides_of_single_elements_say_nothing() -> None:
    assert as_device_images(OnGpu(picture(5, 7, 3)[None][:1]), 0, GPU).shape == (1, 5, 7, 3)
    assert as_device_images(OnGpu(picture(1, 7, 3).as_strided((1, 7, 3), (999, 3, 1))), 0, GPU).shape == (1, 1, 7, 3)


def test_other_devices_are_refused() -> None:
    with pytest.raises(InputError, match="DLPack device 1"):
        as_device_images(torch.zeros(5, 7, 3, dtype=torch.uint8), 0, GPU)
    with pytest.raises(InputError, match="lies on GPU 1, the session runs on GPU 0"):
        as_device_images(OnGpu(picture(5, 7, 3), (2, 1)), 0, GPU)
    assert as_device_images(OnGpu(picture(5, 7, 3), (2, 1)), 0, Gpu(FakeCuda(), 1, 2)).shape == (1, 5, 7, 3)
    with pytest.raises(InputError, match=r"found builtins\.list"):
        as_device_images([1, 2, 3], 0, GPU)


def test_an_array_that_will_not_be_shared_says_why() -> None:
    class Unwilling(OnGpu):
        def __dlpack__(self, *, stream: int | None = None) -> Any:
            raise BufferError("can't export a tensor that requires a gradient")

    with pytest.raises(InputError, match="requires a gradient"):
        as_device_images(Unwilling(picture(5, 7, 3)), 0, GPU)


def test_the_array_interface_hands_over_the_memory_itself() -> None:
    array = np.arange(105, dtype=np.uint8).reshape(5, 7, 3)
    images = as_device_images(DeviceArray(array), 0, GPU)
    assert (images.pointer, images.shape) == (array.ctypes.data, (1, 5, 7, 3))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (DeviceArray(np.zeros((5, 7, 3), np.uint8).transpose(1, 0, 2)), "not C-contiguous"),
        (DeviceArray(np.zeros((5, 7, 3), np.uint8), typestr="<f2"), "expected uint8, found .* of <f2"),
        (DeviceArray(np.zeros((5, 7, 3), np.uint8), mask=object()), "masked"),
        (DeviceArray(np.zeros((0, 7, 3), np.uint8), data=(0, False)), "holds no pixels"),
        (DeviceArray(np.zeros((5, 7, 3), np.uint8), data=(0, False)), "no memory behind it"),
        (DeviceArray(np.zeros((5, 7, 3), np.uint8), stream=0), "stream 0"),
    ],
)
def test_the_array_interface_is_checked_as_well(array: DeviceArray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        as_device_images(array, 0, GPU)


def test_a_read_only_array_takes_no_result() -> None:
    memory = np.zeros((5, 7, 3), np.uint8)
    array = DeviceArray(memory, data=(memory.ctypes.data, True))
    assert as_device_images(array, 0, GPU).pointer == memory.ctypes.data
    with pytest.raises(InputError, match="is read-only"):
        as_device_images(array, 0, GPU, writable=True)


@pytest.mark.parametrize("legacy", [False, True])
def test_the_producers_stream_is_waited_for_without_the_host(legacy: bool) -> None:
    """In the session's context, of which that default stream is, too; on a thread where another one is current."""
    cuda = FakeCuda()
    cuda.current_by_application = 99
    gpu = Gpu(cuda, 0, cuda.open_context(0))
    cuda.current_by_application = None
    with cuda.using(99):
        producer, consumer = (1 if legacy else cuda.create_stream()), cuda.create_stream()
        done: list[str] = []
        cuda.enqueue(producer, lambda: done.append("produced"))
    as_device_images(DeviceArray(np.zeros((5, 7, 3), np.uint8), stream=producer), consumer, gpu)
    cuda.enqueue(consumer, lambda: done.append("consumed"))
    assert done == []
    with cuda.using(99):
        cuda.synchronize(consumer)
    assert done == ["produced", "consumed"]
    assert "events" not in cuda.leaks()


def test_one_stream_needs_no_order() -> None:
    cuda = FakeCuda()
    for producer, consumer in ((1, 0), (4711, 4711)):
        as_device_images(DeviceArray(np.zeros((5, 7, 3), np.uint8), stream=producer), consumer, Gpu(cuda, 0, 1))
    assert cuda.calls == []


def test_device_arrays_are_told_from_host_arrays() -> None:
    assert is_device_array(OnGpu(picture(5, 7, 3)))
    assert is_device_array(DeviceArray(np.zeros((5, 7, 3), np.uint8)))
    for other in (np.zeros((5, 7, 3), np.uint8), torch.zeros(5), [1], None, b"x", OnGpu(picture(5), (1, 0))):
        assert not is_device_array(other)


def test_torch_gives_torch() -> None:
    like = allocate_like(picture(5, 7, 3).permute(1, 0, 2))
    assert isinstance(like, torch.Tensor)
    assert (like.shape, like.dtype, like.is_contiguous()) == ((7, 5, 3), torch.uint8, True)


class Library:
    """A stand-in for a GPU library: its array class, its way to allocate, its current stream."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
        class Array(DeviceArray):
            def __init__(self, shape: Any, dtype: Any) -> None:
                super().__init__(np.zeros(shape, dtype))
                self.shape, self.dtype = shape, dtype
                self.device = self

            def __enter__(self) -> None: ...

            def __exit__(self, *_: object) -> None: ...

        self.Array = Array
        self.module = ModuleType(module)
        setattr(self.module, name, Array)
        monkeypatch.setitem(sys.modules, module, self.module)


@pytest.mark.parametrize(
    ("module", "name", "maker"),
    [
        ("cupy", "ndarray", "cupy.empty"),
        ("pycuda.gpuarray", "GPUArray", "pycuda.gpuarray.GPUArray"),
        ("numba.cuda.cudadrv.devicearray", "DeviceNDArray", "numba.cuda.device_array"),
    ],
)
def test_each_library_gives_its_own_kind(monkeypatch: pytest.MonkeyPatch, module: str, name: str, maker: str) -> None:
    library = Library(monkeypatch, module, name)
    where, _, function = maker.rpartition(".")
    if where not in sys.modules:
        monkeypatch.setitem(sys.modules, where, ModuleType(where))
    setattr(sys.modules[where], function, library.Array)
    like = allocate_like(library.Array((5, 7, 3), np.uint8))
    assert type(like) is library.Array
    assert like.shape == (5, 7, 3)


def test_cupys_current_stream_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(monkeypatch, "cupy", "ndarray")

    class Stream:
        ptr = 4711

    class Cuda:
        @staticmethod
        def get_current_stream() -> type[Stream]:
            return Stream

    library.module.cuda = Cuda  # pyright: ignore[reportAttributeAccessIssue]
    assert current_stream(library.Array((5, 7, 3), np.uint8)) == 4711
    assert current_stream(DeviceArray(np.zeros((5, 7, 3), np.uint8))) == 0


def test_an_unknown_kind_asks_for_out() -> None:
    with pytest.raises(InputError, match="out="):
        allocate_like(DeviceArray(np.zeros((5, 7, 3), np.uint8)))
