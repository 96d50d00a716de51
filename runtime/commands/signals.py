"""SIGTERM as an interrupt, so that what is half done is put in order before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Stopped(KeyboardInterrupt):
    """Raised in the main thread when the process is told to end."""

    #: The exit code that shells know for it.
    CODE = 143


@contextmanager
def stoppable() -> Generator[None]:
    """Within the block SIGTERM raises `Stopped`. Only the main thread can arrange that; elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped
