"""The TensorRT session on a fake GPU: life cycle, errors, graphs, threads, pointers."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import runtime.backends.trt.session as trt
from runtime.artifact import manifest
from runtime.backends import get_backend
from runtime.backends.trt import contexts, kernel_cache, logger
from runtime.backends.trt.session import TensorRTSession, open_plan
from runtime.cuda import result_memory
from runtime.cuda.capture import whole_gpu
from runtime.errors import (
    ArtifactError,
    BackendError,
    BackendUnavailableError,
    ClosedError,
    GpuLostError,
    IncompatiblePlanError,
    InputError,
    ManifestError,
)
from tests.support.fake_cuda import FakeCuda, aligned, memory_at, on_device
from tests.support.fake_tensorrt import CudaGraphStrategy, FakeTensorRT, ILogger
from tests.support.forked import forked
from tests.support.plans import LARGEST, write_plan

Images = NDArray[np.uint8]
TENSORRT, RTX = get_backend("tensorrt"), get_backend("tensorrt_rtx")


@pytest.fixture
def cuda() -> Iterator[FakeCuda]:
    cuda = FakeCuda()
    yield cuda
    gc.collect()
    assert cuda.leaks() == {}


@pytest.fixture
def tensorrt(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    module = FakeTensorRT(cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", module)  # pyright: ignore[reportArgumentType]
    return module


@pytest.fixture
def session(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> Iterator[TensorRTSession]:
    session = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    yield session
    session.close()


def pictures(*shape: int, seed: int = 0) -> Images:
    """Noise, where TensorRT can read it."""
    found = blank(*shape)
    found[...] = np.random.default_rng(seed).integers(0, 256, found.shape, dtype=np.uint8)
    return found


def blank(*shape: int) -> Images:
    return aligned(*shape, 3)


def run(session: TensorRTSession, images: Images) -> Images:
    out = np.zeros_like(images)
    session.run(images, out)
    return out


def synchronize(cuda: FakeCuda, stream: int) -> None:
    with cuda.using(1):
        cuda.synchronize(stream)


# The host's memory.


def test_a_picture_is_enhanced(session: TensorRTSession) -> None:
    images = pictures(1, 33, 47)
    assert np.array_equal(run(session, images), 255 - images)
    assert (session.backend, session.device, session.info.network) == ("tensorrt", "cuda:0", "double")


def test_results_are_never_views_of_memory_that_is_used_again(session: TensorRTSession) -> None:
    first, second = pictures(1, 32, 32, seed=1), pictures(1, 32, 32, seed=2)
    one = run(session, first)
    run(session, second)
    assert np.array_equal(one, 255 - first)


def test_every_size_of_the_profile_runs(session: TensorRTSession) -> None:
    for shape in [(1, 16, 16), (4, 64, 96), (2, 17, 95), (1, 16, 16)]:
        images = pictures(*shape)
        assert np.array_equal(run(session, images), 255 - images)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 15, 47), "--min 1x15x16"),
        ((1, 33, 97), "--max 4x64x97"),
        ((5, 33, 47), "--max 5x64x96"),
        ((5, 10, 47), "--min 1x10x16 --max 5x64x96"),
    ],
)
def test_a_shape_outside_the_profile_names_it(session: TensorRTSession, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError) as caught:
        run(session, pictures(*shape))
    assert "from 1x16x16x3 to 4x64x96x3" in str(caught.value)
    assert f"retinexrt build double {words}" in str(caught.value)


def test_an_output_of_another_shape_is_refused(session: TensorRTSession) -> None:
    with pytest.raises(InputError, match="found an output of"):
        session.run(pictures(1, 32, 32), pictures(1, 32, 33))


# Graphs.


def test_the_third_run_of_a_shape_replays_a_graph(session: TensorRTSession, cuda: FakeCuda) -> None:
    for expected in (0, 0, 1, 2):
        images = pictures(1, 32, 48, seed=expected)
        assert np.array_equal(run(session, images), 255 - images)
        assert cuda.calls.count("launch") == expected
    assert cuda.calls.count("begin_capture") == 1


def test_each_shape_has_its_own_context_and_graph(session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    shapes = [(1, 32, 48), (1, 48, 32), (2, 32, 48)]
    for _ in range(4):
        for shape in shapes:
            images = pictures(*shape)
            assert np.array_equal(run(session, images), 255 - images)
    assert len(tensorrt.contexts) == 3
    assert [context.set_shapes for context in tensorrt.contexts] == [1, 1, 1]
    assert cuda.calls.count("begin_capture") == 3
    assert cuda.calls.count("launch") == 6


def test_more_shapes_than_contexts_drop_the_oldest_graph(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT
) -> None:
    for width in range(20, 32):
        for _ in range(3):
            images = pictures(1, 32, width)
            assert np.array_equal(run(session, images), 255 - images)
    assert len(tensorrt.contexts) == 4
    assert cuda.calls.count("destroy_graph") == 8
    assert cuda.leaks()["graphs"] == 4


def test_where_capture_fails_runs_go_on_without(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT, caplog: pytest.LogCaptureFixture
) -> None:
    tensorrt.synchronizes = True
    with caplog.at_level(logging.WARNING, "retinexrt.tensorrt"):
        for seed in range(5):
            images = pictures(1, 32, 48, seed=seed)
            assert np.array_equal(run(session, images), 255 - images)
    assert cuda.calls.count("begin_capture") == 3
    assert cuda.calls.count("launch") == 0
    assert "not permitted when stream is capturing" in str(session.graph_error)
    assert "no CUDA graph for (1, 32, 48, 3)" in caplog.text


def test_a_capture_that_another_thread_spoilt_is_tried_again(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "retinexrt.tensorrt"):
        for seed in range(5):
            tensorrt.synchronizes = seed == 1
            images = pictures(1, 32, 48, seed=seed)
            assert np.array_equal(run(session, images), 255 - images)
    assert (cuda.calls.count("begin_capture"), cuda.calls.count("launch")) == (2, 2)
    assert session.graph_error is None and "no CUDA graph" not in caplog.text


@pytest.mark.parametrize("step", ["begin_capture", "end_capture"])
def test_where_cuda_refuses_to_capture_runs_go_on_without(session: TensorRTSession, cuda: FakeCuda, step: str) -> None:
    cuda.failing[step] = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
    for seed in range(4):
        images = pictures(1, 32, 48, seed=seed)
        assert np.array_equal(run(session, images), 255 - images)
    assert "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" in str(session.graph_error)


def test_whatever_fails_inside_a_capture_ends_it(session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    tensorrt.failing.add("capture raises")
    for seed in range(4):
        images = pictures(1, 32, 48, seed=seed)
        assert np.array_equal(run(session, images), 255 - images)
    assert cuda.calls.count("begin_capture") == 3
    assert "out of host memory" in str(session.graph_error)


def test_a_capture_that_works_gives_the_next_one_all_its_attempts(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT
) -> None:
    out, inputs = blank(1, 32, 48), [pictures(1, 32, 48, seed=seed) for seed in range(6)]
    for images in inputs:
        for attempt in range(4):
            tensorrt.synchronizes = attempt == 1
            session.run_device(on_device(images), on_device(out), 0)
            synchronize(cuda, 0)
            assert np.array_equal(out, 255 - images)
    assert cuda.calls.count("launch") == 6


def test_while_a_graph_is_captured_no_garbage_is_collected(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT
) -> None:
    """A finalizer that frees GPU memory would spoil the capture, and fail."""
    for failing in (True, False):
        tensorrt.synchronizes = failing
        for _ in range(2):
            run(session, pictures(1, 32, 48))
        assert gc.isenabled()
    assert tensorrt.collected_in_capture and not any(tensorrt.collected_in_capture)


def test_while_something_waits_for_the_whole_gpu_nothing_is_captured(session: TensorRTSession, cuda: FakeCuda) -> None:
    """And no run waits: another one captures."""
    holding, release = threading.Event(), threading.Event()

    def wait_for_the_gpu() -> None:
        with whole_gpu:
            holding.set()
            release.wait(60)

    thread = threading.Thread(target=wait_for_the_gpu)
    thread.start()
    holding.wait(60)
    for seed in range(5):
        images = pictures(1, 32, 48, seed=seed)
        assert np.array_equal(run(session, images), 255 - images)
    assert cuda.calls.count("begin_capture") == 0
    release.set()
    thread.join()
    for seed in range(2):
        images = pictures(1, 32, 48, seed=seed)
        assert np.array_equal(run(session, images), 255 - images)
    assert (cuda.calls.count("begin_capture"), cuda.calls.count("launch")) == (1, 1)


def test_captures_that_kept_failing_are_tried_again_later(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Another thread that waited for the whole GPU in a loop has ended, as a data loader does."""
    monkeypatch.setattr(contexts, "_PAUSE", 10)
    tensorrt.synchronizes = True
    for _ in range(40):
        run(session, pictures(1, 32, 48))
    assert cuda.calls.count("begin_capture") == 3 + (40 - 4) // 11 and caplog.text.count("no CUDA graph for") == 1
    tensorrt.synchronizes = False
    for seed in range(12):
        images = pictures(1, 32, 48, seed=seed)
        assert np.array_equal(run(session, images), 255 - images)
    assert cuda.calls.count("launch") > 0 and session.graph_error is None


