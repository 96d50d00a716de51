"""When a shape gets a model of its own; without a backend."""

from __future__ import annotations

import pytest

from runtime.backends import specialisation
from runtime.backends.specialisation import SpecialisationPolicy

SMALL, OTHER = (1, 16, 16, 3), (1, 16, 17, 3)


def test_an_identical_model_is_made_for_what_keeps_coming() -> None:
    policy = SpecialisationPolicy(fixed=False, identical=True)
    assert policy.has_general_model
    assert [policy.count(shape) for shape in (SMALL, SMALL, OTHER, SMALL, SMALL, SMALL)] == [False] * 5 + [True]


def test_another_model_is_made_at_once() -> None:
    policy = SpecialisationPolicy(fixed=False, identical=False)
    assert not policy.has_general_model and policy.count(SMALL) and policy.count(OTHER)


def test_a_graph_of_one_shape_needs_no_other() -> None:
    policy = SpecialisationPolicy(fixed=True, identical=False)
    assert policy.has_general_model and not any(policy.count(SMALL) for _ in range(9))


def test_pictures_too_large_to_keep_a_model_for_share_the_general_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specialisation, "KEPT", 16 * 16)
    policy = SpecialisationPolicy(fixed=False, identical=True)
    assert not any(policy.count(OTHER) for _ in range(9))
