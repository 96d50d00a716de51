"""Progress of a build, reported by TensorRT, on one line of a terminal."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


def make_monitor(trt: Any, label: str, show: bool | None = None) -> Any:
    """An `IProgressMonitor` that shows the phases of one build on stderr; None: where that is a terminal.

    Nothing may be raised through TensorRT: Ctrl-C sets `interrupted`, which stops the build. `close` ends the line.
    """
    from tqdm import tqdm

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False
            self._bar: Any = tqdm(desc=label, total=1, unit="step", leave=False, disable=None if show is None else not show)
            self._root: str | None = None

        @contextmanager
        def _interruptible(self) -> Generator[None]:
            try:
                yield
            except KeyboardInterrupt:
                self.interrupted = True

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._interruptible():
                if not parent_phase:
                    self._root = phase_name
                    self._bar.reset(total=num_steps)
                self._bar.set_postfix_str(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._interruptible():
                if phase_name == self._root:
                    self._bar.update()
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            with self._interruptible():
                if phase_name == self._root:
                    self._bar.close()

        def close(self) -> None:
            self._bar.close()

    return Monitor()