# The GPU's memory.


def test_memory_is_what_pictures_need_and_not_the_profiles_largest(session: TensorRTSession, cuda: FakeCuda) -> None:
    session._plan.pool._limit = 1  # pyright: ignore[reportPrivateUsage]
    for shape in ((1, 16, 16), (1, 16, 32), (1, 16, 16)):
        for seed in range(4):
            images = pictures(*shape, seed=seed)
            assert np.array_equal(run(session, images), 255 - images)
    assert cuda.held() == 4 * 16 * 32 * 3 < np.prod(LARGEST)
    assert cuda.leaks()["graphs"] == 1


def test_pointers_are_handed_over_without_a_copy_or_a_wait(session: TensorRTSession, cuda: FakeCuda) -> None:
    images, out = pictures(2, 32, 48), blank(2, 32, 48)
    with cuda.using(1):
        stream = cuda.create_stream()
    before = list(cuda.calls)
    session.run_device(on_device(images), on_device(out), stream)
    new = cuda.calls[len(before) :]
    assert not {"synchronize", "synchronize_event", "copy_to_device", "copy_to_host", "allocate"} & set(new)
    assert not out.any(), "the work was waited for"
    with cuda.using(1):
        cuda.synchronize(stream)
        cuda.destroy_stream(stream)
    assert np.array_equal(out, 255 - images)


def test_a_pointer_pair_that_comes_back_replays_a_graph_on_the_callers_stream(session: TensorRTSession, cuda: FakeCuda) -> None:
    images, out = pictures(1, 32, 48), blank(1, 32, 48)
    for seed in range(4):
        images[...] = pictures(1, 32, 48, seed=seed)
        session.run_device(on_device(images), on_device(out), 0)
        synchronize(cuda, 0)
        assert np.array_equal(out, 255 - images)
    assert cuda.calls.count("launch") == 2
    other = blank(1, 32, 48)
    session.run_device(on_device(images), on_device(other), 0)
    synchronize(cuda, 0)
    assert np.array_equal(other, 255 - images)
    assert cuda.calls.count("launch") == 2


@pytest.mark.parametrize(("past", "beyond"), [(96, 0), (0, 1), (128, 64)])
def test_memory_that_is_not_aligned_is_copied_on_the_gpu(
    session: TensorRTSession, cuda: FakeCuda, past: int, beyond: int
) -> None:
    """Pictures within a batch, as frames[1]: TensorRT takes multiples of 256 bytes only."""
    images, out = aligned(1, 32, 48, 3, past=past), aligned(1, 32, 48, 3, past=beyond)
    with cuda.using(1):
        stream = cuda.create_stream()
    for seed in range(4):
        images[...] = pictures(1, 32, 48, seed=seed)
        out.fill(0)
        before = len(cuda.calls)
        session.run_device(on_device(images), on_device(out), stream)
        assert not {"synchronize", "synchronize_event"} & set(cuda.calls[before:]) and not out.any(), "the work was waited for"
        synchronize(cuda, stream)
        assert np.array_equal(out, 255 - images)
    assert cuda.calls.count("launch") == 2
    with cuda.using(1):
        cuda.destroy_stream(stream)


