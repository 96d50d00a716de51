"""The rules of the contract: the same in files as ever, and known to everybody who checks or reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engines.parsed_contract import find_steps
from export.contract import check_rule
from runtime.artifact import ArtifactInfo, contract
from runtime.artifact.contract import RULES, Coupling, Division, Rule, UnknownRule
from runtime.errors import ArtifactError
from tests.runtime.conftest import make_info

HEADERS = Path(__file__).resolve().parents[3] / "runtime" / "cpp" / "include" / "retinexrt"


def test_every_rule_is_listed_and_checked_on_graphs_and_on_parsed_networks() -> None:
    classes = {value for value in vars(contract).values() if isinstance(value, type) and issubclass(value, Rule)}
    assert classes - {Rule, UnknownRule} == set(RULES.values())
    assert set(RULES.values()) <= set(check_rule.registry)
    assert set(RULES.values()) <= set(find_steps.registry)


def test_cpp_knows_which_rules_have_an_illumination() -> None:
    line = next(line for line in (HEADERS / "artifact.hpp").read_text().splitlines() if "info.has_illumination ||" in line)
    assert set(re.findall(r'"([\w-]+)"', line)) == {name for name, rule in RULES.items() if rule.has_illumination}


@pytest.mark.parametrize(
    ("rule", "document"),
    [
        (Division(2), {"rule": "division", "count": 2, "minimum": 1 / 255, "maximum": 1.0}),
        (Division(2, guided=True), {"rule": "division", "count": 2, "minimum": 1 / 255, "maximum": 1.0, "guided": True}),
        (Coupling(8, "darken"), {"rule": "invertible-block", "count": 8, "direction": "darken"}),
        (UnknownRule(1, "magic", {"power": 3}), {"rule": "magic", "count": 1, "power": 3}),
    ],
)
def test_rules_are_plain_objects_in_files(rule: Rule, document: dict[str, object]) -> None:
    info = make_info(contract=(rule,))
    assert json.loads(info.to_json())["contract"] == [document]
    assert ArtifactInfo.from_json(info.to_json()).contract == (rule,)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"count": 1}, r"contract\[0\]: the name of the rule is missing"),
        ({"rule": "product"}, r"contract\[0\]: field 'count' is missing"),
        ({"rule": "product", "count": "one"}, r"contract\[0\].count: expected int, found 'one'"),
        ({"rule": "product", "count": 1, "extra": 1}, r"contract\[0\]: unknown field 'extra'"),
        ({"rule": "invertible-block", "count": 1, "direction": "up"}, r"contract\[0\].direction: expected one of"),
        ({"rule": "magic"}, r"contract\[0\].count: expected int, found None"),
        ("product", r"contract\[0\]: expected an object"),
    ],
)
def test_a_rule_that_is_not_whole_is_refused(document: object, message: str) -> None:
    text = json.dumps({**json.loads(make_info().to_json()), "contract": [document]})
    with pytest.raises(ArtifactError, match=message):
        ArtifactInfo.from_json(text)
