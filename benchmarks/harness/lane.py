"""The one protocol by which everything is timed on a GPU: from page-locked memory, through the network, and back.

A lane is a CUDA stream with memory of its own, to which a contender binds its network. As `trtexec` does it tells the
times of the GPU (copying in, computing, copying out: together the latency of its host) from the time that the host takes
to enqueue a run; several lanes at once give the throughput over streams.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from benchmarks.harness.board import Board
from benchmarks.harness.timing import Sample
from runtime.cuda import Cuda
from runtime.cuda.staging import Staging
from runtime.errors import ClosedError, InputError
from runtime.images import Images

#: Runs before anything is timed: what captures graphs does so in the second and third.
_FIRST_RUNS = 5
#: Copies at most that keep a stream busy while a run is enqueued.
_MOST_COPIES = 256


@dataclass(frozen=True)
class Bound:
    """A network that is bound to a lane's memory and stream."""

    #: Enqueues one run, and waits for nothing.
    enqueue: Callable[[], object]
    close: Callable[[], object] = lambda: None


#: Binds a network to device memory for the pictures, for the results, and to a stream.
Bind = Callable[[int, int, int], Bound]


class Lane:
    """See the module."""

    def __init__(self, cuda: Cuda, device: int, images: Images, bind: Bind) -> None:
        self._cuda, self._shape, self._count = cuda, images.shape, images.nbytes
        self._pushed = 0
        with ExitStack() as retained:  # Resources made so far are freed if the rest can't be made.
            # torch and ONNX Runtime work in the primary context, and so does everything that is compared with them.
            self._context = cuda.open_context(device, primary=True)
            retained.callback(cuda.close_context, self._context)
            with cuda.using(self._context), ExitStack() as owned:
                self._stream = cuda.create_stream()
                owned.callback(cuda.destroy_stream, self._stream)
                self._marks = [self._event(owned, timing=True) for _ in range(4)]
                self._turns = [self._event(owned) for _ in range(2)]
                self._staging = Staging(cuda, images.nbytes)
                owned.callback(self._staging.close)
                self._staging.fill(images)
                bound = bind(self._staging.device_in, self._staging.device_out, self._stream)
                owned.callback(bound.close)
                # The network ends before its stream and its memory do.
                owned.callback(setattr, self, "_enqueue", None)
                owned.callback(cuda.synchronize, self._stream)
                self._enqueue = bound.enqueue
                del bound
                self._copies = self._copies_that_hold()
                self._owned = owned.pop_all()
            retained.pop_all()

    def _event(self, owned: ExitStack, timing: bool = False) -> int:
        event = self._cuda.create_event(timing)
        owned.callback(self._cuda.destroy_event, event)
        return event

    def _copies_that_hold(self) -> int:
        """How many copies of the pictures take twice as long as enqueueing a run."""
        enqueueing = min(self._run()[1] for _ in range(_FIRST_RUNS))
        copying = max(self._parts()[0], 1e-3)
        return min(_MOST_COPIES, math.ceil(2 * enqueueing / copying))

    def sample(self) -> Sample:
        """One picture by itself on the host's clock, and another one's parts on the GPU's."""
        with self._cuda.using(self._context):
            total, enqueueing = self._run()
            return Sample(total, *self._parts(self._copies), enqueue=enqueueing)

    def _run(self) -> tuple[float, float]:
        """Milliseconds from the pictures to the result, nothing else going on; and of them those of enqueueing the network."""
        started = time.perf_counter()
        self._staging.upload(self._count, self._stream)
        before = time.perf_counter()
        self._enqueue()
        after = time.perf_counter()
        self._staging.download(self._count, self._stream)
        self._cuda.synchronize(self._stream)
        return (time.perf_counter() - started) * 1e3, (after - before) * 1e3

    def _parts(self, copies: int = 0) -> tuple[float, float, float]:
        """Milliseconds of copying in, computing and copying out, enqueued while `copies` before them keep the GPU busy.

        So the GPU waits for nobody within a part: the host has enqueued all of them before the first begins.
        """
        cuda, stream, marks = self._cuda, self._stream, self._marks
        for _ in range(copies):
            self._staging.upload(self._count, stream)
        cuda.record(marks[0], stream)
        self._staging.upload(self._count, stream)
        cuda.record(marks[1], stream)
        self._enqueue()
        cuda.record(marks[2], stream)
        self._staging.download(self._count, stream)
        cuda.record(marks[3], stream)
        cuda.synchronize(stream)
        one, two, three = (cuda.elapsed_ms(start, end) for start, end in pairwise(marks))
        return one, two, three

    def push(self) -> None:
        """Enqueue a run, as soon as the run before the last is done: one is under way, and one waits behind it."""
        turn = self._turns[self._pushed % 2]
        self._pushed += 1
        with self._cuda.using(self._context):
            self._cuda.synchronize_event(turn)
            self._staging.upload(self._count, self._stream)
            self._enqueue()
            self._staging.download(self._count, self._stream)
            self._cuda.record(turn, self._stream)

    def wait(self) -> None:
        """Until all is done that was enqueued."""
        with self._cuda.using(self._context):
            self._cuda.synchronize(self._stream)

    def enhance(self, images: Images) -> Images:
        """The same on pictures of one's own of the lane's shape."""
        if images.shape != self._shape:
            raise InputError(f"bound to pictures of {self._shape}, found {images.shape}")
        out = np.empty_like(images)
        with self._cuda.using(self._context):
            self._staging.fill(images)
            self._run()
            self._staging.take(out)
        return out

    def close(self) -> None:
        """Free what was made; calling it again does nothing."""
        with ExitStack() as released:
            context, self._context = self._context, 0
            if context:
                released.callback(self._cuda.close_context, context)
                with self._cuda.using(context):
                    self._owned.close()


