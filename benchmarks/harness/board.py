"""A GPU's own account of itself, from NVML, the driver's library for it: clocks, power, and what holds them back.

NVML is asked directly: nvidia-smi takes a process and 50 ms for an answer, and doesn't tell the energy.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_SM_CLOCK = 1
#: Bits of nvmlDeviceGetCurrentClocksThrottleReasons that a reader of figures must know of.
_HELD_BACK = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat",
    0x40: "heat",
    0x80: "power brake",
    0x02: "clocks set by an application",
    0x100: "clocks set for a display",
}


@dataclass(frozen=True)
class State:
    """A GPU at one moment; None: this one doesn't say."""

    sm_mhz: int | None
    #: Spent since the driver was loaded.
    joules: float | None
    held_back: tuple[str, ...]


class Board:
    """One GPU."""

    def __init__(self, library: Any, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    def state(self) -> State:
        """The state of this moment."""
        reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", ctypes.c_ulonglong) or 0
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption", ctypes.c_ulonglong)
        return State(
            sm_mhz=self._ask("nvmlDeviceGetClockInfo", ctypes.c_uint, _SM_CLOCK),
            joules=None if millijoules is None else millijoules / 1e3,
            held_back=tuple(dict.fromkeys(words for bit, words in _HELD_BACK.items() if reasons & bit)),
        )

    def _ask(self, function: str, kind: Callable[[], Any], *arguments: int) -> int | None:
        answer = kind()
        status = getattr(self._library, function)(self._handle, *arguments, ctypes.byref(answer))
        return int(answer.value) if status == 0 else None


def open_board(uuid: str, load: Callable[[str], Any] = ctypes.CDLL) -> Board | None:
    """The GPU with this UUID; None where there is no NVML, or none of it."""
    handle = ctypes.c_void_p()
    try:
        library = load(_LIBRARY)
        if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)):
            return None
    except (OSError, AttributeError):
        return None
    return Board(library, handle)
