"""What an application imports: `runtime`, or `retinexrt`, by which it was installed."""

from __future__ import annotations

import importlib

import pytest

import retinexrt
import runtime


@pytest.mark.parametrize("package", [runtime, retinexrt])
def test_every_public_name_is_there_and_shown(package: object) -> None:
    assert {*runtime.__all__} <= {*dir(package)} and "Enhancer" in dir(package)
    for name in runtime.__all__:
        assert getattr(package, name) == getattr(runtime, name)


def test_the_second_package_holds_nothing_else() -> None:
    assert dir(retinexrt) == sorted(runtime.__all__)
    with pytest.raises(AttributeError, match="no attribute 'enhancer_'"):
        importlib.import_module("retinexrt").enhancer_  # noqa: B018