class Lanes:
    """The lanes of one contender: the first, and others when they are asked for."""

    def __init__(self, open_lane: Callable[[], Lane]) -> None:
        self._open = open_lane
        # At once: what is compiled then, for a minute or two, is no warm-up.
        self._opened = [open_lane()]

    def first(self, count: int) -> list[Lane]:
        """So many of them, always the same."""
        if not self._opened:
            raise ClosedError("the lanes are closed")
        while len(self._opened) < count:
            self._opened.append(self._open())
        return self._opened[:count]

    def sample(self) -> Sample:
        return self.first(1)[0].sample()

    def enhance(self, images: Images) -> Images:
        return self.first(1)[0].enhance(images)

    def close(self) -> None:
        while self._opened:
            self._opened.pop().close()


@dataclass(frozen=True)
class Throughput:
    """The throughput of several lanes at once, and the GPU's state meanwhile."""

    streams: int
    #: Pictures a second.
    pictures: float
    #: None where the driver doesn't say.
    watts: float | None = None
    #: Energy of one picture, in joules.
    joules: float | None = None
    sm_mhz: int | None = None
    #: The causes that kept the clocks down, in the driver's words.
    held_back: tuple[str, ...] = ()


def throughput(
    lanes: Sequence[Lane], pictures: int, seconds: float, board: Board | None, clock: Callable[[], float] = time.perf_counter
) -> Throughput:
    """Let lanes run for that long, each with one run under way and one behind it; `pictures` is those of one run."""
    for lane in lanes:
        lane.wait()
    before, started, runs = board.state() if board else None, clock(), 0
    while clock() - started < seconds:
        for lane in lanes:
            lane.push()
            runs += 1
    during = board.state() if board else None
    for lane in lanes:
        lane.wait()
    passed = clock() - started
    after = board.state() if board else None
    found = Throughput(len(lanes), runs * pictures / passed)
    if before is None or during is None or after is None:
        return found
    found = replace(found, sm_mhz=during.sm_mhz, held_back=during.held_back)
    if before.joules is None or after.joules is None:
        return found
    spent = after.joules - before.joules
    return replace(found, watts=spent / passed, joules=spent / (runs * pictures))
