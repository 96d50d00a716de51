"""Timing, on clocks and machines that behave as the tests say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from benchmarks.harness import timing
from benchmarks.harness.timing import Sample


class Clock:
    """Advances by what each run says it took."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def runner(self, totals: Iterator[float]) -> Callable[[], Sample]:
        def run() -> Sample:
            total = next(totals)
            self.now += total / 1e3
            return Sample(total)

        return run


def test_warm_up_ends_when_two_windows_agree() -> None:
    clock = Clock()
    falling = itertools.chain([100.0, 80, 60, 50, 40], [30.0, 25, 20, 15, 12], itertools.repeat(10.0))
    found = timing.warm_up(clock.runner(falling), 60.0, clock)
    assert found.settled
    assert found.runs == 18  # the first window whose median, like that of the next, is 10 +- 5 %


def test_warm_up_says_when_the_machine_never_settled() -> None:
    clock = Clock()
    found = timing.warm_up(clock.runner(100.0 * 1.1**i for i in itertools.count()), 5.0, clock)
    assert not found.settled
    assert found.seconds >= 5.0


def test_a_slow_contender_is_not_run_beyond_the_limit() -> None:
    clock = Clock()
    found = timing.warm_up(clock.runner(itertools.repeat(40_000.0)), 15.0, clock)
    assert (found.runs, found.settled) == (1, False)


def test_turns_rotate_and_the_first_run_of_each_is_not_counted() -> None:
    calls: list[str] = []

    def contender(name: str) -> Callable[[], Sample]:
        counter = itertools.count()

        def run() -> Sample:
            calls.append(name)
            return Sample(float(next(counter)))

        return run

    samples = timing.take_turns([contender(name) for name in "abc"], rounds=3, repeats=2, pause=0.0)
    turns = [name for name, _ in itertools.groupby(calls)]
    assert "".join(calls[i] for i in range(0, 27, 3)) == "abcbcacab"
    assert turns[:3] == ["a", "b", "c"]
    assert [[sample.total for sample in turn] for turn in samples[0]] == [[1, 2], [4, 5], [7, 8]]


def test_ratios_hold_where_the_machine_does_not() -> None:
    random = np.random.default_rng(1)
    weather = random.uniform(1.0, 5.0, 30)  # another load in every round, the same for both
    fast = [[10 * w * random.uniform(0.98, 1.02) for _ in range(3)] for w in weather]
    slow = [[20 * w * random.uniform(0.98, 1.02) for _ in range(3)] for w in weather]
    found = timing.ratio(slow, fast)
    assert found.value == pytest.approx(2.0, rel=0.02)
    assert 1.9 < found.low <= found.value <= found.high < 2.1
    other = timing.ratio(fast, slow)
    assert other.value == pytest.approx(1 / found.value, rel=0.01)


def test_the_interval_is_wide_where_the_rounds_disagree() -> None:
    found = timing.ratio([[2.0], [5.0]] * 6, [[5.0], [2.0]] * 6)
    assert found.low < 1.0 < found.high


def test_ratios_need_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="same rounds"):
        timing.ratio([[1.0]], [[1.0], [2.0]])


def test_spread_and_drift() -> None:
    found = timing.spread([float(i) for i in range(1, 101)])
    assert (found.count, found.p50, found.least, found.most) == (100, 50.5, 1.0, 100.0)
    assert found.p90 == pytest.approx(90.1)
    assert found.p99 == pytest.approx(99.01)
    assert timing.drift([10.0] * 9) == 0.0
    assert timing.drift([10.0] * 3 + [11.0] * 3 + [12.0] * 3) == pytest.approx(0.2)
