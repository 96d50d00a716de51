"""Ledger of a run: which worker has begun which task, what is finished, and a journal that outlives the run.

The ledger is an actor on the driver's node, so no worker's death costs it. Each finished output is noted in the journal
with the digests of what went in and what came out; a later run with the same settings leaves those alone whose digests
still match.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from runtime.errors import InputError
from runtime.media.inputs import Failure
from runtime.ray_cluster import storage

State = Literal["new", "suspect", "done"]

#: The journal in an output folder; hidden, so that it is never taken for an input.
JOURNAL = ".retinexrt.jsonl"
#: Entries of a journal in an object store, which cannot be appended to, that are written as one object.
_TOGETHER = 256


@dataclass(frozen=True)
class Note:
    """The journal's entry for a finished output."""

    #: Relative to the journal's folder, or a place.
    target: str
    source_sha256: str
    target_sha256: str
    #: Digest of what decides the bytes beside the input: artifact, backend, versions and options.
    settings: str


@dataclass(frozen=True)
class Outcome:
    """The end of a task."""

    number: int
    kind: str
    name: str
    status: Literal["enhanced", "kept", "failed"]
    #: Why it failed, or what there is to say of it.
    text: str = ""
    #: Pictures or frames that went through the network.
    images: int = 0
    note: Note | None = None


@dataclass
class Load:
    """The work of one worker."""

    pictures: int = 0
    frames: int = 0
    films: int = 0
    #: Between being given work and handing it back.
    seconds: float = 0.0


@dataclass
class Account:
    """The sums of a run."""

    enhanced: int = 0
    kept: int = 0
    frames: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])
    remarks: list[Failure] = field(default_factory=list[Failure])
    loads: dict[str, Load] = field(default_factory=dict[str, Load])
    #: When the first task was begun and the last one handed back: time.time(); 0: never.
    began: float = 0.0
    ended: float = 0.0
    #: Tasks that were begun by a worker that was lost, and begun again.
    again: int = 0


class Ledger:
    """One per run. Not thread-safe: as an actor it answers one call at a time."""

    def __init__(self, folder: str) -> None:
        self._journal = Journal(folder)
        self._begun: set[int] = set()
        self._done: set[int] = set()
        self._alone: dict[int, int] = {}
        self._account = Account()

    def begin(self, worker: str, numbers: Sequence[int]) -> list[State]:
        """A worker takes on tasks. "suspect": another had begun it and did not finish; "done": needs no doing."""
        self._load(worker)
        self._account.began = self._account.began or time.time()
        states: list[State] = []
        for number in numbers:
            states.append("done" if number in self._done else "suspect" if number in self._begun else "new")
            self._begun.add(number)
        self._account.again += states.count("suspect")
        return states

    def alone(self, number: int) -> int:
        """A suspect is taken on, and nothing beside it; how often that was done before."""
        before = self._alone.get(number, 0)
        self._alone[number] = before + 1
        return before

    def finish(self, worker: str, outcome: Outcome) -> None:
        """A task came to its end. Heard twice, it counts once."""
        if outcome.number in self._done:
            return
        self._done.add(outcome.number)
        if outcome.note is not None and outcome.status == "enhanced":
            self._journal.add(outcome.note)
        load, account = self._load(worker), self._account
        if outcome.kind == "picture":
            load.pictures += outcome.images
        else:
            load.frames += outcome.images
            account.frames += outcome.images
        load.films += outcome.kind == "film" and outcome.status == "enhanced"
        if outcome.kind == "segment":
            return  # a part of a film, which is judged when it is put together
        if outcome.status == "failed":
            account.failures.append(Failure(outcome.name, outcome.text))
            return
        account.enhanced += outcome.status == "enhanced"
        account.kept += outcome.status == "kept"
        if outcome.text:
            account.remarks.append(Failure(outcome.name, outcome.text))

    def spend(self, worker: str, seconds: float) -> None:
        """A worker has handed back what it was given."""
        self._load(worker).seconds += seconds
        self._account.ended = time.time()

    def refuse(self, node: str, why: str) -> None:
        """A worker could not begin. Others are begun in its place: a node is named once for each reason."""
        remark = Failure(node, why)
        if remark not in self._account.remarks:
            self._account.remarks.append(remark)

    def flush(self) -> None:
        """Everything that was noted is in the journal."""
        self._journal.flush()

    def progress(self) -> tuple[int, int]:
        """Files that came to their end, and frames that went through the network."""
        account = self._account
        return account.enhanced + account.kept + len(account.failures), account.frames

    def account(self) -> Account:
        """The sums of the run so far."""
        self._journal.flush()
        return self._account

    def _load(self, worker: str) -> Load:
        return self._account.loads.setdefault(worker, Load())


