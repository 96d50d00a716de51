"""Every operation of the protocol, once, on one implementation and the fake driver. Run by test_implementations.

python scenario.py NAME DRIVER.so
"""

from __future__ import annotations

import ctypes
import sys
import threading
from functools import partial

import numpy as np

from runtime.cuda import Cuda, open_cuda
from runtime.errors import BackendError, GpuLostError, GpuMemoryError, InputError


def raises(kind: type[Exception], words: str, call: object, *arguments: object) -> None:
    try:
        call(*arguments)  # pyright: ignore[reportCallIssue]
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"{call} raised nothing")


def devices(cuda: Cuda, name: str) -> None:
    assert cuda.name == name
    assert cuda.device_count() == 1
    properties = cuda.properties(0)
    assert (properties.name, properties.sm, properties.cuda) == ("Fake Driver GPU", "8.9", "13.0")
    assert properties.memory_bytes == 6 << 30
    assert properties.uuid == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
    raises(InputError, "there is no GPU 1", cuda.properties, 1)
    raises(InputError, "there is no GPU -1", cuda.open_context, -1)


def copies(cuda: Cuda, too_much: int = 7 << 30) -> None:
    stream = cuda.create_stream()
    first, second = cuda.allocate(1000), cuda.allocate(1000)
    source, target = cuda.allocate_host(1000), cuda.allocate_host(1000)
    assert source.shape == (1000,) and source.dtype == np.uint8
    source[:] = np.arange(1000) % 256
    cuda.copy_to_device(first, source, stream)
    cuda.copy_on_device(second, first, 1000, stream)
    cuda.copy_to_host(target, second, stream)
    cuda.synchronize(stream)
    assert np.array_equal(source, target)
    target[:] = 0
    cuda.copy_to_host(target[:10], second, stream)
    cuda.synchronize(stream)
    assert np.array_equal(target[:10], source[:10]) and not target[10:].any()
    # On a stream that isn't one of ours, as a caller's.
    source[:] = 7
    cuda.copy_to_device(first, source, 0)
    cuda.copy_on_device(second, first, 1000, 0)
    cuda.copy_to_host(target, second, 0)
    cuda.synchronize(0)
    assert (target == 7).all()
    raises(BackendError, "OUT_OF_MEMORY" if cuda.name == "cuda-python" else "memory", cuda.allocate, too_much)
    for pointer in (first, second):
        cuda.free(pointer)
    for array in (source, target):
        cuda.free_host(array)
    cuda.destroy_stream(stream)


def events(cuda: Cuda) -> float:
    """Return the milliseconds between two events with nothing between them."""
    stream = cuda.create_stream()
    start, end, plain = cuda.create_event(timing=True), cuda.create_event(timing=True), cuda.create_event()
    cuda.record(start, stream)
    cuda.record(end, stream)
    cuda.record(plain, 0)
    cuda.synchronize_event(end)
    elapsed = cuda.elapsed_ms(start, end)
    cuda.wait(stream, plain)
    cuda.wait(0, end)
    raises(BackendError, "cuEventElapsedTime", cuda.elapsed_ms, start, plain)
    for event in (start, end, plain):
        cuda.destroy_event(event)
    cuda.destroy_stream(stream)
    return elapsed


def graphs(cuda: Cuda) -> None:
    stream, other = cuda.create_stream(), cuda.create_stream()
    source, target, pointer = cuda.allocate_host(16), cuda.allocate_host(16), cuda.allocate(16)
    target[:] = 0
    source[:] = 1
    cuda.begin_capture(stream)
    assert cuda.is_capturing(stream) and not cuda.is_capturing(other)
    cuda.copy_to_device(pointer, source, stream)
    cuda.copy_to_host(target, pointer, stream)
    graph = cuda.end_capture(stream)
    assert not cuda.is_capturing(stream)
    assert not target.any(), "capturing ran the work"
    for code in (7, 9):
        source[:] = code
        cuda.launch(graph, other)
        cuda.synchronize(other)
        assert (target == code).all()
    raises(BackendError, "cuStreamBeginCapture", cuda.begin_capture, 0)
    raises(BackendError, "cuStreamEndCapture", cuda.end_capture, stream)
    # Waiting for what is only being recorded spoils the recording, and only that.
    cuda.begin_capture(stream)
    cuda.copy_to_device(pointer, source, stream)
    raises(BackendError, "CAPTURE_UNSUPPORTED", cuda.synchronize, stream)
    assert cuda.is_capturing(stream)
    raises(BackendError, "CAPTURE_INVALIDATED", cuda.end_capture, stream)
    cuda.copy_to_host(target, pointer, stream)
    cuda.synchronize(stream)
    cuda.destroy_graph(graph)
    cuda.free(pointer)
    cuda.free_host(source)
    cuda.free_host(target)
    cuda.destroy_stream(stream)
    cuda.destroy_stream(other)


