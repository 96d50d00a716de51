"""A worker: one Enhancer, made where it runs, and the tasks that it is given in batches."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import av
import cv2
import numpy as np

from runtime import __version__
from runtime.backends import get_backend
from runtime.enhancer import Enhancer
from runtime.errors import ArtifactError, GpuLostError, InputError, RetinexError, reason
from runtime.files import sha256
from runtime.media import films, pictures, pipeline
from runtime.media.film_options import FilmOptions
from runtime.media.pictures import Picture
from runtime.options import CallOptions, OpenOptions
from runtime.ray_cluster import segments, storage
from runtime.ray_cluster.ledger import Ledger, Note, Outcome, RemoteLedger, is_kept
from runtime.ray_cluster.tasks import Task

#: How often a task is begun with nothing beside it before it is held to be what kills workers.
ATTEMPTS = 3


@dataclass(frozen=True)
class Settings:
    """How to enhance: the same on every worker."""

    #: A network's name or an artifact's path, as for an Enhancer; what it means is looked up on the worker's node.
    source: str
    open: OpenOptions = field(default_factory=OpenOptions)
    call: CallOptions = field(default_factory=CallOptions)
    film: FilmOptions = field(default_factory=FilmOptions)
    #: The digest that the first worker found; one with another artifact or backend refuses to work. Empty: whatever is found.
    digest: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The options of a call of the Enhancer, as keywords."""
        return asdict(self.call)


@dataclass(frozen=True)
class WorkerProbe:
    """The artifact and the backend that the settings mean on a worker's node."""

    path: str
    backend: str
    trained: bool
    digest: str


def probe(settings: Settings) -> WorkerProbe:
    """Open what the settings name, here, and say what it is."""
    with _open(settings) as enhancer:
        return WorkerProbe(enhancer.source, enhancer.backend, enhancer.info.trained, _digest(enhancer, settings))


def _open(settings: Settings) -> Enhancer:
    # Ray shows a worker no GPU but its own, which is then the first.
    return Enhancer(settings.source, **asdict(settings.open))


def _digest(enhancer: Enhancer, settings: Settings) -> str:
    """One name for everything that decides the bytes of a result."""
    found = {
        "artifact": sha256(Path(enhancer.source)),
        "backend": enhancer.backend,
        "device": enhancer.device,
        "precision": enhancer.precision,
        "threads": settings.open.threads,
        "versions": [__version__, cv2.__version__, av.__version__, get_backend(enhancer.backend).version()],
    }
    what = {**found, **settings.options, "film": asdict(settings.film)}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _open_alike(settings: Settings) -> tuple[Enhancer, str]:
    """The enhancer that the settings name, and its digest, which must be the one that they name."""
    enhancer = _open(settings)
    digest = _digest(enhancer, settings)
    if settings.digest not in ("", digest):
        raise ArtifactError(
            f"{enhancer.source} is another artifact here than where the first worker looked, or runs on another backend or "
            "with other versions; every node needs the same"
        )
    return enhancer, digest


@dataclass(frozen=True)
class Loaded:
    """A picture that was read; None: its output is there already."""

    sha256: str
    picture: Picture | None


