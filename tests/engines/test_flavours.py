"""Which TensorRT builds, and for which GPUs."""

from __future__ import annotations

from typing import Any

import pytest

from engines import flavours
from engines.flavours import TENSORRT, TENSORRT_RTX, choose, compute_capabilities, target_sms
from runtime.artifact.manifest import RTX_TARGETS
from runtime.errors import BackendUnavailableError, InputError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Module names that are taken to be installed."""
    names: set[str] = {"tensorrt", "tensorrt_rtx"}

    def find(name: str) -> Any:
        return object() if name in names else None

    monkeypatch.setattr(flavours, "find_spec", find)
    return names


def test_tensorrt_where_there_is_a_gpu_else_rtx(installed: set[str]) -> None:
    assert choose(None, gpu=True) is TENSORRT
    assert choose(None, gpu=False) is TENSORRT_RTX
    installed.remove("tensorrt")
    assert choose(None, gpu=True) is TENSORRT_RTX


def test_the_wanted_flavour_or_an_error(installed: set[str]) -> None:
    assert choose("tensorrt_rtx", gpu=True) is TENSORRT_RTX
    with pytest.raises(BackendUnavailableError, match="--flavour tensorrt_rtx"):
        choose("tensorrt", gpu=False)
    with pytest.raises(InputError, match="known: tensorrt, tensorrt_rtx"):
        choose("tensorflow", gpu=True)
    installed.clear()
    with pytest.raises(BackendUnavailableError, match=r"pip install 'retinexrt\[trt\]'"):
        choose("tensorrt", gpu=True)


def test_without_any_the_one_that_fits_is_suggested(installed: set[str]) -> None:
    installed.clear()
    with pytest.raises(BackendUnavailableError, match=r"retinexrt\[trt\]"):
        choose(None, gpu=True)
    with pytest.raises(BackendUnavailableError, match=r"retinexrt\[rtx\]"):
        choose(None, gpu=False)


def test_rtx_builds_for_what_is_asked() -> None:
    assert target_sms(TENSORRT_RTX, None, None) == ("8.0", "8.6", "8.9", "12.0", "12.1")
    assert target_sms(TENSORRT_RTX, ("8.9", "8.6", "8.9"), "9.0") == ("8.9", "8.6")
    assert target_sms(TENSORRT_RTX, ("7.5",), None) == ("7.5",)
    with pytest.raises(InputError, match=r"not for 9\.0"):
        target_sms(TENSORRT_RTX, ("8.9", "9.0"), None)
    with pytest.raises(InputError, match=r"--sm 7\.5"):
        target_sms(TENSORRT_RTX, ("7.5", "8.6"), None)


def test_tensorrt_builds_for_the_gpu_at_hand() -> None:
    assert target_sms(TENSORRT, None, "9.0") == ("9.0",)
    assert target_sms(TENSORRT, ("9.0",), "9.0") == ("9.0",)
    with pytest.raises(InputError, match=r"the GPU at hand \(9.0\), not for 8.9"):
        target_sms(TENSORRT, ("8.9",), "9.0")


def test_rtx_targets_are_those_of_the_package() -> None:
    """The list in the code is the one that TensorRT-RTX itself has."""
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    members = {name.removeprefix("SM") for name in trt.ComputeCapability.__members__ if name.startswith("SM")}
    assert {f"{name[:-1]}.{name[-1]}" for name in members} == set(RTX_TARGETS)


def test_pairs_for_the_loader() -> None:
    assert compute_capabilities(("7.5", "12.1")) == [(7, 5), (12, 1)]
