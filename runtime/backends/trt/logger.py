"""TensorRT's logger: one for each flavour, and for as long as the process.

TensorRT takes the first logger that it is given for its own, calls it as long as anything of TensorRT is alive, and warns
of every other one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

_log = logging.getLogger("retinexrt.tensorrt")
_loggers: dict[Any, Any] = {}
_lock = threading.RLock()


def for_module(trt: Any) -> Any:
    """The process's logger for a TensorRT module: it speaks through `logging`, and remembers the last errors."""
    with _lock:
        if trt.ILogger not in _loggers:
            _loggers[trt.ILogger] = _make(trt.ILogger)
        return _loggers[trt.ILogger]


def _make(base: Any) -> Any:
    kinds = base.Severity

    class Log(base):
        """Holds no lock: garbage may be collected at any time, and TensorRT's own objects log while they end."""

        def __init__(self) -> None:
            base.__init__(self)
            #: The thread that TensorRT spoke on, and what it said.
            self._errors: deque[tuple[int, str]] = deque(maxlen=256)
            self._quiet = False

        @contextmanager
        def quietly(self) -> Generator[None]:
            """Errors are remembered, and nothing is logged: for work whose errors are raised in TensorRT's words."""
            self._quiet = True
            try:
                yield
            finally:
                self._quiet = False

        def log(self, severity: Any, msg: str) -> None:
            if severity in (kinds.INTERNAL_ERROR, kinds.ERROR):
                text = _one_line(msg)
                self._errors.append((threading.get_ident(), text))
                if not self._quiet:
                    _log.error(text)
            elif self._quiet:
                return
            elif severity == kinds.WARNING:
                _log.warning(_one_line(msg))
            elif _log.isEnabledFor(logging.DEBUG):
                _log.debug(_one_line(msg))

        def errors(self, everywhere: bool = False) -> list[str]:
            """Errors on this thread since they were last asked for; if there were none, or with `everywhere`, on all."""
            said: list[tuple[int, str]] = []
            with suppress(IndexError):
                while True:
                    said.append(self._errors.popleft())
            here = threading.get_ident()
            found = said if everywhere else [error for error in said if error[0] == here] or said
            self._errors.extendleft(error for error in reversed(said) if error not in found)
            return list(dict.fromkeys(text for _, text in found))

        def words(self) -> str:
            """The errors on this thread, on one line."""
            return " / ".join(self.errors())

    return Log()


def _one_line(text: str) -> str:
    return " ".join(text.split())
