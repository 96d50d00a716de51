"""docs/cluster.md and docs/triton.md say what the records and the commands hold."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.harness import record
from benchmarks.studies import machines_needed, ray_cost
from benchmarks.studies.ray_cost import Point
from runtime.commands.main import _parser, main  # pyright: ignore[reportPrivateUsage]
from runtime.ray_cluster import ledger, segments, worker
from runtime.triton import repository

TEXT = ray_cost.STUDY.page.read_text() + (ray_cost.STUDY.page.parent / "triton.md").read_text()


def test_its_constants_are_those_of_the_code() -> None:
    assert f"segments of {segments.STEP} frames (`--segment`)" in TEXT
    assert _parser().parse_args(["enhance"]).segment == segments.STEP
    assert f"it is tried by itself {worker.ATTEMPTS} times, then named" in TEXT
    assert f"`{ledger.JOURNAL}`" in TEXT


def test_its_options_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for words in (["enhance", "--help"], ["triton", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        known += capsys.readouterr().out
    commands = re.findall(r"^retinexrt (?:enhance|triton) .*$", TEXT, re.MULTILINE)
    assert len(commands) >= 7
    for option in re.findall(r"(?<=\s)--[\w-]+", " ".join(command.split("#")[0] for command in commands)):
        assert option in known, option
    fields = set(repository.configuration("x", [_artifact()], repository.Options(size=(64, 64))))
    for name in ("dynamic_batching", "max_batch_size", "instance_group", "model_warmup", "parameters"):
        assert f"| `{name}` |" in TEXT and name in fields


def _artifact() -> repository.Artifact:
    from tests.runtime.conftest import make_info

    return repository.Artifact(ray_cost.STUDY.page, make_info())


def _record(points: list[Point]) -> record.Record:
    configuration = {"artifact": "pdn.onnx", "network": "pdn", "backend": "onnxruntime", "size": [400, 600], "rounds": 3}
    machine = replace(record.environment(), cores=2, load=0.1, cpu="a processor")
    made = record.make("ray_cost", configuration, {"points": points}, machine)
    return replace(made, command="python -m benchmarks.studies.ray_cost --record")


def _point(workers: int, threads: int, seconds: float, start: float, wait: float | None = None) -> Point:
    return Point(workers, threads, wait, 100, seconds, start, (seconds, seconds))


def test_where_it_pays_is_computed_from_the_points() -> None:
    plain = [_point(0, 1, 50.0, 0.5), _point(0, 2, 30.0, 0.5)]
    text = ray_cost.figures(_record([*plain, _point(1, 1, 51.0, 6.0), _point(2, 1, 25.5, 6.0), _point(4, 1, 1.5, 6.0, 50.0)]))
    assert "|plain command, 1 thread|2.00||0.5|" in text
    assert "|Ray, 1 worker|1.96|98%|6.0|" in text and "|Ray, 2 workers|3.92|98%|6.0|" in text
    assert "|Ray, 4 workers, simulated|66.7|83%|6.0|" in text
    assert "One worker takes +10.0 ms a picture against the plain command (+2.0%)" in text
    # 5.5 seconds more to start, 45 ms less for each picture.
    assert "is ahead of the plain command with 2 threads from 122 pictures on" in text
    # It is held against the faster of the two: of 45 ms, not of 245.
    busy = ray_cost.figures(_record([_point(0, 1, 30.0, 0.5), _point(0, 2, 50.0, 0.5), _point(2, 1, 25.5, 6.0)]))
    assert "is ahead of the plain command with 1 thread from 122 pictures on" in busy
    slower = ray_cost.figures(_record([*plain, _point(2, 1, 31.0, 6.0), _point(2, 1, 0.25, 6.0, 0.0)]))
    assert "a cluster pays from the second machine on" in slower
    assert "pass 400 pictures/s" in slower


def _row(device: str, milliseconds: float, network: str = "pdn", kind: str = "retinexrt") -> dict[str, Any]:
    row: dict[str, Any] = {"device": device, "total": {"p50": milliseconds}, "gmac": 16.0, "megabytes": 800.0}
    row["precision"] = "fp32"
    return row | {"network": network, "kind": kind}


def _latency(device: str, milliseconds: float, *more: dict[str, Any]) -> record.Record:
    rows = [_row(device, milliseconds), *more]
    made = record.make(
        "latency", {"network": "pdn"}, [{"height": 400, "width": 600, "batch": 1, "rows": rows}], record.environment()
    )
    return replace(made, environment=replace(made.environment, cores=2, cpu="a processor"))


def test_machines_are_counted_from_measured_times() -> None:
    text = machines_needed.figures({"latency-pdn": _latency("cpu", 250.0)})
    # 4 a second are 345,600 a day; a million needs 2.9 such machines, a billion in 30 days 96.5.
    assert "|`pdn`|250|4.00|345,600|3|97|834|" in text
    assert "2 cores of a processor" in text


def test_every_network_has_one_row_its_fastest() -> None:
    more = (_row("cpu", 50.0, "dawn"), _row("cpu", 10.0, kind="openvino"), _row("cpu", 9.0, "pdn-int8"))
    lines = machines_needed.figures(
        {"latency-fast": _latency("cpu", 260.0, *more), "latency-pdn": _latency("cpu", 250.0)}
    ).splitlines()
    assert [line.split("|")[1:3] for line in lines if "`" in line and "|" in line] == [
        ["`dawn`", "50"],
        ["`pdn`", "250"],
    ]


def test_gpus_are_estimated_until_one_is_measured() -> None:
    records = {"latency-pdn": _latency("cpu", 250.0)}
    text = machines_needed.classes(records)
    assert "No GPU has been measured: every row is an estimate." in text
    # Of 0.49 ms of arithmetic and 1.25 ms of memory the longer one, four times.
    assert "|T4 (7.5), estimate|5.0|200|1|2|" in text
    text = machines_needed.classes({**records, "latency-pdn-gpu": _latency("cuda:0", 2.0)})
    assert "measured|2.0|500|1|1|" in text and "No GPU" not in text
