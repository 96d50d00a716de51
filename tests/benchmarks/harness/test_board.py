"""What a GPU says of itself, from a library in NVML's place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from benchmarks.harness.board import State, open_board

UUID = "GPU-00000000-0000-0000-0000-000000000001"


def _put(value: int) -> Any:
    def answer(*arguments: Any) -> int:
        arguments[-1]._obj.value = value
        return 0

    return answer


def nvml(**changes: Any) -> Any:
    """A library with one GPU, at 1980 MHz, 1234.5 J so far, held back by its power cap and its heat, twice."""
    functions = {
        "nvmlInit_v2": lambda: 0,
        "nvmlDeviceGetHandleByUUID": lambda uuid, handle: 0 if uuid == UUID.encode() else 6,
        "nvmlDeviceGetClockInfo": _put(1980),
        "nvmlDeviceGetTotalEnergyConsumption": _put(1_234_500),
        "nvmlDeviceGetCurrentClocksThrottleReasons": _put(0x01 | 0x04 | 0x20 | 0x40),
    }
    return SimpleNamespace(**{**functions, **changes})


def test_a_gpu_tells_its_state() -> None:
    board = open_board(UUID, lambda name: nvml())
    assert board is not None
    assert board.state() == State(1980, 1234.5, ("power cap", "heat"))


def test_what_a_gpu_does_not_tell_is_none() -> None:
    board = open_board(UUID, lambda name: nvml(nvmlDeviceGetTotalEnergyConsumption=lambda *_: 3))
    assert board is not None and board.state().joules is None


def test_without_nvml_or_the_gpu_there_is_no_board() -> None:
    def absent(name: str) -> Any:
        raise OSError(name)

    assert open_board(UUID, absent) is None
    assert open_board("GPU-of-another-machine", lambda name: nvml()) is None
    assert open_board(UUID, lambda name: nvml(nvmlInit_v2=lambda: 9)) is None
    assert open_board(UUID, lambda name: SimpleNamespace()) is None
