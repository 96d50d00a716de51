"""Progress of a build, reported by TensorRT, on one line of a terminal."""

from __future__ import annotations

import sys
from typing import Any


class BuildProgress:
    """Shows the phases of one build on stderr; `interrupted` is set when Ctrl-C ended it."""

    def __init__(self, label: str, show: bool | None = None) -> None:
        from tqdm import tqdm

        self.interrupted = False
        shown = sys.stderr.isatty() if show is None else show
        self._bar: Any = tqdm(desc=label, total=1, unit="step", leave=False, disable=not shown, file=sys.stderr)
        self._root: str | None = None

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        if parent is None:
            self._root = phase
            self._bar.reset(total=steps)
        self._bar.set_postfix_str(phase)

    def step(self, phase: str) -> bool:
        """False stops the build."""
        if phase == self._root:
            self._bar.update()
        return not self.interrupted

    def finish(self, phase: str) -> None:
        if phase == self._root:
            self._bar.close()

    def close(self) -> None:
        self._bar.close()


def make_monitor(trt: Any, progress: BuildProgress) -> Any:
    """Return an `IProgressMonitor` that reports to `progress`. Nothing may be raised through TensorRT: it stops instead."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            try:
                progress.start(phase_name, parent_phase or None, num_steps)
            except KeyboardInterrupt:
                progress.interrupted = True

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                return progress.step(phase_name)
            except KeyboardInterrupt:
                progress.interrupted = True
                return False

        def phase_finish(self, phase_name: str) -> None:
            try:
                progress.finish(phase_name)
            except KeyboardInterrupt:
                progress.interrupted = True

    return Monitor()
