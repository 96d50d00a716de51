"""Overlap with a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from runtime.media.pipeline import overlap, stream


def test_results_come_in_order_and_failures_take_their_place() -> None:
    def load(item: int) -> int:
        time.sleep(0.001 * (item % 3))
        if item == 3:
            raise ValueError("load")
        return item * 10

    def work(loaded: int) -> int:
        if loaded == 50:
            raise ValueError("work")
        return loaded + 1

    def store(item: int, made: int) -> str:
        if item == 7:
            raise ValueError("store")
        return f"{item}:{made}"

    outcomes = list(overlap(range(10), load, work, store))
    assert [item for item, _ in outcomes] == list(range(10))
    failed = {item: str(outcome) for item, outcome in outcomes if isinstance(outcome, Exception)}
    assert failed == {3: "load", 5: "work", 7: "store"}
    assert [outcome for _, outcome in outcomes if not isinstance(outcome, Exception)][:3] == ["0:1", "1:11", "2:21"]


def test_the_three_stages_are_at_work_at_once() -> None:
    """Each stage waits for the others to be busy too: without overlap nobody would ever pass."""
    together = threading.Barrier(3)

    def load(item: int) -> int:
        if item == 2:
            together.wait(timeout=60)
        return item

    def work(item: int) -> int:
        if item == 1:
            together.wait(timeout=60)
        return item

    def store(item: int, _: int) -> None:
        if item == 0:
            together.wait(timeout=60)

    outcomes = list(overlap(range(6), load, work, store, threads=1))
    assert not [outcome for _, outcome in outcomes if isinstance(outcome, Exception)]


def test_never_more_than_the_bound_is_in_flight() -> None:
    lock = threading.Lock()
    alive, most = 0, 0

    def items() -> Iterator[int]:
        yield from range(2000)

    def load(item: int) -> int:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return item

    def store(_: int, made: int) -> None:
        nonlocal alive
        with lock:
            alive -= 1

    for _, outcome in overlap(items(), load, lambda loaded: loaded, store, threads=2, ahead=2):
        assert outcome is None
    assert alive == 0
    assert most <= 12


def test_one_thread_loads_in_order() -> None:
    seen: list[int] = []
    list(overlap(range(50), seen.append, lambda loaded: loaded, lambda item, _: item, threads=1))
    assert seen == list(range(50))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_leaving_early_stops_the_threads(error: type[BaseException]) -> None:
    before = threading.active_count()
    loaded: list[int] = []

    def consume() -> None:
        for item, _ in overlap(range(10**9), loaded.append, lambda loaded: loaded, lambda item, _: item):
            if item == 5:
                raise error

    with pytest.raises(error):
        consume()
    assert threading.active_count() == before
    assert len(loaded) < 30


def test_a_stream_ends_with_its_frames() -> None:
    frames, written = iter(range(20)), list[int]()
    assert sum(1 for _ in stream(lambda: next(frames, None), lambda frame: frame * 2, written.append)) == 20
    assert written == list(range(0, 40, 2))


@pytest.mark.parametrize("stage", ["read", "work", "write"])
def test_a_stream_that_breaks_has_written_what_came_before(stage: str) -> None:
    frames, written = iter(range(1000)), list[int]()

    def pass_on(at: str, frame: int) -> int:
        if (at, frame) == (stage, 12):
            raise ValueError("broken")
        return frame

    with pytest.raises(ValueError, match="broken"):
        for _ in stream(
            lambda: pass_on("read", next(frames)),
            lambda frame: pass_on("work", frame),
            lambda frame: written.append(pass_on("write", frame)),
        ):
            pass
    assert written == list(range(12))
