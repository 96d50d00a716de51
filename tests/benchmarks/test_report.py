"""The page says what the records say, and nothing else; the tracked page is that of the tracked records."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import bench, gpu, report
from benchmarks.harness import marks, record, timing
from benchmarks.harness.lane import Throughput
from benchmarks.harness.record import Environment, Record
from benchmarks.latency import OnGpu, Row, Table
from benchmarks.measures import differences
from benchmarks.pages import readme, results
from benchmarks.parity import Measurement
from benchmarks.parity import results as parity_results
from benchmarks.studies.study import every

MACHINE = Environment("a CPU", 4, ("avx2",), 16.0, "Linux x86_64", "3.11.7", {"torch": "2.13"}, 0.25)


def _record(kind: str, settings: dict[str, Any], found: Any, machine: Environment = MACHINE) -> Record:
    plain = record.make(kind, settings, found, machine)
    return replace(plain, command=f"python benchmarks/{kind}.py --record", created="2026-01-02T03:04:05Z")


def _row(label: str, kind: str, ms: float, **changes: Any) -> Row:
    row = Row(
        label=label, kind=kind, network="blnet", artifact={}, precision="fp32", device="cpu", total=timing.spread([ms] * 9),
        to_device=None, computing=None, to_host=None, throughput=1e3 / ms, warm_up=timing.WarmUp(10, 1.0, True), drift=0.0,
        host_mb=123.0, gpu_mb=None, ratio=None if kind == "retinexrt" else timing.Ratio(ms / 40.0, 1.1, 1.9),
        estimate_compute=8.0, estimate_memory=5.0,
    )  # fmt: skip
    return replace(row, **changes)


@pytest.fixture
def records() -> dict[str, Record]:
    rows = (_row("ours", "retinexrt", 40.0), _row("theirs", "torch", 61.25), _row("last", "openvino", 77.0, drift=0.5))
    table = Table(400, 600, 1, rows, ())
    difference = differences.Difference({-1: 3, 0: 9996, 1: 1})
    measured = [
        Measurement("onnx fp16, ONNX Runtime", "fp16", "night", "photograph", (1, 9, 9, 3), difference),
        Measurement("onnx fp16, ONNX Runtime", "fp16", "black", "hard", (1, 9, 9, 3), differences.Difference({0: 9, 4: 1})),
    ]
    quality = {
        "summary": {"psnr": {"mean": 20.1447, "worst": 15.0, "worst_picture": "a"}, "lpips": {"mean": 0.3126, "worst": 1.0}}
    }
    return {
        "latency-blnet": _record("latency", {"network": "blnet", "trained": False}, [table], replace(MACHINE, load=7.5)),
        "parity-blnet": _record("parity", {"network": "blnet", "trained": True}, parity_results("blnet", measured)),
        "quality_blnet": _record(
            "quality",
            {"network": "blnet", "precision": "fp32", "data": "LOL", "split": "val", "pictures": 36, "trained": True},
            quality,
        ),
        "something-else": _record("unknown", {}, []),
    }


def test_every_kind_of_record_has_its_section_and_figures(records: dict[str, Record]) -> None:
    pages = results.generate(records)
    page = pages["RESULTS.md"]
    for part in (
        "## Latency", "61.25", "1.53 [1.10, 1.90]", "last never settled (drift +50%)", "The network was untrained",
        "## Quality", "20.14", "0.3126", "LOL val, 36",
        "## Parity", "onnx fp16, ONNX Runtime", "kept",
        "the machine was busy", "TITAN Xp", "4 cores of a CPU",
    ):  # fmt: skip
        assert part in page, part
    assert "takes 1.53 times the time of ours" in page
    assert results._NO_GPU in page  # pyright: ignore[reportPrivateUsage]
    linked = set(re.findall(r"\((plots/[^)]+\.svg)\)", page))
    assert linked == set(pages) - {"RESULTS.md"}
    for name in linked:
        ElementTree.fromstring(pages[name])


def test_figures_of_a_gpu_are_shown_where_there_are_any(records: dict[str, Record]) -> None:
    part = timing.spread([0.125])
    row = _row(
        "plan",
        "retinexrt",
        2.0,
        device="cuda:0",
        precision="fp16",
        to_device=part,
        computing=part,
        to_host=part,
        gpu_mb=77.0,
        gpu=OnGpu(part, timing.spread([0.015])),
    )
    gpu = dict(
        zip(record.GPU_FIELDS, ("A GPU", "580.1", "8.9", "24 GiB", "1800 MHz", "2500 MHz", "1 MHz", "300 W", "50"), strict=True)
    )
    records["latency-gpu"] = _record("latency", {"network": "blnet"}, [Table(400, 600, 1, (row,), (), (gpu,))])
    page = results.generate(records)["RESULTS.md"]
    assert results._NO_GPU not in page  # pyright: ignore[reportPrivateUsage]
    assert "|plan|0.125|0.125|0.125|0.125|0.015|-|-|-|77|" in page
    assert "A GPU ran at 1800 MHz (at most 2500 MHz)" in page


def _gpu_record() -> Record:
    """As `make gpu` leaves one: a contender that was timed, one that could not be built, and one left out."""
    part = timing.spread([0.125])
    row = _row("ours on TensorRT", "retinexrt", 2.0, network="pdn", device="cuda:0", precision="fp16", computing=part)
    row = replace(row, gpu=OnGpu(part, part, (Throughput(1, 4000.0, 350.0, 0.0876),)))
    parity = {"photograph": {"cases": 6, "psnr": 61.25, "p999_codes": 1, "max_codes": 2}}
    outcomes = [
        gpu.Outcome("tests", "", "ok", 9.0, words=("58 passed, 2 skipped",)),
        gpu.Outcome("pdn: tensorrt", "pdn", "ok", 9.0, {"row": asdict(row), "parity": parity, "warnings": []}),
        gpu.Outcome("pdn: build with tensorrt_rtx", "pdn", "failed", 9.0, words=("one", "SM 9.0 is not supported")),
        gpu.Outcome("pdn: tensorrt_rtx", "pdn", "needs another step", 0.0),
    ]
    card = dict(
        zip(record.GPU_FIELDS, ("NVIDIA X", "580.1", "9.0", "80 GiB", "1 MHz", "2 MHz", "1 MHz", "1 W", "50"), strict=True)
    )
    settings = {"networks": ["pdn"], "size": "400x600", "minutes": 30.0, "gpu": "NVIDIA X"}
    return _record("gpu", settings, [asdict(outcome) for outcome in outcomes], replace(MACHINE, gpus=(card,)))


def test_the_record_of_make_gpu_reaches_the_pages(records: dict[str, Record]) -> None:
    found = {**records, "gpu-nvidia-x": _gpu_record()}
    page = results.generate(found)["RESULTS.md"]
    for part in (
        "### NVIDIA X, 400x600",
        "|pdn|ours on TensorRT|fp16|0.125|0.125|2.000|2.000|4000|-|0.088|61.2|1|2|",
        "GPU tests: 58 passed, 2 skipped.",
        "|pdn: build with tensorrt_rtx|failed|SM 9.0 is not supported|",
        "1 of 4 steps were left out",
        "NVIDIA X, driver 580.1",
    ):
        assert part in page, part
    assert results._NO_GPU not in page  # pyright: ignore[reportPrivateUsage]


def test_records_of_other_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "pdn.safetensors").write_bytes(b"shipped")
    shipped = hashlib.sha256(b"shipped").hexdigest()
    kinds = {
        "quality_pdn": _record("quality", {"network": "pdn", "weights_sha256": "0" * 64}, {}),
        "parity-pdn": _record("parity", {"network": "pdn", "weights_sha256": shipped}, {}),
        "parity-msr": _record("parity", {"network": "msr", "weights_sha256": None}, {}),
        "quality_trial": _record("quality", {"network": "pdn-int8", "weights_sha256": "1" * 64}, {}),
    }
    (line,) = report.of_other_weights(kinds, tmp_path)
    assert line.startswith("quality_pdn was measured with other weights than pdn.safetensors")
    assert line.endswith("measure it again with: python benchmarks/quality.py --record")


def test_a_broken_limit_is_said(records: dict[str, Record]) -> None:
    off = differences.Difference({0: 9, 40: 1})
    bad = [Measurement("onnx fp32, ONNX Runtime", "fp32", "night", "photograph", (1, 9, 9, 3), off)]
    records["parity-pdn"] = _record("parity", {"network": "pdn", "trained": True}, parity_results("pdn", bad))
    page = results.generate(records)["RESULTS.md"]
    assert "BROKEN" in page and "40 codes at the worst sample" in page


def test_no_records_make_a_page_without_figures() -> None:
    assert results.generate({}) == {"RESULTS.md": results._HEAD.rstrip() + "\n"}  # pyright: ignore[reportPrivateUsage]


def test_a_typed_figure_and_a_leftover_plot_are_noticed(records: dict[str, Record], tmp_path: Path) -> None:
    report.write(tmp_path, records)
    assert report.stale_pages(tmp_path, records) == []
    page = tmp_path / "RESULTS.md"
    page.write_text(page.read_text().replace("61.25", "11.25"))
    (tmp_path / "plots" / "old.svg").write_text("<svg/>")
    assert report.stale_pages(tmp_path, records) == ["RESULTS.md", "plots/old.svg"]
    report.write(tmp_path, records)
    assert report.stale_pages(tmp_path, records) == []


def test_the_tracked_page_is_that_of_the_tracked_records() -> None:
    records = record.read_all()
    if not records:
        pytest.skip("there are no records here")
    assert report.stale_pages(record.RESULTS.parent, records) == [], "make the page with: python benchmarks/report.py"


def test_bench_runs_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = {"pdn.onnx", "dawn.onnx", "dsn.onnx", "msr.onnx", "pdn_fp16.plan"}
    monkeypatch.setattr("runtime.artifact.locate.find", lambda name: tmp_path / name if name in here else None)
    monkeypatch.setattr(bench, "_trained", lambda name: name == "pdn")
    monkeypatch.setattr(bench, "gpu_problem", lambda: "no driver")
    (tmp_path / "LOL").mkdir()
    (tmp_path / "LOL" / "pairs.csv").touch()
    monkeypatch.setattr(bench, "data_folder", lambda: tmp_path)
    commands = [bench.typed(step) for step in bench.steps()]
    assert [command.split()[1] for command in commands].count("benchmarks/parity.py") == 4
    assert not any("latency.py --engine dsn" in command for command in commands)
    scored = [command for command in commands if "quality.py" in command]
    assert len(scored) == 2 and sum("--precision bf16" in command for command in scored) == 1
    compared = [command for command in commands if "retinexrt-bf16 --mix" in command]
    assert [command.split()[-1] for command in compared] == ["latency-dawn", "latency-pdn"]
    assert not any(".plan" in command for command in commands)
    assert commands[-1] == "python benchmarks/report.py"
    monkeypatch.setattr(bench, "gpu_problem", lambda: None)
    assert any("pdn_fp16.plan" in bench.typed(step) for step in bench.steps())


def test_every_page_shows_the_figures_of_the_tracked_records() -> None:
    records = record.read_all()
    marks = {(page.name, name) for page, name, _ in report.figures(records)}
    assert marks == {
        ("README.md", "networks"),
        *((study.page.name, study.name) for study in every()),
    }
    assert report.stale_figures(records) == [], "make them with: python benchmarks/report.py"


def test_one_command_mends_every_page(
    records: dict[str, Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: black -->\nold\n<!-- end of black -->\n")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "benchmarks" / "results")
    monkeypatch.setattr(report, "read_all", lambda: records)
    monkeypatch.setattr(report, "of_other_weights", lambda records: [])
    monkeypatch.setattr(report, "figures", lambda records: [(page, "black", "new")])
    assert report.main(["--check"]) == 1
    assert "page.md, black, is out of date: make it with: python benchmarks/report.py" in capsys.readouterr().out
    assert report.main([]) == 0
    assert marks.inserted(page, "black") == "new"
    assert report.main(["--check"]) == 0


def test_the_readme_table_holds_what_was_measured_the_best_first(records: dict[str, Record]) -> None:
    first = records["quality_blnet"]
    better = replace(
        first,
        configuration={**first.configuration, "network": "sri"},
        results={"summary": {"psnr": {"mean": 21.5}, "ssim": {"mean": 0.81234}, "lpips": {"mean": 0.2}}},
    )
    untrained = replace(first, configuration={**first.configuration, "network": "dsn", "trained": False})
    found = readme.readme_figures({**records, "quality_sri": better, "quality_dsn": untrained}).splitlines()
    assert found[0] == "|network|PSNR, dB|SSIM|LPIPS|CPU, ms|"
    assert found[2:4] == ["|`sri`|21.50|0.812|0.200|-|", "|`blnet`|20.14|-|0.313|40|"]
    assert "dsn" not in "".join(found) and "4 cores of a CPU" in found[-1]
