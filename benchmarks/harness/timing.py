"""Timing of contenders beside one another, so that the ratios between them hold.

Warm-up lasts until two windows in a row agree, and on a GPU until its clocks are up. Then the contenders take turns,
round by round, in an order that rotates; each turn begins with a run that is not counted, which brings caches and threads
back. Ratios are taken within a round, where both met the same machine, and their interval comes from resampling rounds.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from runtime.backends.trt.session import KERNELS_VARIABLE

#: Runs whose median is compared with that of the window before.
WINDOW = 5
#: Two medians closer than this are the same; the drift that a measurement may show.
AGREEMENT, DRIFT = 0.05, 0.10
_RESAMPLES = 4000


@dataclass(frozen=True)
class Sample:
    """One run, in milliseconds; the parts are known on a GPU only, and were taken in a run of their own."""

    #: From the picture in host memory to the result in host memory; on a GPU both page-locked.
    total: float
    to_device: float | None = None
    device: float | None = None
    to_host: float | None = None
    #: Of `total`, what the host takes to enqueue the network.
    enqueue: float | None = None

    @property
    def latency(self) -> float | None:
        """The three parts together, which `trtexec` calls latency: what the GPU takes, and nobody waits for the host."""
        if self.to_device is None or self.device is None or self.to_host is None:
            return None
        return self.to_device + self.device + self.to_host


def prepare_runtime() -> None:
    """For a command that measures: TensorRT-RTX compiles its best kernels before a first run; warnings are shown."""
    os.environ.setdefault(KERNELS_VARIABLE, "eager")
    logging.basicConfig(format="%(message)s")


@dataclass(frozen=True)
class WarmUp:
    """The runs before the first sample."""

    runs: int
    seconds: float
    #: False: the limit came before two windows agreed.
    settled: bool


@dataclass(frozen=True)
class Spread:
    """A distribution, in the samples' unit."""

    count: int
    p50: float
    p90: float
    p99: float
    mean: float
    least: float
    most: float


@dataclass(frozen=True)
class Ratio:
    """Time of one contender over that of another: median over rounds, with its 95 % interval."""

    value: float
    low: float
    high: float


def timed(call: Callable[[], object]) -> Callable[[], Sample]:
    """The stopwatch: a call as a run that returns its milliseconds."""

    def run() -> Sample:
        started = time.perf_counter()
        call()
        return Sample((time.perf_counter() - started) * 1e3)

    return run


def totals(turns: Sequence[Sequence[Sample]]) -> list[list[float]]:
    """The milliseconds of one contender, by round."""
    return [[sample.total for sample in turn] for turn in turns]


def warm_up(
    run: Callable[[], Sample], seconds: float, clock: Callable[[], float] = time.perf_counter, least: float = 0.0
) -> WarmUp:
    """Run for the `least` time, then until the medians of two windows in a row agree, or until the time is over."""
    started = clock()
    taken: list[float] = []
    while True:
        taken.append(run().total)
        passed = clock() - started
        if len(taken) >= 2 * WINDOW and passed >= least:
            before, now = median(taken[-2 * WINDOW : -WINDOW]), median(taken[-WINDOW:])
            if abs(now / before - 1.0) <= AGREEMENT:
                return WarmUp(len(taken), passed, True)
        if passed >= seconds:
            return WarmUp(len(taken), passed, False)


def take_turns(
    runs: Sequence[Callable[[], Sample]],
    rounds: int,
    repeats: int | Sequence[int],
    pause: float = 0.02,
    progress: Callable[[], object] | None = None,
) -> list[list[list[Sample]]]:
    """Per contender and round, `repeats` samples, of all or of each. The order rotates by one from round to round."""
    samples: list[list[list[Sample]]] = [[] for _ in runs]
    counts = [repeats] * len(runs) if isinstance(repeats, int) else repeats
    for number in range(rounds):
        for turn in range(len(runs)):
            index = (turn + number) % len(runs)
            # Thread pools spin for a while after their last run.
            time.sleep(pause)
            runs[index]()
            samples[index].append([runs[index]() for _ in range(counts[index])])
            if progress is not None:
                progress()
    return samples


def spread(values: Sequence[float]) -> Spread:
    """Percentiles interpolate between samples: with few samples p99 is close to the worst."""
    array = np.asarray(values, np.float64)
    p50, p90, p99 = (float(value) for value in np.percentile(array, (50, 90, 99)))
    return Spread(array.size, p50, p90, p99, float(array.mean()), float(array.min()), float(array.max()))


def drift(values: Sequence[float]) -> float:
    """Median of the last third over that of the first, minus one."""
    third = max(1, len(values) // 3)
    return median(values[-third:]) / median(values[:third]) - 1.0


def ratio(of: Sequence[Sequence[float]], over: Sequence[Sequence[float]]) -> Ratio:
    """Ratio of two contenders from the samples of the same rounds, by a paired bootstrap over rounds."""
    if len(of) != len(over) or not of:
        raise ValueError(f"expected samples of the same rounds, found {len(of)} and {len(over)}")
    each = np.array([median(a) / median(b) for a, b in zip(of, over, strict=True)])
    random = np.random.default_rng(0)
    resampled = np.median(each[random.integers(0, each.size, (_RESAMPLES, each.size))], axis=1)
    low, high = (float(value) for value in np.percentile(resampled, (2.5, 97.5)))
    return Ratio(float(np.median(each)), low, high)