def threads(cuda: Cuda, context: int, too_much: int = 7 << 30) -> None:
    """Each thread has a current context of its own, and none at first."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            raises(BackendError, "", cuda.create_event)
            with cuda.using(context):
                copies(cuda, too_much)
            raises(BackendError, "", cuda.create_event)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors, errors


def two_sessions(cuda: Cuda, context: int) -> None:
    """What one session allocated outlives another session that used the same context."""
    second = cuda.open_context(0)
    assert second == context
    with cuda.using(second):
        pointer = cuda.allocate(100)
    cuda.close_context(second)
    with cuda.using(context):
        cuda.free(pointer)


def sessions_inside_a_session(cuda: Cuda, context: int, library: ctypes.CDLL) -> None:
    """Contexts opened and closed while the first one's is current, and on a thread where none is, leave it retained."""
    with cuda.using(context):
        assert cuda.current_context(0) == context
        cuda.close_context(cuda.open_context(0))
        assert library.fake_retained() == 1, "the first session's context is gone"
        cuda.close_context(cuda.open_context(0, primary=True))
        assert library.fake_retained() == 1, "the first session's context is gone"
    outside = cuda.open_context(0)
    with cuda.using(outside):
        inside = cuda.open_context(0)
    for opened in (outside, inside):
        cuda.close_context(opened)
    assert cuda.current_context(0) == 0
    assert library.fake_retained() == 1


def finalizer(cuda: Cuda, library: ctypes.CDLL) -> None:
    """The garbage collector may close a session's context while this thread is opening another one."""
    first = cuda.open_context(0)
    with cuda._lock:  # pyright: ignore
        second = cuda.open_context(0)
        cuda.close_context(first)
    cuda.close_context(second)
    assert library.fake_retained() == 1


def lost(cuda: Cuda, library: ctypes.CDLL) -> None:
    """After a failure that CUDA doesn't recover from every call is one that says so; others are not."""
    stream = cuda.create_stream()
    library.fake_lose(1)
    for call in (partial(cuda.synchronize, stream), partial(cuda.allocate, 16), partial(cuda.allocate_host, 16)):
        raises(GpuLostError, "end it and start another", call)
    library.fake_lose(0)
    raises(GpuMemoryError, "", cuda.allocate, 7 << 30)
    cuda.destroy_stream(stream)


def foreign(cuda: Cuda, library: ctypes.CDLL) -> None:
    """A context that C++ has made current, behind the back of the library that `cuda` is implemented on."""
    library.fake_application_context.restype = library.fake_push_primary.restype = ctypes.c_void_p
    expected = library.fake_push_primary()
    retained = library.fake_retained()
    context = cuda.open_context(0)
    assert context == expected == cuda.current_context(0)
    with cuda.using(context):
        copies(cuda)
    library.fake_application_context()
    with cuda.using(context):
        copies(cuda)
        other = library.fake_application_context()
        assert cuda.current_context(0) == other
        with cuda.using(context):
            copies(cuda)
            assert cuda.current_context(0) == context
        assert cuda.current_context(0) == other
        if cuda.name == "pycuda":
            raises(BackendError, "PyCUDA can't work in it", cuda.open_context, 0)
        assert cuda.current_context(0) == other
        main_context = cuda.open_context(0, primary=True)
        assert main_context == context
        cuda.close_context(main_context)
        assert cuda.current_context(0) == other
        library.fake_pop()
    assert cuda.current_context(0) == other
    cuda.close_context(context)
    assert library.fake_retained() == retained
    assert library.fake_depth() == 2
    library.fake_pop()
    library.fake_pop()
    library.fake_release_primary()


def application(cuda: Cuda, library: ctypes.CDLL) -> None:
    """A context that the application made current is used, and is current and alive afterwards."""
    if cuda.name == "pycuda":
        from pycuda import driver  # pyright: ignore[reportMissingImports]

        made = driver.Device(0).retain_primary_context()
        made.push()
        expected = made.handle
    else:
        library.fake_application_context.restype = ctypes.c_void_p
        expected = library.fake_application_context()
    retained = library.fake_retained()
    context = cuda.open_context(0)
    assert context == expected
    copies(cuda)
    with cuda.using(context):
        copies(cuda)
    cuda.close_context(context)
    copies(cuda)
    assert library.fake_retained() == retained
    assert library.fake_depth() == 1
    if cuda.name == "pycuda":
        driver.Context.pop()  # pyright: ignore[reportPossiblyUnboundVariable]
        made.detach()  # pyright: ignore[reportPossiblyUnboundVariable]


def main(name: str, driver: str) -> None:
    cuda = open_cuda(name)
    assert open_cuda(name) is cuda
    library = ctypes.CDLL(driver)
    assert library.fake_retained() == 0, "importing retained a context"
    devices(cuda, name)
    raises(BackendError, "", cuda.create_event)
    context = cuda.open_context(0)
    assert library.fake_retained() == 1
    with cuda.using(context):
        copies(cuda)
        assert events(cuda) == 1.5
        graphs(cuda)
        with cuda.using(context):
            copies(cuda)
        copies(cuda)
        lost(cuda, library)
    raises(BackendError, "", cuda.create_event)
    threads(cuda, context)
    two_sessions(cuda, context)
    sessions_inside_a_session(cuda, context, library)
    finalizer(cuda, library)
    cuda.close_context(context)
    assert library.fake_live() == 0, f"{library.fake_live()} things were left"
    assert library.fake_retained() == 0, "the primary context is still retained"
    assert library.fake_depth() == 0, "a context is still current"
    foreign(cuda, library)
    assert library.fake_retained() == 0 and library.fake_depth() == 0
    application(cuda, library)
    print("every operation worked")


if __name__ == "__main__":
    main(*sys.argv[1:])
