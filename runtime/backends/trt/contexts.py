"""Execution contexts of one TensorRT engine: what one needs to run by itself, and the pool that threads share.

A context runs one picture size at a time, on one stream at a time. A CUDA graph captured from it holds the addresses that
it was captured with, and stays valid only as long as the context keeps its shape. So each context carries a few graphs of
one shape, for applications that alternate between buffers; several sizes in turn are served by several contexts.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from runtime.cuda import Cuda
from runtime.cuda.capture import DEFAULT_STREAMS, recording
from runtime.cuda.staging import Staging
from runtime.errors import BackendError, ClosedError, GpuMemoryError
from runtime.images import DeviceImages, Images

Shape = tuple[int, ...]

#: Addresses must be multiples of this for TensorRT. CUDA's allocations are; a picture within a batch seldom is.
_ALIGNMENT = 256
#: To record a graph: another thread that waits for the whole GPU spoils a recording.
_ATTEMPTS = 3
#: Runs after that many in vain, and after each one more, until it is tried again: what spoilt them may be over.
_PAUSE = 100
#: Graphs of one context at most, for as many pairs of addresses.
GRAPHS = 4
#: Contexts of one engine at most. Each holds the activations of the profile's largest shape.
CONTEXTS = 4
#: Seconds until it is tried again to make one more, where memory was out.
_PATIENCE = 1.0

_log = logging.getLogger("retinexrt.tensorrt")


class Engine:
    """The TensorRT objects that all contexts of a plan share, and the words for their failures."""

    def __init__(
        self, engine: Any, create_context: Callable[[], Any], words: Callable[[], str], image: str = "", enhanced: str = ""
    ) -> None:
        """`image` and `enhanced` name the tensors of an engine that makes pictures of pictures."""
        self.engine = engine
        self.create_context: Callable[[], Any] | None = create_context
        #: TensorRT's own words since they were last asked for.
        self.words = words
        self.image = image
        self.enhanced = enhanced

    def close(self) -> None:
        """Drop TensorRT's objects now, whoever still holds this one."""
        self.engine = self.create_context = None

    def new_context(self, cuda: Cuda, stream: int) -> Any:
        """An execution context; a lack of memory is a GpuMemoryError."""
        context = self.create_context() if self.create_context else None
        if context is None:
            words = self.words() or "it gives no reason"
            cuda.synchronize(stream)  # A GPU that is lost says so here.
            kind = GpuMemoryError if re.search("out ?of ?memory", words, re.IGNORECASE) else BackendError
            raise kind(f"TensorRT failed to create an execution context: {words}")
        return context

    def require(self, done: bool, what: str) -> None:
        """TensorRT reports failure by returning False."""
        if not done:
            raise BackendError(f"TensorRT failed to {what}: {self.words() or 'it gives no reason'}")


@dataclass(frozen=True)
class _Job:
    """The shape and the memory that a run works on; a CUDA graph replays only the same."""

    shape: Shape
    #: Where the context reads and writes.
    source: int
    target: int
    #: The caller's memory that is copied to the one and from the other, where TensorRT can't use it as it lies; else 0.
    copied_from: int = 0
    copied_to: int = 0


