"""Workers, the ledger and its journal, in one process and without Ray."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runtime import Enhancer
from runtime.backends import Backend
from runtime.errors import ArtifactError, GpuLostError
from runtime.images import Images
from runtime.media import films, pictures
from runtime.media.metadata import Metadata
from runtime.media.pictures import Picture
from runtime.options import CallOptions
from runtime.ray_cluster import segments, worker
from runtime.ray_cluster.ledger import JOURNAL, Ledger, Note, Outcome, read_journal
from runtime.ray_cluster.tasks import Task
from runtime.ray_cluster.worker import ATTEMPTS, Settings, Worker, packed, probe, unpacked
from tests.runtime.conftest import double, make_info, write_artifact
from tests.runtime.ray_cluster.conftest import outputs
from tests.runtime.ray_cluster.test_run import film


def _tasks(source: Path, out: Path) -> list[Task]:
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    return [
        Task(number, "picture", str(path), str(out / path.relative_to(source).with_suffix(".png")))
        for number, path in enumerate(paths)
    ]


def _row(tasks: list[Task]) -> dict[str, list[str]]:
    return {"tasks": [packed(tasks)]}


def test_tasks_survive_the_journey() -> None:
    tasks = [Task(3, "segment", "/in/ä b.mp4", "s3://bucket/c.png?region=x", 1, 2, 3, json.dumps({"a": 1}))]
    assert unpacked(packed(tasks)) == tasks


def test_a_worker_does_its_tasks_and_says_what_failed(folder: Callable[..., Path], settings: Settings, tmp_path: Path) -> None:
    source, out = folder(5), tmp_path / "out"
    (source / "broken.png").write_bytes(b"no picture")
    tasks = _tasks(source, out)
    tasks += [Task(6, "picture", str(source / "absent.png"), str(out / "absent.png"))]
    tasks += [Task(7, "picture", str(source / "0" / "001.png"), str(out / "film.mp4"))]
    out.mkdir()
    ledger = Ledger(str(out))
    assert Worker(settings, ledger)(_row(tasks)) == {"tasks": np.array([8])}
    account = ledger.account()
    assert account.enhanced == 5 and len(account.failures) == 3
    reasons = {Path(failure.name).name: failure.reason for failure in account.failures}
    assert "not a picture" in reasons["broken.png"] and "No such file" in reasons["absent.png"]
    assert "cannot write .mp4" in reasons["001.png"]
    (load,) = account.loads.values()
    assert load.pictures == 5 and load.seconds > 0 and account.ended > account.began > 0
    dark = pictures.read(source / "0" / "002.png").rgb
    assert np.array_equal(pictures.read(out / "0" / "002.png").rgb, double(dark))


def test_a_worker_keeps_metadata_and_says_what_it_could_not_keep(settings: Settings, tmp_path: Path) -> None:
    dark = Picture(np.full((20, 30, 3), 40, np.uint8), metadata=Metadata(xmp=b"<x:xmpmeta/>"))
    pictures.write(tmp_path / "a.png", dark)
    ledger = Ledger(str(tmp_path))
    tasks = [
        Task(number, "picture", str(tmp_path / "a.png"), str(tmp_path / name)) for number, name in enumerate(("b.png", "c.bmp"))
    ]
    Worker(settings, ledger)(_row(tasks))
    assert pictures.read(tmp_path / "b.png").metadata.xmp == b"<x:xmpmeta/>"
    assert [remark.reason for remark in ledger.account().remarks] == ["without its XMP data, which .bmp does not hold"]


def test_what_is_finished_is_not_done_again(folder: Callable[..., Path], settings: Settings, tmp_path: Path) -> None:
    """In a run by number, over runs by digest; another setting is another result."""
    source, out = folder(4), tmp_path / "out"
    out.mkdir()
    tasks = _tasks(source, out)
    ledger = Ledger(str(out))
    one = Worker(settings, ledger)
    one(_row(tasks))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    one(_row(tasks))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before

    def again(settings: Settings) -> tuple[int, int]:
        notes = read_journal(str(out))
        ledger = Ledger(str(out))
        Worker(settings, ledger)(_row([replace(task, noted=json.dumps(notes[task.target].__dict__)) for task in tasks]))
        return ledger.account().enhanced, ledger.account().kept

    assert again(settings) == (0, 4)
    (out / "0" / "001.png").write_bytes(b"damaged")
    (source / "0" / "002.png").write_bytes((source / "0" / "003.png").read_bytes())
    assert again(settings) == (2, 2)
    assert again(settings) == (0, 4)
    assert again(replace(settings, call=CallOptions(strength=0.5))) == (4, 0)


def test_all_that_decides_bytes_is_in_the_digest(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_artifact(tmp_path / "other.onnx", make_info(), around=1)
    more: list[dict[str, Any]] = [
        {},
        {"source": str(other)},
        {"open": replace(settings.open, threads=2)},
        {"call": CallOptions(strength=0.5)},
        {"call": CallOptions(gate=True)},
        {"call": CallOptions(tile="off")},
    ]
    found = [probe(replace(settings, **changes)).digest for changes in more]
    versions: dict[Any, tuple[str, Any]] = {
        worker: ("__version__", "another"),
        cv2: ("__version__", "another"),
        Backend: ("version", lambda _: "another"),
    }
    for holder, (name, another) in versions.items():
        monkeypatch.setattr(holder, name, another)
        found.append(probe(settings).digest)
    assert len(set(found)) == len(found)
    assert probe(settings).digest == found[-1]


def test_suspects_are_done_alone_and_given_up_after_a_few(
    folder: Callable[..., Path], settings: Settings, tmp_path: Path
) -> None:
    """What a worker that was lost had begun, as the next one meets it."""
    source, out = folder(3), tmp_path / "out"
    out.mkdir()
    tasks = _tasks(source, out)
    ledger = Ledger(str(out))
    ledger.begin("lost", [0, 1, 2])
    for _ in range(ATTEMPTS):
        ledger.alone(1)
    Worker(settings, ledger)(_row(tasks))
    account = ledger.account()
    assert account.enhanced == 2 and account.again == 3
    assert [Path(failure.name).name for failure in account.failures] == ["001.png"]
    assert "workers in a row were lost over it" in account.failures[0].reason
    assert set(outputs(out)) == {"0/000.png", "0/002.png"}


def test_workers_with_another_artifact_refuse(settings: Settings, tmp_path: Path) -> None:
    found = probe(settings)
    assert found.backend == "onnxruntime" and found.trained
    Worker(replace(settings, digest=found.digest), Ledger(str(tmp_path)))
    ledger = Ledger(str(tmp_path))
    for _ in range(2):
        with pytest.raises(ArtifactError, match="another artifact"):
            Worker(replace(settings, digest=found.digest, call=CallOptions(gate=True)), ledger)
    with pytest.raises(ArtifactError, match="does not exist"):
        Worker(replace(settings, source=str(tmp_path / "absent.onnx")), ledger)
    # Others may do their work, so the report says it: once for each reason.
    assert [remark.name for remark in ledger.account().remarks] == [platform.node()] * 2


def test_the_journal_survives_being_cut(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    for number in range(3):
        note = Note(str(tmp_path / f"{number}.png"), "a", "b", "c")
        ledger.finish("w", Outcome(number, "picture", "x", "enhanced", images=1, note=note))
        ledger.finish("w", Outcome(number, "picture", "x", "enhanced", images=1, note=note))
    assert ledger.account().enhanced == 3
    path = tmp_path / JOURNAL
    assert len(path.read_text().splitlines()) == 3
    path.write_bytes(
        b'{"target": 1, "source_sha256": "", "target_sha256": "", "settings": ""}\nnull\n' + path.read_bytes()[:-20]
    )
    assert set(read_journal(str(tmp_path))) == {str(tmp_path / "0.png"), str(tmp_path / "1.png")}
    # What is appended after a line that was cut is not lost with it.
    Ledger(str(tmp_path)).finish("w", Outcome(2, "picture", "x", "enhanced", note=Note(str(tmp_path / "2.png"), "a", "b", "c")))
    assert str(tmp_path / "2.png") in read_journal(str(tmp_path))


def _segments(enhancer: Enhancer, source: Path, target: Path, step: int, count: int) -> None:
    for first in range(0, count, step):
        path = segments.segment_path(str(target), first)
        assert segments.enhance_segment(enhancer, str(source), path, first, min(first + step, count)) == min(
            step, count - first
        )


@pytest.mark.parametrize(("suffix", "frames", "step"), [(".mp4", 50, 16), (".avi", 33, 11), (".mkv", 24, 7)])
def test_a_film_in_segments_has_the_bytes_of_one_in_one_piece(
    settings: Settings, tmp_path: Path, suffix: str, frames: int, step: int
) -> None:
    source = film(tmp_path / f"in{suffix}", frames)
    with Enhancer(settings.source, backend="onnxruntime", threads=1) as enhancer:
        target, whole = tmp_path / f"parts{suffix}", tmp_path / f"whole{suffix}"
        films.enhance(enhancer, source, whole)
        _segments(enhancer, source, target, step, segments.count_frames(str(source)))
        replay = segments.Replay(enhancer, str(target))
        films.enhance(replay, source, target)  # pyright: ignore[reportArgumentType]
        replay.close()
    assert replay.fresh <= 1
    assert _frames(target) == _frames(whole) and len(_frames(target)) == frames
    if suffix != ".mkv":  # which carries a random number
        assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_segments_of_a_film_whose_light_is_steadied(tmp_path: Path, suffix: str) -> None:
    """They read the frames before them, so that they know what one process would. One is absent, and made in the end."""
    source, target, whole = film(tmp_path / f"in{suffix}", 44), tmp_path / f"parts{suffix}", tmp_path / f"whole{suffix}"
    with Enhancer("dawn", backend="onnxruntime", threads=1) as enhancer:
        films.enhance(enhancer, source, whole)
        _segments(enhancer, source, target, 11, 44)
        segments.segment_path(str(target), 22).unlink()
        replay = segments.Replay(enhancer, str(target))
        films.enhance(replay, source, target)
        replay.close()
    assert replay.fresh == 11
    assert target.read_bytes() == whole.read_bytes()


def _frames(path: Path) -> list[bytes]:
    capture = cv2.VideoCapture(str(path))
    frames: list[bytes] = []
    while (found := capture.read())[0]:
        frames.append(found[1].tobytes())
    return frames


def test_frames_that_no_segment_holds_are_enhanced_in_the_end(settings: Settings, tmp_path: Path) -> None:
    """A decoder that seeks to another frame than it was asked for, a segment that is absent and one that is damaged."""
    source, target = film(tmp_path / "in.mp4", 40), tmp_path / "out.mp4"
    with Enhancer(settings.source, backend="onnxruntime", threads=1) as enhancer:
        whole = tmp_path / "whole.mp4"
        films.enhance(enhancer, source, whole)
        segments.enhance_segment(enhancer, str(source), segments.segment_path(str(target), 0), 2, 12)  # two frames late
        segments.segment_path(str(target), 20).write_bytes(b"no archive")
        replay = segments.Replay(enhancer, str(target))
        films.enhance(replay, source, target)  # pyright: ignore[reportArgumentType]
        replay.close()
    assert replay.fresh == 30
    assert target.read_bytes() == whole.read_bytes()


def test_films_through_a_worker(settings: Settings, tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4", 30), tmp_path / "out" / "film.mp4"
    target.parent.mkdir()
    parts = [Task(n, "segment", str(source), str(target), first, first + 10) for n, first in enumerate((0, 10, 20))]
    ledger = Ledger(str(target.parent))
    one = Worker(settings, ledger)
    one(_row(parts))
    assert ledger.account().frames == 30 and ledger.account().enhanced == 0
    assert len(list(segments.segments_folder(str(target)).iterdir())) == 3
    # A run that was stopped here finds the segments again.
    notes = read_journal(str(target.parent))
    longer = Ledger(str(tmp_path))
    first = str(segments.segment_path(str(target), 0))
    Worker(settings, longer)(_row([replace(parts[0], last=9, noted=json.dumps(notes[first].__dict__))]))
    assert longer.account().frames == 9  # of another length it is another segment
    Worker(settings, Ledger(str(target.parent)))(_row(parts[:1]))
    notes = read_journal(str(target.parent))
    later = Ledger(str(target.parent))
    noted = [json.dumps(notes[str(segments.segment_path(str(target), part.first))].__dict__) for part in parts]
    Worker(settings, later)(_row([replace(part, noted=note) for part, note in zip(parts, noted, strict=True)]))
    assert later.account().frames == 0
    broken = Task(9, "film", str(tmp_path / "absent.mp4"), str(target.parent / "absent.mp4"))
    one(_row([Task(3, "film", str(source), str(target), last=30, step=10), broken]))
    account = ledger.account()
    assert account.enhanced == 1 and account.frames == 30 and list(outputs(target.parent)) == ["film.mp4"]
    assert ["No such file" in failure.reason for failure in account.failures] == [True]
    assert not segments.segments_folder(str(target)).exists()


def test_a_picture_too_large_for_memory_is_named(
    folder: Callable[..., Path], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(enhancer: Enhancer, picture: pictures.Picture, **options: object) -> pictures.Picture:
        raise MemoryError

    monkeypatch.setattr(worker.pictures, "enhance", short)
    ledger = Ledger(str(tmp_path))
    Worker(settings, ledger)(_row(_tasks(folder(1), tmp_path / "out")))
    assert [failure.reason for failure in ledger.account().failures] == ["out of memory"]


@pytest.mark.parametrize("kind", ["picture", "film"])
def test_a_worker_that_lost_its_gpu_ends_and_fails_nothing(
    kind: str, folder: Callable[..., Path], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has not finished is for another process."""
    source, out = folder(4), tmp_path / "out"
    out.mkdir()
    tasks = _tasks(source, out)
    if kind == "film":
        tasks = [Task(0, "film", str(film(tmp_path / "in.mp4", 9)), str(out / "film.mp4"), last=9)]
    ledger = Ledger(str(out))
    one = Worker(settings, ledger)
    calls = 0

    def enhance(*given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise GpuLostError("cuLaunchKernel: CUDA_ERROR_ILLEGAL_ADDRESS")
        return enhancer(*given, **options)

    def ended(code: int) -> None:
        raise SystemExit(code)

    enhancer = one._enhancer  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(one, "_enhancer", enhance)
    monkeypatch.setattr(worker.os, "_exit", ended)
    with pytest.raises(SystemExit):
        one(_row(tasks))
    account = ledger.account()
    assert account.failures == [] and account.enhanced == (2 if kind == "picture" else 0)
    assert ["ILLEGAL_ADDRESS" in remark.reason for remark in account.remarks] == [True]


def test_the_ledger_counts_each_task_once() -> None:
    ledger = Ledger("/nowhere")
    assert ledger.begin("a", [1, 2]) == ["new", "new"]
    ledger.finish("a", Outcome(1, "picture", "x", "failed", "why"))
    assert ledger.begin("b", [1, 2, 3]) == ["done", "suspect", "new"]
    ledger.finish("b", Outcome(1, "picture", "x", "failed", "why"))
    assert len(ledger.account().failures) == 1
    assert [ledger.alone(2), ledger.alone(2)] == [0, 1]


def test_replay_takes_what_an_enhancer_takes() -> None:
    def enhance(frame: Images, **options: object) -> Images:
        assert options == {"strength": 0.5}
        return frame + 1

    replay = segments.Replay(enhance, "/nowhere/film.mp4")
    frame = np.zeros((16, 16, 3), np.uint8)
    assert np.array_equal(replay(frame, strength=0.5), frame + 1) and replay.fresh == 1