def test_a_graph_holds_for_the_memory_that_it_copies(session: TensorRTSession, cuda: FakeCuda) -> None:
    """Runs that work in the same aligned memory, of other pictures: each has to be its own."""
    frames, results = aligned(4, 31, 47, 3, past=64), aligned(4, 31, 47, 3, past=64)
    frames[...] = pictures(4, 31, 47)
    for _ in range(3):
        for index in (1, 1, 1, 2, 3):
            results.fill(0)
            session.run_device(on_device(frames[index : index + 1]), on_device(results[index : index + 1]), 0)
            synchronize(cuda, 0)
            assert np.array_equal(results[index], 255 - frames[index])
            host = pictures(1, 31, 47, seed=index)
            assert np.array_equal(run(session, host), 255 - host)


def test_a_context_waits_for_the_stream_that_it_last_ran_on(session: TensorRTSession, cuda: FakeCuda) -> None:
    """One context on three streams in turn: each has to wait for the one before, in whatever order they are waited for."""
    with cuda.using(1):
        streams = [cuda.create_stream() for _ in range(3)]
    inputs = [pictures(1, 32, 48, seed=seed) for seed in range(3)]
    outputs = [blank(1, 32, 48) for _ in inputs]
    for stream, images, out in zip(streams, inputs, outputs, strict=True):
        session.run_device(on_device(images), on_device(out), stream)
    images = pictures(1, 32, 48, seed=9)
    assert np.array_equal(run(session, images), 255 - images)
    with cuda.using(1):
        for stream in reversed(streams):
            cuda.synchronize(stream)
            cuda.destroy_stream(stream)
    for images, out in zip(inputs, outputs, strict=True):
        assert np.array_equal(out, 255 - images)


def test_a_new_stream_with_an_old_handle_waits_as_well(session: TensorRTSession, cuda: FakeCuda) -> None:
    images, out = pictures(1, 32, 48), blank(1, 32, 48)
    with cuda.using(1):
        stream = cuda.create_stream()
    for _ in range(2):
        before = cuda.calls.count("wait")
        session.run_device(on_device(images), on_device(out), stream)
        assert cuda.calls.count("wait") == before + 1
    with cuda.using(1):
        cuda.synchronize(stream)
        cuda.destroy_stream(stream)


def test_the_default_stream_waits_for_what_a_failed_run_left(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT
) -> None:
    images, out = pictures(1, 32, 48), blank(1, 32, 48)
    session.run_device(on_device(images), on_device(out), 0)
    tensorrt.failing.add("execute")
    before = len(cuda.calls)
    with pytest.raises(BackendError, match="failed to enqueue"):
        session.run_device(on_device(images), on_device(out), 0)
    calls = cuda.calls[before:]
    assert calls.count("wait") == 3 and "wait" in calls[len(calls) - calls[::-1].index("record") :]
    synchronize(cuda, 0)


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_on_a_default_stream_work_lies_between_what_was_there_and_what_comes(
    session: TensorRTSession, cuda: FakeCuda, stream: int
) -> None:
    """Though it runs on another: see the fake's `execute_async_v3`. 2 is the one that each thread has of its own."""
    images, out, copy = (blank(1, 32, 48) for _ in range(3))
    for seed in range(4):
        picture = pictures(1, 32, 48, seed=seed)
        cuda.enqueue(stream, partial(np.copyto, images, picture))
        session.run_device(on_device(images), on_device(out), stream)
        cuda.enqueue(stream, partial(np.copyto, copy, out))
        cuda.enqueue(stream, partial(out.fill, 0))
        synchronize(cuda, stream)
        assert np.array_equal(copy, 255 - picture)
    assert cuda.calls.count("launch") == 2


def test_a_new_shape_waits_for_the_replay_of_the_old_one(session: TensorRTSession, cuda: FakeCuda) -> None:
    """TensorRT knows nothing of it; so for one slot, which all shapes have to share."""
    session._plan.pool._limit = 1  # pyright: ignore[reportPrivateUsage]
    images, out = pictures(1, 32, 48), blank(1, 32, 48)
    for _ in range(3):
        session.run_device(on_device(images), on_device(out), 0)
    before = len(cuda.calls)
    other, result = pictures(1, 48, 32), blank(1, 48, 32)
    session.run_device(on_device(other), on_device(result), 0)
    assert cuda.calls[before:].count("synchronize_event") == 1
    synchronize(cuda, 0)
    assert np.array_equal(out, 255 - images) and np.array_equal(result, 255 - other)


def test_a_new_shape_waits_for_a_run_on_another_stream(session: TensorRTSession, cuda: FakeCuda) -> None:
    """Also where nothing is replayed: that TensorRT orders the two by itself is written nowhere."""
    session._plan.pool._limit = 1  # pyright: ignore[reportPrivateUsage]
    shapes = [(1, 32, 48), (1, 48, 32)]
    inputs, outputs = [pictures(*shape) for shape in shapes], [blank(*shape) for shape in shapes]
    with cuda.using(1):
        streams = [cuda.create_stream() for _ in shapes]
    for images, out, stream in zip(inputs, outputs, streams, strict=True):
        session.run_device(on_device(images), on_device(out), stream)
    assert cuda.calls.count("synchronize_event") == 1
    with cuda.using(1):
        for stream in reversed(streams):
            cuda.synchronize(stream)
            cuda.destroy_stream(stream)
    assert all(np.array_equal(out, 255 - images) for images, out in zip(inputs, outputs, strict=True))


