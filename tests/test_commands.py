"""Commands that are typed as scripts and modules: what is typed wrong is refused in one line, as `retinexrt` does."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.studies.study import Study, every

ROOT = Path(__file__).resolve().parents[1]
DEVELOPERS = ("train", "export", "engines", "benchmarks")

SCRIPTS = [
    "benchmarks/gpu.py",
    "benchmarks/latency.py",
    "benchmarks/pack.py",
    "benchmarks/parity.py",
    "benchmarks/quality.py",
    "benchmarks/report.py",
    "engines/build.py",
    "engines/trust.py",
    "export/contract.py",
    "export/to_onnx.py",
    "train/train.py",
]

MODULES = [
    "benchmarks.bench",
    "benchmarks.gpu_step",
    "benchmarks.showcase.demo",
    "benchmarks.showcase.sheet",
    "export.calm",
]


def _module(command: str) -> str:
    return command.removesuffix(".py").replace("/", ".")


def test_every_command_is_known_here() -> None:
    """Studies aside: those are found where they lie. The runtime's commands are typed as `retinexrt`."""
    found: set[str] = set()
    for package in DEVELOPERS:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if 'if __name__ == "__main__":' in text and "command_line.Parser(" in text:
                found.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert found == {*map(_module, SCRIPTS), *MODULES}


def test_every_parser_is_of_the_one_class() -> None:
    for package in (*DEVELOPERS, "runtime"):
        for path in sorted((ROOT / package).rglob("*.py")):
            assert "ArgumentParser(" not in path.read_text().replace("class Parser(ArgumentParser)", ""), path


@pytest.mark.parametrize("command", [*SCRIPTS, *MODULES])
def test_an_unknown_option_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_module(_module(command)).main(["--nonesuch"]) == 2
    captured = capsys.readouterr()
    typed = f"python {command}" if command in SCRIPTS else f"python -m {command}"
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.endswith(f" see: {typed} --help\n")


@pytest.mark.parametrize("study", [*every()], ids=lambda study: study.name)
def test_an_unknown_option_of_a_study_is_one_line(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main(["--nonesuch"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.endswith(f" see: python -m benchmarks.studies.{study.name} --help\n")


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("benchmarks/latency.py", ["--engine", "a.onnx", "--rounsd", "3"], "knows no --rounsd; did you mean --rounds?"),
        ("benchmarks/pack.py", ["--machine", "arch64"], "argument --machine: invalid choice: 'arch64'; did you mean aarch64?"),
        ("benchmarks/parity.py", ["dwan"], "unknown network 'dwan'; did you mean dawn?"),
        ("benchmarks/report.py", ["--chek"], "knows no --chek; did you mean --check?"),
        ("benchmarks/gpu.py", ["--networks", "dwan"], "unknown network 'dwan'; did you mean dawn?"),
        ("benchmarks.bench", ["dwan"], "unknown network 'dwan'; did you mean dawn?"),
        ("engines/build.py", ["dawn", "--precision", "fp61"], "invalid choice: 'fp61'; did you mean fp16?"),
        ("export/to_onnx.py", ["--sise", "64x64", "pdn"], "knows no --sise; did you mean --size?"),
        ("export/to_onnx.py", ["dwan"], "unknown network 'dwan'; did you mean dawn?"),
        ("train/train.py", ["dawn", "--stesp=100"], "knows no --stesp; did you mean --steps?"),
        ("train/train.py", ["dwan"], "unknown network 'dwan'; did you mean dawn?"),
    ],
)
def test_what_was_meant_is_named(command: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_module(_module(command)).main(words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_refuses_as_it_is_typed(script: str) -> None:
    done = subprocess.run([sys.executable, script, "--nonesuch"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.endswith(f" see: python {script} --help\n")
