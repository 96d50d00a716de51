"""The Dockerfiles: linted, and their steps as plain commands, where there is no Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("cpu", "nvidia")


def _text(name: str) -> str:
    return (ROOT / "runtime" / "serve" / f"{name}.Dockerfile").read_text()


def _steps(name: str) -> list[tuple[str, str]]:
    """Instructions and what follows them, on one line each."""
    lines = re.sub(r"^#.*\n", "", _text(name), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(line.split()[0], " ".join(line.split()[1:])) for line in lines if line]


def _step(name: str, instruction: str) -> str:
    (found,) = (words for one, words in _steps(name) if one == instruction)
    return found


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name: str) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint's package is for Linux on x86-64")
    command = [hadolint, f"runtime/serve/{name}.Dockerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_two_differ_in_what_a_gpu_needs() -> None:
    cpu, nvidia = _steps("cpu"), _steps("nvidia")
    differing = [step for step in nvidia if step not in cpu]
    assert [instruction for instruction, _ in differing] == ["RUN", "ENV"]
    assert [(one, words.replace("[cpu,", "[gpu,")) for one, words in cpu] == [step for step in nvidia if step[0] != "ENV"]


def _context(folder: Path) -> Path:
    """What `docker build` would send: the names that .dockerignore lets through."""
    names = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.plan"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def _new_python(folder: Path) -> Path:
    """An environment of its own that finds the packages of this one; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "these.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder / "bin"


@pytest.mark.slow
def test_the_steps_as_plain_commands(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    programs = _new_python(tmp_path / "python")
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that there is none
        "OMP_NUM_THREADS": "1",
    }
    for instruction, words in _steps("cpu"):
        if instruction == "COPY":
            assert words == ". ."
            _context(source)
        elif instruction == "RUN" and "apt-get" not in words:  # that step is the system's
            done = subprocess.run(words, shell=True, cwd=source, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    assert (programs / "retinexrt").exists()

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    entry = [*json.loads(_step("cpu", "ENTRYPOINT")), "--port", str(port), "--network", "msrcr"]
    health = json.loads(_step("cpu", "HEALTHCHECK").partition(" CMD ")[2])
    health[-1] = health[-1].replace(":8000/", f":{port}/")
    entry[0] = str(programs / entry[0])
    with subprocess.Popen(entry, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == f"Open http://127.0.0.1:{port}/ in a browser; Ctrl-C ends it.\n"
            end = time.monotonic() + 60
            while (done := subprocess.run(health, env=environment, check=False)).returncode and time.monotonic() < end:
                time.sleep(0.5)
            assert done.returncode == 0
            page = subprocess.run([*health[:-1], health[-1].replace("networks", "enhance.js")], env=environment, check=False)
            assert page.returncode == 0, "the package holds the page's files"
        finally:
            server.terminate()
    assert server.returncode == 0
    assert shlex.split(_step("cpu", "EXPOSE")) == ["8000"]