def test_buffers_that_take_turns_keep_their_graphs(session: TensorRTSession, cuda: FakeCuda) -> None:
    """Two pairs of them, as where one picture is fetched while the next is enhanced, beside pictures in host memory."""
    inputs, outputs = [blank(1, 32, 48) for _ in range(2)], [blank(1, 32, 48) for _ in range(2)]
    for turn in range(5):
        for index, (images, out) in enumerate(zip(inputs, outputs, strict=True)):
            images[...] = pictures(1, 32, 48, seed=2 * turn + index)
            session.run_device(on_device(images), on_device(out), 0)
            synchronize(cuda, 0)
            assert np.array_equal(out, 255 - images)
        host = pictures(1, 32, 48, seed=turn)
        assert np.array_equal(run(session, host), 255 - host)
    assert cuda.calls.count("begin_capture") == 3 and cuda.calls.count("launch") == 3 * 3
    assert cuda.leaks()["graphs"] == 3 and "destroy_graph" not in cuda.calls


def test_of_many_buffers_the_least_recent_graph_is_dropped_without_a_wait(session: TensorRTSession, cuda: FakeCuda) -> None:
    images, outputs = pictures(1, 32, 48), [blank(1, 32, 48) for _ in range(contexts.GRAPHS + 1)]
    before = len(cuda.calls)
    for out in [each for each in outputs for _ in range(2)]:
        session.run_device(on_device(images), on_device(out), 0)
    assert cuda.calls.count("destroy_graph") == 1 and cuda.leaks()["graphs"] == contexts.GRAPHS
    session.run_device(on_device(images), on_device(outputs[1]), 0)
    assert cuda.calls.count("launch") == 1
    assert not {"synchronize", "synchronize_event"} & set(cuda.calls[before:])
    synchronize(cuda, 0)
    assert all(np.array_equal(out, 255 - images) for out in outputs)


def test_buffers_that_never_come_back_are_not_captured(session: TensorRTSession, cuda: FakeCuda) -> None:
    images, outputs = pictures(1, 32, 48), [blank(1, 32, 48) for _ in range(3 * contexts.GRAPHS)]
    for out in outputs * 2:
        session.run_device(on_device(images), on_device(out), 0)
    assert "begin_capture" not in cuda.calls
    synchronize(cuda, 0)


def test_a_stream_that_the_caller_captures_is_refused_and_not_spoilt(session: TensorRTSession, cuda: FakeCuda) -> None:
    """By a session that has run nothing yet: what it would make for the run, a capture doesn't survive."""
    images, out = pictures(1, 32, 48), blank(1, 32, 48)
    with cuda.using(1):
        stream = cuda.create_stream()
        cuda.begin_capture(stream)
    with pytest.raises(InputError, match="being captured into a CUDA graph"):
        session.run_device(on_device(images), on_device(out), stream)
    with cuda.using(1):
        cuda.destroy_graph(cuda.end_capture(stream))
    session.run_device(on_device(images), on_device(out), stream)
    with cuda.using(1):
        cuda.synchronize(stream)
        cuda.destroy_stream(stream)
    assert np.array_equal(out, 255 - images)


def test_memory_of_another_context_is_refused(session: TensorRTSession, cuda: FakeCuda) -> None:
    images, out = pictures(1, 32, 48), blank(1, 32, 48)
    cuda.current_by_application = 77
    with pytest.raises(InputError, match="another CUDA context of GPU 0 is current"):
        session.run_device(on_device(images), on_device(out), 0)
    assert np.array_equal(run(session, images), 255 - images)
    cuda.current_by_application = None


def test_a_result_lies_in_the_sessions_context_and_may_outlive_it(
    tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT
) -> None:
    """A session in an application's own context, called where none is current: memory of the primary one is out of reach."""
    cuda.current_by_application = 77
    session = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    cuda.current_by_application = None
    assert session.gpu is not None
    images = pictures(1, 32, 48)
    out = result_memory.allocate((1, 32, 48, 3), session.gpu, 0)
    session.run_device(on_device(images), out, 0)
    with cuda.using(77):
        cuda.synchronize(0)
    assert np.array_equal(memory_at(out.pointer, images.size).reshape(images.shape), 255 - images)
    session.close()
    assert cuda.leaks() == {"memory": 1}


def test_a_result_keeps_the_primary_context_open(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    session = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    assert session.gpu is not None
    out = result_memory.allocate((1, 32, 48, 3), session.gpu, 0)
    session.close()
    assert cuda.leaks() == {"memory": 1, "contexts": 1}
    del out


# Threads.


def test_threads_share_a_few_contexts(session: TensorRTSession, tensorrt: FakeTensorRT) -> None:
    def work(seed: int) -> bool:
        images = pictures(1, 32, 32 + seed % 5, seed=seed)
        return np.array_equal(run(session, images), 255 - images)

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(120)))
    assert 1 <= len(tensorrt.contexts) <= 4


def test_threads_wait_for_a_context(session: TensorRTSession, tensorrt: FakeTensorRT) -> None:
    plan = session._plan  # pyright: ignore[reportPrivateUsage]
    lent = [plan.pool.slot((1, 32, 32, 3)) for _ in range(4)]
    for slot in lent:
        slot.__enter__()
    done = threading.Event()

    def work() -> None:
        run(session, pictures(1, 32, 32))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert not done.wait(0.1)
    for slot in lent:
        slot.__exit__(None, None, None)
    thread.join(10)
    assert done.is_set()


def test_without_memory_for_another_context_the_first_one_does(
    session: TensorRTSession, tensorrt: FakeTensorRT, caplog: pytest.LogCaptureFixture
) -> None:
    run(session, pictures(1, 32, 32))
    tensorrt.failing.add("context")
    images = pictures(1, 33, 33)
    assert np.array_equal(run(session, images), 255 - images)
    assert "OutOfMemory" in caplog.text
    assert len(tensorrt.contexts) == 1


def test_when_there_is_memory_again_another_context_is_made(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts, "_PATIENCE", 0.1)
    shapes = [(1, 32, 32), (1, 33, 33)]
    for memory_is_out in (False, True):
        if memory_is_out:
            tensorrt.failing.add("context")
        for shape in shapes[: 1 + memory_is_out]:
            run(session, pictures(*shape))
    assert len(tensorrt.contexts) == 1
    tensorrt.failing.clear()
    time.sleep(0.15)
    for shape in (*shapes, *shapes):
        run(session, pictures(*shape))
    assert len(tensorrt.contexts) == 2