class Worker:
    """Holds an Enhancer; called with rows of tasks. Ray Data makes one in each of its actors."""

    def __init__(self, settings: Settings, ledger: Ledger | RemoteLedger) -> None:
        cv2.setNumThreads(settings.open.threads or 1)
        self._settings = settings
        self._ledger = ledger
        try:
            self._enhancer, self._digest = _open_alike(settings)
        except RetinexError as error:
            ledger.refuse(platform.node(), str(error))
            ledger.flush()
            raise
        self._name = f"{platform.node()}, process {os.getpid()}"
        self._films: dict[tuple[str, int, int], str] = {}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do what one row names; what became of it stands in the ledger."""
        started = time.perf_counter()
        tasks = [task for row in batch["tasks"] for task in unpacked(str(row))]
        states = self._ledger.begin(self._name, [task.number for task in tasks])
        self._do([task for task, state in zip(tasks, states, strict=True) if state == "new"])
        for task, state in zip(tasks, states, strict=True):
            if state == "suspect":
                self._do_alone(task)
        self._ledger.spend(self._name, time.perf_counter() - started)
        self._ledger.flush()
        return {"tasks": np.array([len(tasks)], np.int64)}

    def _do_alone(self, task: Task) -> None:
        """Do a task that another worker did not come back from, with nothing beside it that could be to blame."""
        if self._ledger.alone(task.number) >= ATTEMPTS:
            self._finish(task, "failed", f"{ATTEMPTS} workers in a row were lost over it; is it too large for their memory?")
        else:
            self._do([task])
        self._ledger.flush()

    def _do(self, tasks: Sequence[Task]) -> None:
        for task, outcome in pipeline.overlap(
            [task for task in tasks if task.kind == "picture"], self._load, self._enhance, self._store
        ):
            if isinstance(outcome, GpuLostError):
                self._end(outcome)
            if isinstance(outcome, Exception):
                outcome = self._outcome(task, "failed", reason(outcome))
            self._ledger.finish(self._name, outcome)
        for task in tasks:
            if task.kind != "picture":
                self._do_film(task)

    def _end(self, error: GpuLostError) -> NoReturn:
        """End this process, which can use its GPU no more: Ray begins another, and again what was not finished here."""
        self._ledger.refuse(self._name, str(error))
        self._ledger.flush()
        os._exit(1)

    def _load(self, task: Task) -> Loaded:
        data = storage.read(task.source)
        digest = hashlib.sha256(data).hexdigest()
        if is_kept(task.noted, task.target, self._digest, lambda: digest):
            return Loaded(digest, None)
        return Loaded(digest, pictures.decode(data, storage.path_of(task.source)))

    def _enhance(self, loaded: Loaded) -> Loaded:
        if loaded.picture is None:
            return loaded
        return replace(loaded, picture=pictures.enhance(self._enhancer, loaded.picture, **self._settings.options))

    def _store(self, task: Task, made: Loaded) -> Outcome:
        if made.picture is None:
            return self._outcome(task, "kept")
        data, lost = pictures.encoded(made.picture, storage.suffix(task.target))
        storage.write(task.target, data)
        note = Note(task.target, made.sha256, hashlib.sha256(data).hexdigest(), self._digest)
        return self._outcome(task, "enhanced", lost, images=1, note=note)

    def _do_film(self, task: Task) -> None:
        """Do a film or a segment of one."""
        try:
            (self._segment if task.kind == "segment" else self._film)(task)
        except GpuLostError as error:
            self._end(error)
        except Exception as error:
            self._finish(task, "failed", reason(error))

    def _segment(self, task: Task) -> None:
        path = segments.segment_path(task.target, task.first)
        source = self._film_digest(task.source)
        settings = f"{self._digest} to {task.last}"  # its length is part of it
        if is_kept(task.noted, str(path), settings, lambda: source):
            self._finish(task, "kept")
            return
        calm, options = self._settings.film.calm, self._settings.options
        count = segments.enhance_segment(self._enhancer, task.source, path, task.first, task.last, calm, **options)
        note = Note(str(path), source, storage.digest(str(path)) or "", settings)
        self._finish(task, "enhanced", images=count, note=note)

    def _film(self, task: Task) -> None:
        """Put a film together; frames that no segment holds are enhanced here."""
        source, target = Path(task.source), Path(task.target)
        replay = segments.Replay(self._enhancer, task.target, self._settings.film.calm)
        whole = False
        try:
            digest = self._film_digest(task.source)  # before it is read: what replaces it meanwhile is another film
            # It is called as an Enhancer is, and that is all that a film needs.
            text = films.enhance(replay, source, target, film=self._settings.film, **self._settings.options)
            whole = True
        except InputError:
            whole = True  # with another try it would come to the same
            raise
        finally:
            replay.close()
            if whole:
                shutil.rmtree(segments.segments_folder(task.target), ignore_errors=True)
        if task.step and replay.fresh:
            again = f"{replay.fresh} frames were enhanced while it was put together"
            text = f"{text}; {again}" if text else again
        note = Note(task.target, digest, storage.digest(task.target) or "", self._digest)
        self._finish(task, "enhanced", text, replay.fresh, note)

    def _film_digest(self, source: str) -> str:
        """SHA-256 of a film; read once for all of its segments."""
        try:
            status = Path(source).stat()
        except OSError as error:
            raise InputError(f"cannot read {source}: {error.strerror}") from error
        key = (source, status.st_size, status.st_mtime_ns)
        if key not in self._films:
            self._films[key] = sha256(Path(source))
        return self._films[key]

    def _outcome(self, task: Task, status: Any, text: str = "", images: int = 0, note: Note | None = None) -> Outcome:
        return Outcome(task.number, task.kind, storage.path_of(task.source), status, text, images, note)

    def _finish(self, task: Task, status: Any, text: str = "", images: int = 0, note: Note | None = None) -> None:
        self._ledger.finish(self._name, self._outcome(task, status, text, images, note))


def packed(tasks: Sequence[Task]) -> str:
    """Tasks as one value of a row."""
    return json.dumps([asdict(task) for task in tasks])


def unpacked(text: str) -> list[Task]:
    """The tasks of a row."""
    return [Task(**fields) for fields in json.loads(text)]
