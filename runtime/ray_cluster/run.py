"""A run: inputs become tasks, Ray Data hands them to workers, and the ledger says what it came to."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from runtime.errors import BackendError, InputError, RetinexError
from runtime.files import TEMPORARY, make_folder
from runtime.media.inputs import Failure
from runtime.ray_cluster import connection, segments, storage
from runtime.ray_cluster.connection import Allocation
from runtime.ray_cluster.ledger import Account, Note, Outcome, RemoteLedger, is_kept, read_journal
from runtime.ray_cluster.tasks import InputOutput, Task, find
from runtime.ray_cluster.worker import Settings, Worker, WorkerProbe, packed, probe

#: Tasks of one batch: enough of them that a call costs nothing beside them, few enough that all workers end together.
_MOST_TOGETHER, _TURNS = 64, 8
#: Rows are handed out in at most so many blocks.
_BLOCKS = 4096
#: Workers of nodes that leave while they start, in a row, before the run is given up.
_LOST_STARTS = 8
#: Temporary files and folders that a killed worker leaves beside its target.
_LEFTOVER = re.compile(rf"\.(.+)\.[a-z0-9_]{{8}}{re.escape(TEMPORARY)}")


@dataclass(frozen=True)
class Report:
    """The result of a run."""

    account: Account
    failures: list[Failure]
    #: Files found in folders that are neither pictures nor videos.
    ignored: int
    #: From the first task begun by a worker to the last one handed back.
    seconds: float
    #: Before that: joining the cluster, looking at the artifact, starting the workers.
    start: float
    allocation: Allocation
    probe: WorkerProbe


def enhance(
    inputs: Sequence[str],
    out: str,
    settings: Settings,
    *,
    address: str = "",
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    step: int = segments.STEP,
    progress: TextIO | None = None,
    kind: type[Worker] = Worker,
) -> Report:
    """Enhance `inputs` (paths, folders, URLs, @lists) into `out` on a Ray cluster; see `connection.joined` for `address`.

    `step` is the number of frames of a film's segments. Finished outputs of earlier runs are kept where the digests of
    input, output and settings match. `progress` is where a bar is drawn; None: nowhere. Raises RetinexError where nothing
    can be done at all; single failures are reported.
    """
    _check(workers, gpus_per_worker, step)
    called = time.time()
    found = find(inputs, out)
    cpus = max(os.cpu_count() or 1, (workers or 1) * (settings.open.threads or 1))
    with connection.joined(address, cpus) as ray:
        allocation = connection.allocate(ray, workers, gpus_per_worker, settings.open.threads, settings.open.backend)
        threads = settings.open.threads or (None if allocation.gpus else 1)
        settings = replace(settings, open=replace(settings.open, threads=threads))
        first = _probe(ray, settings, allocation)
        settings = replace(settings, open=replace(settings.open, backend=first.backend), digest=first.digest)
        folder = _home(found.pairs, out)
        _sweep(pair.target for pair in found.pairs)
        if found.pairs and not storage.is_url(folder):
            make_folder(Path(folder))
        ledger = connection.open_ledger(ray, folder)
        tasks = _tasks(found.pairs, read_journal(folder), step)
        ready, films_ = _films_to_do(tasks, first.digest, ledger)
        with _watched(ledger, len(found.pairs), progress):
            for phase in (ready, films_):
                if phase:
                    _run(ray, phase, settings, allocation, ledger, kind)
        account = ledger.account()
        if account.again:
            _sweep(pair.target for pair in found.pairs)
    ended = account.enhanced + account.kept + len(account.failures)
    if ended != len(found.pairs):
        raise BackendError(f"{len(found.pairs) - ended} inputs were not accounted for; run the same command again")
    return Report(
        account,
        [*found.failures, *account.failures],
        found.ignored,
        account.ended - account.began,
        max(0.0, account.began - called),
        allocation,
        first,
    )


def _check(workers: int | None, gpus_per_worker: float | None, step: int) -> None:
    if workers is not None and workers < 1:
        raise InputError(f"--workers is at least 1, found {workers}")
    if gpus_per_worker is not None and not 0 <= gpus_per_worker < float("inf"):
        raise InputError(f"--gpus-per-worker is at least 0, found {gpus_per_worker:g}")
    if gpus_per_worker is not None and gpus_per_worker > 1 and gpus_per_worker % 1:
        raise InputError(f"--gpus-per-worker is a share of one GPU or a whole number, found {gpus_per_worker:g}")
    if step < 1:
        raise InputError(f"--segment is at least 1 frame, found {step}")


def _probe(ray: Any, settings: Settings, allocation: Allocation) -> WorkerProbe:
    """The settings, tried where the workers will be; a fault in them is reported once, and here."""
    remote = ray.remote(probe).options(num_cpus=allocation.cpus, num_gpus=allocation.gpus)
    return _asked(ray, lambda: ray.get(remote.remote(settings)))


def _asked(ray: Any, ask: Any) -> Any:
    """The answer of a cluster; what the project raises over there is raised here, and anything else in one line."""
    try:
        return ask()
    except ray.exceptions.RayError as error:
        raise _ours(error) from error


def _ours(error: BaseException) -> RetinexError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RetinexError):
            own = getattr(cause, "cause", cause)
            return own if isinstance(own, RetinexError) else cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return BackendError(f"Ray gave up: {type(error).__name__}: {lines[-1].strip() if lines else 'no reason given'}")


def _home(pairs: Sequence[InputOutput], out: str) -> str:
    """The folder of the journal: the output folder, or that of a single output file."""
    if storage.is_url(out):
        return out
    path = Path(out).absolute()
    return str(path.parent if any(pair.target == str(path) for pair in pairs) else path)


def _tasks(pairs: Sequence[InputOutput], notes: dict[str, Note], step: int) -> list[Task]:
    """Pictures, films, and the segments of films that are longer than one."""
    tasks: list[Task] = []

    def add(kind: Any, pair: InputOutput, target: str, **more: int) -> None:
        note = notes.get(storage.path_of(target))
        noted = json.dumps(asdict(note)) if note is not None else ""
        tasks.append(Task(len(tasks), kind, pair.source, pair.target, noted=noted, **more))

    for pair in pairs:
        if not pair.is_film:
            add("picture", pair, pair.target)
            continue
        count = segments.count_frames(pair.source)
        parts = range(0, count, step) if count > step else range(0)
        for first in parts:
            path = segments.segment_path(pair.target, first)
            add("segment", pair, str(path), first=first, last=min(first + step, count))
        add("film", pair, pair.target, last=count, step=step if parts else 0)
    return tasks


def _films_to_do(tasks: Sequence[Task], digest: str, ledger: RemoteLedger) -> tuple[list[Task], list[Task]]:
    """The tasks to begin with, and the films to put together after them. The ledger is told of films that are done already."""
    done = {
        task.target
        for task in tasks
        if task.kind == "film" and is_kept(task.noted, task.target, digest, partial(storage.digest, task.source))
    }
    for task in tasks:
        if task.kind == "film" and task.target in done:
            ledger.finish("", Outcome(task.number, "film", task.source, "kept"))
    left = [task for task in tasks if task.target not in done]
    # A film in one piece need not wait for any segment.
    ready = [task for task in left if task.kind != "film" or not task.step]
    return ready, [task for task in left if task.kind == "film" and task.step]


@contextmanager
def _watched(ledger: RemoteLedger, files: int, shown: TextIO | None) -> Generator[None]:
    """Draw what the ledger knows, twice a second, while the block runs."""
    if shown is None:
        yield
        return
    over = threading.Event()

    def watch(bar: Any) -> None:
        last = False
        while not last:
            last = over.wait(0.5)
            ended, frames = ledger.progress()
            bar.update(ended - bar.n)
            if frames:
                bar.set_postfix(frames=frames)
        bar.refresh()  # The last change is drawn however soon it came after the one before.

    with tqdm(total=files, unit="file", file=shown, leave=False) as bar:
        thread = threading.Thread(target=watch, args=(bar,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(5)


def _run(
    ray: Any, tasks: Sequence[Task], settings: Settings, allocation: Allocation, ledger: RemoteLedger, kind: type[Worker]
) -> None:
    """Hand tasks to a pool of workers until all have come back. Ray begins again what a lost worker had begun."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # Ray Data's bars count rows and blocks, which mean nothing to whoever waits
    context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = _LOST_STARTS
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    batches = _batches(tasks, allocation.workers)
    workers = min(allocation.workers, len(batches))
    rows = ray.data.from_items([{"tasks": packed(batch)} for batch in batches], override_num_blocks=min(len(batches), _BLOCKS))
    done = rows.map_batches(
        kind,
        fn_constructor_args=(settings, ledger),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=2),
        num_cpus=allocation.cpus,
        num_gpus=allocation.gpus or None,
    )
    _asked(ray, done.materialize)


def _batches(tasks: Sequence[Task], workers: int) -> list[list[Task]]:
    """Films and segments, work for seconds each, one by one and first; pictures together."""
    long = [[task] for task in tasks if task.kind != "picture"]
    short = [task for task in tasks if task.kind == "picture"]
    together = max(1, min(_MOST_TOGETHER, len(short) // (workers * _TURNS)))
    return [*long, *([*short[first : first + together]] for first in range(0, len(short), together))]


def _sweep(targets: Iterable[str]) -> None:
    """Remove what killed workers left beside these targets. Nobody may be writing there."""
    names: dict[Path, set[str]] = {}
    for target in targets:
        if not storage.is_url(target):
            names.setdefault(Path(target).parent, set()).add(Path(target).name)
    for folder, known in names.items():
        if not folder.is_dir():
            continue
        for path in folder.iterdir():
            match = _LEFTOVER.fullmatch(path.name)
            if match is None or match[1] not in known:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
