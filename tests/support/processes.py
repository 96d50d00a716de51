"""The command line in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def start(argv: list[str], **options: Any) -> subprocess.Popen[Any]:
    """Start `retinexrt` with these words; its standard error is a pipe."""
    command = [sys.executable, "-m", "runtime", *argv]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, preexec_fn=_heed_interrupts, **options)


def _heed_interrupts() -> None:
    """A shell that starts a test in the background makes its children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