class ExecutionSlot:
    """One execution context with its stream, its staging memory and its graph. Used by one thread at a time."""

    def __init__(self, engine: Engine, cuda: Cuda, capture: bool) -> None:
        self._engine = engine
        self._cuda = cuda
        self._staging: Staging | None = None
        #: The job that the context is set to.
        self._job: _Job | None = None
        #: Of one shape, what has run, least recently used first; each with its graph since it came a second time.
        self._graphs: dict[_Job, int | None] = {}
        self.capture = capture
        self.capture_error: str | None = None
        self._attempts = _ATTEMPTS
        self._pause = 0
        with ExitStack() as owned:
            self._stream = cuda.create_stream()
            owned.callback(cuda.destroy_stream, self._stream)
            self._begun = cuda.create_event()
            owned.callback(cuda.destroy_event, self._begun)
            self._done = cuda.create_event()
            owned.callback(cuda.destroy_event, self._done)
            self._context: Any = engine.new_context(cuda, self._stream)
            self._owned = owned.pop_all()

    @property
    def shape(self) -> Shape | None:
        return self._job.shape if self._job else None

    def run(self, images: Images, out: Images) -> None:
        """Copy in, enhance, copy out; `out` is complete on return."""
        staging, count = self._own_memory(images.nbytes), images.nbytes
        staging.fill(images)

        def enqueue(stream: int) -> None:
            staging.upload(count, stream)
            self._execute(stream)
            staging.download(count, stream)

        self._enqueue(_Job(images.shape, staging.device_in, staging.device_out), enqueue, self._stream)
        self._cuda.synchronize(self._stream)
        staging.take(out)

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        """Enqueue on the caller's stream and return.

        On a default stream TensorRT lets the host wait, and TensorRT-RTX records no graph of its own; so that work goes
        onto the slot's stream, between what the default one holds and what it is given next.
        """
        cuda, job, count = self._cuda, self._job_on_device(images, out), math.prod(images.shape)

        def enqueue(stream: int) -> None:
            if job.copied_from:
                cuda.copy_on_device(job.source, job.copied_from, count, stream)
            self._execute(stream)
            if job.copied_to:
                cuda.copy_on_device(job.copied_to, job.target, count, stream)

        if stream not in DEFAULT_STREAMS:
            self._enqueue(job, enqueue, stream)
            return
        cuda.record(self._begun, stream)
        cuda.wait(self._stream, self._begun)
        try:
            self._enqueue(job, enqueue, self._stream)
        finally:  # Of a run that failed some may be under way.
            cuda.wait(stream, self._done)

    def _job_on_device(self, images: DeviceImages, out: DeviceImages) -> _Job:
        """The caller's memory where TensorRT can use it, else the slot's own and copies."""
        source, target, copied_from, copied_to = images.pointer, out.pointer, 0, 0
        count = math.prod(images.shape)
        if source % _ALIGNMENT:
            source, copied_from = self._own_memory(count).device_in, source
        if target % _ALIGNMENT:
            target, copied_to = self._own_memory(count).device_out, target
        return _Job(images.shape, source, target, copied_from, copied_to)

    def _own_memory(self, count: int) -> Staging:
        """Memory for at least `count` bytes: as much as pictures have needed so far, not as the profile's largest would."""
        if self._staging is not None and self._staging.count < count:
            self._cuda.synchronize_event(self._done)
            self._drop_graphs()
            self._job = None  # The next memory may have the same addresses.
            staging, self._staging = self._staging, None
            staging.close()
        if self._staging is None:
            self._staging = Staging(self._cuda, count)
        return self._staging

    def _execute(self, stream: int) -> None:
        self._engine.require(self._context.execute_async_v3(stream), "enqueue")

    def _enqueue(self, job: _Job, enqueue: Callable[[int], None], stream: int) -> None:
        # The context's memory may be in use on another stream; one made anew may have an old one's handle, so don't ask which.
        self._cuda.wait(stream, self._done)
        try:
            known, graph = job in self._graphs, self._graphs.pop(job, None)
            if graph is not None:
                self._graphs[job] = graph
                self._cuda.launch(graph, stream)
                return
            self._bind(job)
            enqueue(stream)
            # A run before this one has flushed what TensorRT defers after a change of shape.
            if self.capture and known:
                if self._pause:
                    self._pause -= 1
                else:
                    graph = self._capture(enqueue)
            self._graphs[job] = graph
            if len(self._graphs) > GRAPHS:
                self._drop(next(iter(self._graphs)))
        finally:
            self._cuda.record(self._done, stream)

    def _bind(self, job: _Job) -> None:
        """Set shape and addresses; with another shape the graphs of the old one are gone."""
        if self._job == job:
            return
        engine, context, shape = self._engine, self._context, job.shape
        if self.shape not in (None, shape):
            # TensorRT prepares the new shape at once. It knows no replay, and says nothing of a run on another stream.
            self._cuda.synchronize_event(self._done)
        # Set again only when all of it is: after a refusal half way, the next run has to begin anew.
        known, self._job = self.shape, None
        if known != shape:
            self._drop_graphs()
            engine.require(context.set_input_shape(engine.image, shape), f"set the input's shape to {shape}")
            try:
                unset = context.infer_shapes()
            except RuntimeError as error:
                words = engine.words() or error
                raise BackendError(f"TensorRT can't tell the shapes for an input of {shape}: {words}") from error
            if unset:
                raise BackendError(f"TensorRT can't tell the shape of {', '.join(unset)} for an input of {shape}")
            found = tuple(context.get_tensor_shape(engine.enhanced))
            if found != shape:
                raise BackendError(f"TensorRT says that the output of {shape} has the shape {found}")
        engine.require(context.set_tensor_address(engine.image, job.source), "set the input's address")
        engine.require(context.set_tensor_address(engine.enhanced, job.target), "set the output's address")
        self._job = job

    def _capture(self, enqueue: Callable[[int], None]) -> int | None:
        """Record a graph for the next runs. Where that keeps failing this slot goes on without for a while, and says why."""
        with recording() as undisturbed:
            if not undisturbed:  # The next run tries.
                return None
            try:
                graph = self._captured(enqueue)
            except Exception as error:  # whatever TensorRT raises: this run is enqueued already
                self._engine.words()
                self._attempts -= 1
                self.capture_error = str(error)
                if self._attempts <= 0:
                    self._pause = _PAUSE
                    if self._attempts == 0:
                        _log.warning("no CUDA graph for %s, running without: %s", self.shape, error)
                return None
            self._attempts, self.capture_error = _ATTEMPTS, None
            return graph

    def _captured(self, enqueue: Callable[[int], None]) -> int:
        cuda = self._cuda
        cuda.begin_capture(self._stream)
        try:
            enqueue(self._stream)
        except BaseException:
            with suppress(BackendError):  # The stream has to leave capture; what it recorded is of no use.
                cuda.destroy_graph(cuda.end_capture(self._stream))
            raise
        return cuda.end_capture(self._stream)

    def _drop(self, job: _Job) -> None:
        if (graph := self._graphs.pop(job)) is not None:
            self._cuda.destroy_graph(graph)  # One that is running is freed by CUDA when it is done.

    def _drop_graphs(self) -> None:
        for job in tuple(self._graphs):
            self._drop(job)

    def close(self) -> None:
        with self._owned:  # Freed even where waiting fails.
            if self._staging is not None:
                self._owned.callback(self._staging.close)
            self._owned.callback(setattr, self, "_context", None)
            self._owned.callback(self._drop_graphs)
            self._cuda.synchronize_event(self._done)