def test_another_failure_to_make_a_context_is_an_error(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT
) -> None:
    run(session, pictures(1, 32, 32))
    cuda.failing["create_stream"] = "CUDA_ERROR_INVALID_VALUE"
    with pytest.raises(BackendError, match="INVALID_VALUE"):
        run(session, pictures(1, 33, 33))
    cuda.failing.clear()
    for shape in ((1, 33, 33), (1, 32, 32)):
        run(session, pictures(*shape))
    assert len(tensorrt.contexts) == 2


def test_closing_waits_for_running_calls(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    session = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    with session._plan.lend((1, 32, 32, 3)):  # pyright: ignore[reportPrivateUsage]
        closer = threading.Thread(target=session.close)
        closer.start()
        closer.join(0.1)
        assert closer.is_alive()
    closer.join(10)
    assert not closer.is_alive()


# Opening and closing.


def test_all_sessions_have_one_logger(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    """TensorRT keeps to the first one that it is given, also when the session that brought it is gone."""
    for _ in range(2):
        with open_closed(open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)):
            open_plan(write_plan(tmp_path), "tensorrt", 0, cuda).close()
    assert len(tensorrt.loggers) == 4 and len({id(log) for log in tensorrt.loggers}) == 1
    assert tensorrt.loggers[0] is logger.for_module(tensorrt)


def test_threads_that_ask_at_once_get_one_logger() -> None:
    class Slow(ILogger):
        def __init__(self) -> None:
            time.sleep(0.02)

    module = SimpleNamespace(ILogger=Slow)
    with ThreadPoolExecutor(8) as pool:
        assert len({id(log) for log in pool.map(lambda _: logger.for_module(module), range(8))}) == 1


def test_what_is_collected_while_errors_are_asked_for_may_log(tensorrt: FakeTensorRT) -> None:
    """A forgotten engine ends when the garbage is collected, and TensorRT may speak on that."""
    log: Any = logger.for_module(tensorrt)
    log.errors(everywhere=True)

    class Ends:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            log.log(tensorrt.ILogger.Severity.ERROR, "ended")

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(50):
            Ends()
            log.errors()
    finally:
        gc.set_threshold(*before)


def test_all_that_was_said_can_be_asked_for(tensorrt: FakeTensorRT) -> None:
    log: Any = logger.for_module(tensorrt)
    log.errors(everywhere=True)
    kinds = tensorrt.ILogger.Severity
    for index in range(60):
        log.log(kinds.ERROR, f"node {index}")
    thread = threading.Thread(target=lambda: log.log(kinds.ERROR, "of a worker"))
    thread.start()
    thread.join()
    assert log.errors(everywhere=True) == [*(f"node {index}" for index in range(60)), "of a worker"]
    assert log.errors(everywhere=True) == []


def test_words_are_those_of_the_thread_that_asks(tensorrt: FakeTensorRT) -> None:
    log: Any = logger.for_module(tensorrt)
    log.errors(everywhere=True)
    kinds = tensorrt.ILogger.Severity
    thread = threading.Thread(target=lambda: log.log(kinds.ERROR, "on\n another thread"))
    thread.start()
    thread.join()
    log.log(kinds.INTERNAL_ERROR, "here")
    log.log(kinds.ERROR, "here")
    log.log(kinds.WARNING, "no error")
    assert [log.words(), log.words(), log.words()] == ["here", "on another thread", ""]


def test_closing_frees_everything_and_twice_is_fine(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    session = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    for _ in range(3):
        run(session, pictures(1, 32, 32))
    session.close()
    session.close()
    assert cuda.leaks() == {}
    with pytest.raises(ClosedError):
        run(session, pictures(1, 32, 32))
    with pytest.raises(ClosedError):
        session.run_device(on_device(pictures(1, 32, 32)), on_device(pictures(1, 32, 32)), 0)


def test_tensorrts_objects_end_in_their_context(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    session = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    run(session, pictures(1, 32, 32))
    with session._plan.lend((1, 32, 32, 3)):  # pyright: ignore[reportPrivateUsage]
        closer = threading.Thread(target=session.close)
        closer.start()
    closer.join(10)
    assert tensorrt.ended == [("Engine", 1), ("Runtime", 1)]


@pytest.mark.parametrize("failure", ["float", "deserialize"])
def test_they_end_in_it_where_opening_fails(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT, failure: str) -> None:
    tensorrt.failing.add(failure)
    with pytest.raises((ArtifactError, BackendError)) as caught:
        open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    assert tensorrt.ended == [("Engine", 1), ("Runtime", 1)][failure == "deserialize" :]
    assert cuda.leaks() == {}
    del caught


def test_closing_releases_all_even_where_cuda_fails(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    session = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    for _ in range(3):
        run(session, pictures(1, 32, 32))
    assert cuda.leaks()["graphs"] == 1
    cuda.failing["synchronize_event"] = "CUDA_ERROR_ILLEGAL_ADDRESS"
    with pytest.raises(BackendError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        session.close()
    assert cuda.leaks() == {}
    assert tensorrt.ended == [("Engine", 1), ("Runtime", 1)]


def test_a_session_that_is_forgotten_frees_everything(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    session = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    run(session, pictures(1, 32, 32))
    del session
    gc.collect()
    assert cuda.leaks() == {}


def test_the_applications_context_is_used_and_left_alone(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    cuda.current_by_application = 77
    with open_closed(open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)) as session:
        run(session, pictures(1, 32, 32))
        assert "contexts" not in cuda.leaks()


class open_closed:  # noqa: N801
    """`contextlib.closing`, typed for sessions."""

    def __init__(self, session: TensorRTSession) -> None:
        self.session = session

    def __enter__(self) -> TensorRTSession:
        return self.session

    def __exit__(self, *_: object) -> None:
        self.session.close()


def test_nothing_is_deserialised_that_is_not_what_it_claims(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    plan = write_plan(tmp_path)
    for other in (
        write_plan(tmp_path, "hopper_fp16", sms=("9.0",)),
        write_plan(tmp_path, "old_fp16", version="10.12.0.36"),
    ):
        with pytest.raises(IncompatiblePlanError):
            open_plan(other, "tensorrt", 0, cuda)
    with pytest.raises(IncompatiblePlanError, match="found tensorrt"):
        open_plan(write_plan(tmp_path, "rtx_fp16", flavour="tensorrt_rtx"), "tensorrt", 0, cuda)
    plan.write_bytes(plan.read_bytes()[:-2] + b"zz")
    with pytest.raises(ManifestError):
        open_plan(plan, "tensorrt", 0, cuda)
    assert tensorrt.deserialised == []


def test_a_plan_of_another_name_inside_is_refused(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    with pytest.raises(ManifestError, match="were not built together"):
        open_plan(write_plan(tmp_path, inside="Unnamed Network 0"), "tensorrt", 0, cuda)


def test_a_plan_for_tensors_is_refused(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    tensorrt.failing.add("float")
    with pytest.raises(ArtifactError, match="INPUT of FLOAT, expected INPUT of UINT8"):
        open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)


def test_a_plan_that_tensorrt_refuses_comes_with_its_words(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    tensorrt.failing.add("deserialize")
    with pytest.raises(BackendError, match=r"Serialization \(magic tag\).*retinexrt build double"):
        open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("context", "OutOfMemory"),
        ("shape", r"set the input's shape to \(1, 32, 32, 3\): .*API Usage Error \(shape\)"),
        ("infer", "can't tell the shape of enhanced"),
        ("infer raises", r"can't tell the shapes for an input of \(1, 32, 32, 3\): shapes are missing"),
        ("output shape", r"has the shape \(1, 1, 1, 3\)"),
        ("address", "set the input's address"),
        ("execute", "failed to enqueue"),
    ],
)
def test_every_refusal_of_tensorrt_is_an_error_and_the_next_run_works(
    session: TensorRTSession, tensorrt: FakeTensorRT, failure: str, words: str
) -> None:
    tensorrt.failing.add(failure)
    with pytest.raises(BackendError, match=words):
        run(session, pictures(1, 32, 32))
    tensorrt.failing.clear()
    images = pictures(1, 32, 32)
    assert np.array_equal(run(session, images), 255 - images)
    assert len(tensorrt.contexts) == 1


def test_a_refused_address_leaves_nothing_half_set(session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    images, out, other = pictures(1, 32, 32), blank(1, 32, 32), pictures(1, 32, 32, seed=1)
    session.run_device(on_device(images), on_device(out), 0)
    tensorrt.failing.add("address")
    with pytest.raises(BackendError, match="set the input's address"):
        session.run_device(on_device(other), on_device(out), 0)
    tensorrt.failing.clear()
    session.run_device(on_device(images), on_device(out), 0)
    synchronize(cuda, 0)
    assert np.array_equal(out, 255 - images)


def test_an_error_of_cuda_is_an_error_and_the_next_run_works(session: TensorRTSession, cuda: FakeCuda) -> None:
    cuda.failing["copy_to_device"] = "CUDA_ERROR_ILLEGAL_ADDRESS"
    with pytest.raises(BackendError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        run(session, pictures(1, 32, 32))
    cuda.failing.clear()
    images = pictures(1, 32, 32)
    assert np.array_equal(run(session, images), 255 - images)


@pytest.mark.parametrize("words", ["execute", "context"])
def test_a_run_over_which_the_gpu_is_lost_says_so(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT, words: str
) -> None:
    """Whatever TensorRT calls it."""
    if words == "execute":
        run(session, pictures(1, 32, 32))
    tensorrt.failing |= {words, "loses the GPU"}
    with pytest.raises(GpuLostError, match=r"CUDA_ERROR_ILLEGAL_ADDRESS; .* start another"):
        run(session, pictures(1, 32, 32))
    with pytest.raises(GpuLostError):
        run(session, pictures(1, 32, 32))
    # Nothing is left to be done: it would be done to memory that is freed.
    assert all(cuda.pending(stream) == 0 for stream in cuda.streams())
    cuda.lost = None
    tensorrt.failing.clear()


def test_staging_without_memory_is_an_error(session: TensorRTSession, cuda: FakeCuda) -> None:
    cuda.capacity = 32 * 32 * 3
    with pytest.raises(BackendError, match="OUT_OF_MEMORY"):
        run(session, pictures(1, 32, 32))
    cuda.capacity = None
    images = pictures(1, 32, 32)
    assert np.array_equal(run(session, images), 255 - images)


def test_without_a_gpu_nothing_is_deserialised(
    tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA comes first: TensorRT's lean runtime ends the process where there is no device, instead of an error."""

    def no_device() -> None:
        raise BackendUnavailableError("the NVIDIA driver doesn't start (cuInit: CUDA_ERROR_NO_DEVICE)")

    cuda.devices = 0
    monkeypatch.setattr(trt, "open_cuda", no_device)
    with pytest.raises(BackendUnavailableError, match="NO_DEVICE"):
        open_plan(write_plan(tmp_path), "tensorrt", 0)
    assert tensorrt.deserialised == [] and tensorrt.loggers == []


@pytest.mark.parametrize(("built_on", "warned"), [("Fake GPU", False), ("Another GPU", True), (None, False)])
def test_a_plan_tuned_for_another_card_is_taken_with_a_warning(
    tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT, caplog: pytest.LogCaptureFixture, built_on: str, warned: bool
) -> None:
    open_plan(write_plan(tmp_path, gpu=built_on), "tensorrt", 0, cuda).close()
    assert ("built on another GPU, Another GPU, and may be slow on this one, Fake GPU" in caplog.text) == warned
    assert ("retinexrt build double" in caplog.text) == warned


def test_a_gpu_newer_than_rtxs_targets_runs_a_plan_with_a_warning(
    tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT, caplog: pytest.LogCaptureFixture
) -> None:
    cuda.sm = "13.0"
    with open_closed(open_plan(rtx_plan(tmp_path), "tensorrt_rtx", 0, cuda)) as session:
        images = pictures(1, 32, 32)
        assert np.array_equal(run(session, images), 255 - images)
    assert "has no target for compute capability 13.0, which is newer" in caplog.text


@pytest.mark.parametrize("name", ["tensorrt_lean", "tensorrt_lean_bindings"])
def test_the_lean_runtime_runs_version_compatible_plans(
    tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In place of TensorRT, where that is not installed."""
    for module in ("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(trt, "find_spec", lambda name: None)
    module = FakeTensorRT(cuda)
    module.__name__ = name
    monkeypatch.setitem(sys.modules, name, module)  # pyright: ignore[reportArgumentType]
    with open_closed(open_plan(write_plan(tmp_path, version_compatible=True), "tensorrt", 0, cuda)) as session:
        images = pictures(1, 32, 32)
        assert np.array_equal(run(session, images), 255 - images)
    with pytest.raises(IncompatiblePlanError, match="found its lean runtime"):
        open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)
    monkeypatch.setattr(trt, "open_cuda", lambda: cuda)
    monkeypatch.setattr(trt, "driver_found", lambda: True)
    assert TENSORRT.probe().usable and "lean runtime runs plans built with --version-compatible" in TENSORRT.probe().reason


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_in_a_forked_child_a_session_says_so_and_nothing_ends(
    session: TensorRTSession, cuda: FakeCuda, tensorrt: FakeTensorRT, tmp_path: Path
) -> None:
    """TensorRT's destructors call CUDA, which in a child hangs or crashes."""
    images = pictures(1, 32, 32)
    run(session, images)
    assert session.gpu is not None
    result = result_memory.allocate((1, 16, 16, 3), session.gpu, 0)
    forgotten = open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)

    def child() -> Iterator[object]:
        nonlocal forgotten, result
        for call in (lambda: run(session, images), lambda: session.run_device(on_device(images), on_device(images), 0)):
            with pytest.raises(InputError, match="opened in another process"):
                call()
        before = list(cuda.calls)
        session.close()
        del forgotten, result
        gc.collect()
        yield tensorrt.ended == [] and cuda.calls == before

    assert forked(child)
    assert np.array_equal(run(session, images), 255 - images)


def test_a_missing_package_names_its_command(tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'retinexrt\[trt\]'"):
        open_plan(write_plan(tmp_path), "tensorrt", 0, cuda)


def test_a_gpu_that_is_not_there_is_an_input_error(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    with pytest.raises(InputError, match="there is no GPU 3"):
        open_plan(write_plan(tmp_path), "tensorrt", 3, cuda)


# TensorRT-RTX.


@pytest.fixture
def rtx(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    module = FakeTensorRT(cuda, version="1.7.1.116", rtx=True)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)  # pyright: ignore[reportArgumentType]
    return module


def rtx_plan(folder: Path, **changes: Any) -> Path:
    return write_plan(folder, flavour="tensorrt_rtx", version="1.7.1.116", sms=("8.6", "8.9"), gpu=None, **changes)


def test_rtx_captures_by_itself(tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT) -> None:
    with open_closed(open_plan(rtx_plan(tmp_path), "tensorrt_rtx", 0, cuda)) as session:
        for seed in range(4):
            images = pictures(1, 32, 32, seed=seed)
            assert np.array_equal(run(session, images), 255 - images)
        assert session.backend == "tensorrt_rtx"
    assert cuda.calls.count("begin_capture") == 0
    config = rtx.contexts[0].config
    assert config is not None and config.cuda_graph_strategy is CudaGraphStrategy.WHOLE_GRAPH_CAPTURE


def kept(plan: Path) -> Path:
    """The file of kernels beside a plan."""
    return kernel_cache.cache_path(plan, FakeCuda().properties(0), "1.7.1.116")


def test_rtx_kernels_are_kept_beside_the_plan(tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT) -> None:
    plan = rtx_plan(tmp_path)
    for _ in range(2):
        with open_closed(open_plan(plan, "tensorrt_rtx", 0, cuda)) as session:
            run(session, pictures(1, 32, 32))
    assert kept(plan).is_file() and kept(plan).name.startswith("double_fp16.sm89-")
    assert [cache.kernels for cache in rtx.runtime_caches] == [b"kernels for this GPU"] * 2
    assert rtx.runtime_caches[1] is not rtx.runtime_caches[0]


def settle(session: TensorRTSession) -> None:
    """Wait until kernels that are being saved are saved."""
    if (saving := session._plan._saving) is not None:  # pyright: ignore[reportPrivateUsage]
        saving.join(60)


def test_no_run_waits_until_kernels_are_saved(tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT) -> None:
    plan, may_end = rtx_plan(tmp_path), threading.Event()
    rtx.serialising = partial(may_end.wait, 60)
    session = open_plan(plan, "tensorrt_rtx", 0, cuda)
    for seed in range(3):
        images = pictures(1, 32, 32, seed=seed)
        assert np.array_equal(run(session, images), 255 - images)
    assert not kept(plan).is_file()
    may_end.set()
    session.close()
    assert kept(plan).is_file()


def test_cards_and_versions_keep_kernels_apart() -> None:
    plan, gpu = Path("pdn_fp16.plan"), FakeCuda().properties(0)
    names = [kernel_cache.cache_path(plan, card, version).name for card, version in (
        (gpu, "1.7.1.116"), (replace(gpu, name="Another GPU"), "1.7.1.116"), (gpu, "1.8.0.1"),
    )]  # fmt: skip
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"pdn_fp16\.sm89-[0-9a-f]{8}\.cache", name) for name in names)


def test_rtx_kernels_are_kept_after_the_first_run_of_a_shape_and_when_more_are_compiled(
    tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT
) -> None:
    plan = rtx_plan(tmp_path)
    with open_closed(open_plan(plan, "tensorrt_rtx", 0, cuda)) as session:
        run(session, pictures(1, 32, 32))
        settle(session)
        assert kept(plan).read_bytes().endswith(b"kernels for this GPU")
        rtx.kernels = b"better kernels"
        for _ in range(28):
            run(session, pictures(1, 32, 32))
        settle(session)
        assert kept(plan).read_bytes().endswith(b"kernels for this GPU")
        run(session, pictures(1, 32, 32))
        settle(session)
        assert kept(plan).read_bytes().endswith(b"better kernels")
        rtx.kernels = b"kernels for one more shape"
        images, out = pictures(1, 32, 48), blank(1, 32, 48)
        session.run_device(on_device(images), on_device(out), 0)
        settle(session)
        assert kept(plan).read_bytes().endswith(b"kernels for one more shape")


@pytest.mark.parametrize("runs", [2, 300])
def test_rtx_kernels_are_kept_at_the_end_and_after_many_runs(
    tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT, runs: int
) -> None:
    plan = rtx_plan(tmp_path)
    session = open_plan(plan, "tensorrt_rtx", 0, cuda)
    for number in range(runs):
        settle(session)
        if number == runs - 1:
            rtx.kernels = b"the last kernels"
            assert not kept(plan).is_file() or kept(plan).read_bytes().endswith(b"kernels for this GPU")
        run(session, pictures(1, 32, 32))
    settle(session)
    assert kept(plan).read_bytes().endswith(b"the last kernels") == (runs == 300)
    session.close()
    assert kept(plan).read_bytes().endswith(b"the last kernels")


def test_rtx_works_in_the_primary_context(tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT) -> None:
    cuda.current_by_application = 77
    with open_closed(open_plan(rtx_plan(tmp_path), "tensorrt_rtx", 0, cuda)) as session:
        assert cuda.leaks()["contexts"] == 1
        images, out = pictures(1, 32, 32), blank(1, 32, 32)
        assert np.array_equal(run(session, images), 255 - images)
        with pytest.raises(InputError, match="another CUDA context of GPU 0 is current"):
            session.run_device(on_device(images), on_device(out), 0)


@pytest.mark.parametrize(("graphs", "kernels"), [("", ""), ("0", "eager")])
def test_the_environment_decides_on_graphs_and_kernels(
    tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch,
    graphs: str, kernels: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("RETINEXRT_CUDA_GRAPHS", graphs)
    monkeypatch.setenv("RETINEXRT_RTX_KERNELS", kernels)
    for plan, flavour in ((rtx_plan(tmp_path, name="rtx_fp16"), "tensorrt_rtx"), (write_plan(tmp_path), "tensorrt")):
        with open_closed(open_plan(plan, flavour, 0, cuda)) as session:  # pyright: ignore[reportArgumentType]
            for _ in range(4):
                run(session, pictures(1, 32, 32))
    config = rtx.contexts[0].config
    assert config is not None
    assert config.cuda_graph_strategy.name == ("DISABLED" if graphs else "WHOLE_GRAPH_CAPTURE")
    assert config.dynamic_shapes_kernel_specialization_strategy.name == ("EAGER" if kernels else "LAZY")
    assert cuda.calls.count("begin_capture") == (0 if graphs else 1)


@pytest.mark.parametrize("damage", ["flip", "other plan", "stale"])
def test_rtx_kernels_of_another_plan_are_not_used(tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT, damage: str) -> None:
    plan = rtx_plan(tmp_path)
    cache = kept(plan)
    with open_closed(open_plan(plan, "tensorrt_rtx", 0, cuda)) as session:
        run(session, pictures(1, 32, 32))
    if damage == "flip":
        cache.write_bytes(cache.read_bytes()[:-1] + b"?")
    elif damage == "other plan":
        plan = rtx_plan(tmp_path, level=5)
    else:
        rtx.failing.add("stale cache")
    with open_closed(open_plan(plan, "tensorrt_rtx", 0, cuda)) as session:
        assert rtx.runtime_caches[-1].kernels == b""
        run(session, pictures(1, 32, 32))
    assert cache.read_bytes().endswith(b"kernels for this GPU")


def test_a_folder_that_cannot_be_written_to_keeps_nothing(
    tmp_path: Path, cuda: FakeCuda, rtx: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = rtx_plan(tmp_path)
    session = open_plan(plan, "tensorrt_rtx", 0, cuda)
    for path in (plan, manifest.manifest_path(plan)):
        path.unlink()
    tmp_path.rmdir()
    tmp_path.write_text("a file where the folder was")
    run(session, pictures(1, 32, 32))
    session.close()
    tmp_path.unlink()


# Probing.


def test_probes_say_what_is_missing(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt, "find_spec", lambda name: None)
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(trt, "driver_found", lambda: False)
    assert (TENSORRT.probe().reason, TENSORRT.probe().install) == ("there is no NVIDIA driver here", "")
    monkeypatch.setattr(trt, "driver_found", lambda: True)
    assert TENSORRT.probe().usable is False
    assert TENSORRT.probe().install == "pip install 'retinexrt[trt]'"
    assert RTX.probe().name == "tensorrt_rtx"


def test_probes_say_what_was_found(
    cuda: FakeCuda, tensorrt: FakeTensorRT, rtx: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "open_cuda", lambda: cuda)
    monkeypatch.setattr(trt, "driver_found", lambda: True)
    assert TENSORRT.probe().usable
    assert TENSORRT.probe().reason == "tensorrt 11.4.0.106 on Fake GPU (8.9)"
    assert RTX.probe().usable
    cuda.sm = "9.0"
    tensorrt.ComputeCapability = rtx.ComputeCapability
    assert TENSORRT.probe().usable, "TensorRT builds for the GPU at hand"
    assert not RTX.probe().usable
    assert "does not support compute capability 9.0" in RTX.probe().reason
    cuda.sm = "13.0"
    assert RTX.probe().usable and RTX.probe().reason.endswith("(13.0), not at its best")


def test_probes_look_at_the_gpu_that_is_asked_for(
    cuda: FakeCuda, tensorrt: FakeTensorRT, rtx: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "open_cuda", lambda: cuda)
    monkeypatch.setattr(trt, "driver_found", lambda: True)
    cuda.devices, cuda.sm_of = 2, {0: "9.0", 1: "8.9"}
    assert [RTX.probe(device).usable for device in (0, 1)] == [False, True]
    for probe in (TENSORRT.probe, RTX.probe):
        with pytest.raises(InputError, match="there is no GPU 2; this machine has 2, numbered from 0"):
            probe(2)