class Journal:
    """Notes in an output folder: lines of a file, or small objects where nothing can be appended to."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._waiting: list[str] = []
        self._written = 0
        self._run = f"{time.time_ns():x}"

    def add(self, note: Note) -> None:
        """Note a finished output."""
        shorter = Note(_relative(note.target, self._folder), note.source_sha256, note.target_sha256, note.settings)
        line = json.dumps(asdict(shorter), sort_keys=True, ensure_ascii=False) + "\n"
        if storage.is_url(self._folder):
            self._waiting.append(line)
            if len(self._waiting) >= _TOGETHER:
                self.flush()
            return
        # One line, one write: what a stop can leave is a last line that is cut; it is ended, and not read.
        path = Path(self._folder) / JOURNAL
        if not self._written and _is_cut(path):
            line = f"\n{line}"
        self._written += 1
        with path.open("ab") as file:
            file.write(line.encode())

    def flush(self) -> None:
        """Write what waits to be written."""
        if self._waiting:
            name = f"{JOURNAL}/{self._run}-{self._written:06d}"
            storage.write(storage.join(self._folder, name), "".join(self._waiting).encode())
            self._written += 1
            self._waiting.clear()


def _is_cut(path: Path) -> bool:
    """Whether a file ends in the middle of a line."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def read_journal(folder: str) -> dict[str, Note]:
    """The last note of each target, by place; a folder without a journal has none."""
    found: dict[str, Note] = {}
    for line in _lines(folder):
        try:
            note = Note(**json.loads(line))
            place = note.target if storage.is_url(note.target) else storage.join(folder, note.target)
        except (ValueError, TypeError):
            continue  # cut off when a run was stopped
        found[storage.path_of(place)] = note
    return found


def is_kept(noted: str, target: str, settings: str, source_sha256: Callable[[], str | None]) -> bool:
    """Whether the output of this very input is there, as an earlier run with the same settings wrote it.

    `noted`: what the journal says of it, as JSON; empty: nothing. The input is read only where the settings agree.
    """
    if not noted:
        return False
    note = Note(**json.loads(noted))
    if note.settings != settings or note.source_sha256 != source_sha256():
        return False
    return note.target_sha256 == storage.digest(target)


def _lines(folder: str) -> Iterator[str]:
    if not storage.is_url(folder):
        path = Path(folder) / JOURNAL
        if path.is_file():
            yield from path.read_text(encoding="utf-8", errors="replace").splitlines()
        return
    url = storage.join(folder, JOURNAL)
    try:
        names = storage.names_below(url) or []
    except InputError:  # there is no such folder
        return
    for name in names:
        yield from storage.read(storage.join(url, name)).decode(errors="replace").splitlines()


def _relative(target: str, folder: str) -> str:
    target, folder = storage.path_of(target), storage.path_of(folder).rstrip("/")
    return target[len(folder) + 1 :] if target.startswith(f"{folder}/") else target


class RemoteLedger:
    """The ledger as a worker sees it: an actor of Ray. What is finished is told without waiting, until `flush`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._told: list[Any] = []

    def begin(self, worker: str, numbers: Sequence[int]) -> list[State]:
        return self._ask(self._actor.begin.remote(worker, list(numbers)))

    def alone(self, number: int) -> int:
        return self._ask(self._actor.alone.remote(number))

    def finish(self, worker: str, outcome: Outcome) -> None:
        self._told.append(self._actor.finish.remote(worker, outcome))

    def spend(self, worker: str, seconds: float) -> None:
        self._told.append(self._actor.spend.remote(worker, seconds))

    def refuse(self, node: str, why: str) -> None:
        self._told.append(self._actor.refuse.remote(node, why))

    def flush(self) -> None:
        """Return when the ledger has heard everything."""
        self._ask(self._told)
        self._told = []

    def progress(self) -> tuple[int, int]:
        return self._ask(self._actor.progress.remote())

    def account(self) -> Account:
        return self._ask(self._actor.account.remote())

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteLedger, (self._actor,)

    def _ask(self, reference: Any) -> Any:
        import ray

        return ray.get(reference)