class ContextPool:
    """At most `limit` slots, made when they are needed. A slot that knows the wanted shape is preferred."""

    def __init__(
        self, create: Callable[[], ExecutionSlot], destroy: Callable[[ExecutionSlot], None], limit: int = CONTEXTS
    ) -> None:
        self._create: Callable[[], ExecutionSlot] | None = create
        self._destroy = destroy
        self._limit = limit
        #: Before this time the slots that exist have to do; see `time.monotonic`.
        self._again_at = 0.0
        #: Idle, lent and being made.
        self._total = 0
        #: Least recently used first.
        self._idle: list[ExecutionSlot] = []
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return self._total

    @property
    def closed(self) -> bool:
        return self._create is None

    @property
    def idle(self) -> tuple[ExecutionSlot, ...]:
        return tuple(self._idle)

    @contextmanager
    def slot(self, shape: Shape) -> Generator[ExecutionSlot]:
        """Lend a slot to this thread; waits while all are lent."""
        slot = self._acquire(shape)
        try:
            yield slot
        finally:
            self._release(slot)

    def _acquire(self, shape: Shape) -> ExecutionSlot:
        while True:
            with self._changed:
                if self._create is None:
                    raise ClosedError("the session is closed")
                known = self._idle_with(shape) or self._idle_with(None)
                full = self._total >= self._limit or (self._total and time.monotonic() < self._again_at)
                if known is None and full and self._idle:
                    known = self._idle[0]
                if known is not None:
                    self._idle.remove(known)
                    return known
                if full:
                    self._changed.wait()
                    continue
                self._total += 1
                create = self._create
            if (made := self._make(create)) is not None:
                return made

    def _idle_with(self, shape: Shape | None) -> ExecutionSlot | None:
        return next((slot for slot in reversed(self._idle) if slot.shape == shape), None)

    def _make(self, create: Callable[[], ExecutionSlot]) -> ExecutionSlot | None:
        """A new slot; None where there is no memory for one more: then those that exist have to do for a while."""
        try:
            return create()
        except BaseException as error:
            with self._changed:
                self._total -= 1
                self._changed.notify_all()
                if self._total == 0 or not isinstance(error, GpuMemoryError):
                    raise
                self._again_at = time.monotonic() + _PATIENCE
                total = self._total
            _log.warning("going on with %d execution contexts for now: %s", total, error)
            return None

    def _release(self, slot: ExecutionSlot) -> None:
        with self._changed:
            closed = self._create is None
            if not closed:
                self._idle.append(slot)
                self._changed.notify_all()
        if closed:
            self._end(slot)

    def _end(self, slot: ExecutionSlot) -> None:
        try:
            self._destroy(slot)
        finally:
            with self._changed:
                self._total -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Free idle slots now and lent ones when they come back, which is waited for."""
        with self._changed:
            self._create = None
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        with ExitStack() as ending:  # All of them, even where one fails.
            for slot in idle:
                ending.callback(self._end, slot)
        with self._changed:
            while self._total:
                self._changed.wait()
