"""TensorRT's logger: one for each flavour, and for as long as the process.

TensorRT takes the first logger that it is given for its own, calls it as long as anything of TensorRT is alive, and warns
of every other one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import cache
from typing import Any

_log = logging.getLogger("retinexrt.tensorrt")


def logger(trt: Any) -> Any:
    """The process's logger for a TensorRT module: it speaks through `logging`, and remembers the last errors."""
    return _make(trt.ILogger)


@cache
def _make(base: Any) -> Any:
    class Log(base):
        def __init__(self) -> None:
            base.__init__(self)
            #: The thread that TensorRT spoke on, and what it said.
            self._errors: deque[tuple[int, str]] = deque(maxlen=32)
            self._lock = threading.Lock()

        def log(self, severity: Any, msg: str) -> None:
            kinds = base.Severity
            text = " ".join(msg.split())
            if severity in (kinds.INTERNAL_ERROR, kinds.ERROR):
                with self._lock:
                    self._errors.append((threading.get_ident(), text))
                _log.error(text)
            elif severity == kinds.WARNING:
                _log.warning(text)
            else:
                _log.debug(text)

        def errors(self) -> list[str]:
            """What went wrong on this thread since this was last asked; if nothing did, what went wrong on others."""
            here = threading.get_ident()
            with self._lock:
                found = [error for error in self._errors if error[0] == here] or list(self._errors)
                for error in found:
                    self._errors.remove(error)
            return list(dict.fromkeys(text for _, text in found))

        def words(self) -> str:
            """The same on one line."""
            return " / ".join(self.errors())

    return Log()
