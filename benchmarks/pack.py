"""`python benchmarks/pack.py --out box.tar`: the project for a machine without internet, in one archive.

It holds this checkout's tracked files, the wheels that it needs on that machine, photographs where they are asked for, and
`install.sh`, which installs all of it there. See docs/offline.md.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness.command import parse_count
from benchmarks.harness.record import ROOT
from runtime import command_line
from runtime.errors import InputError, OutputError

#: The folder that the archive unpacks into.
TOP = "retinexrt-offline"
#: The glibc that wheels may ask for: that of RHEL 8, Debian 10 and all that is newer.
_GLIBC_MINOR = 28
_COPIED = 2**20
_INSTALL = """#!/bin/sh
# Installs what lies here into .venv, with what this machine's Python has beside it. No internet is asked.
set -eu
cd "$(dirname "$0")"
"${{PYTHON:-python{python}}}" -m venv --system-site-packages .venv
.venv/bin/python -m pip install --no-index --find-links wheels -r requirements.txt
.venv/bin/python -m pip install --no-index --no-build-isolation --no-deps -e project
echo "done; now: $PWD/.venv/bin/retinexrt doctor"
"""


@dataclass(frozen=True)
class Box:
    """The machine that the archive is for."""

    #: "3.12"
    python: str
    #: "x86_64" or "aarch64"
    machine: str
    #: Packages that are there already: patterns of names, e.g. "torch" and "nvidia-*".
    have: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """For pip: wheels that work there; no sources, which would be built for this machine."""
        old = [f"manylinux{name}_{self.machine}" for name in ("2014", "2010", "1")]
        platforms = [f"manylinux_2_{minor}_{self.machine}" for minor in range(_GLIBC_MINOR, 4, -1)] + old
        where = [word for platform in platforms for word in ("--platform", platform)]
        return ["--only-binary=:all:", "--python-version", self.python, "--implementation", "cp", *where]

    def has(self, package: str) -> bool:
        return any(fnmatch(package.lower().replace("_", "-"), pattern) for pattern in self.have)


def requirements(project: Path, extras: Sequence[str], also: Sequence[str]) -> list[str]:
    """The packages that the project needs with these extras, and those that build it."""
    try:
        document = tomllib.loads((project / "pyproject.toml").read_text())
    except FileNotFoundError:
        raise InputError(f"{project} is no checkout of the project: pyproject.toml is not there") from None
    known = document["project"]["optional-dependencies"]
    if unknown := [name for name in extras if name not in known]:
        raise InputError(f"unknown extra {unknown[0]!r}; known: {', '.join(known)}")
    wanted = [*document["project"]["dependencies"], *(each for name in extras for each in known[name])]
    return list(dict.fromkeys([*wanted, *also, *document["build-system"]["requires"]]))


def resolve(wanted: Sequence[str], box: Box, wheels: Path) -> list[str]:
    """The packages that `wanted` leads to on the box, as NAME==VERSION; those in the folder `wheels` count."""
    with tempfile.TemporaryDirectory() as target:
        command = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", "--target", target]
        report = json.loads(_pip([*command, *box.options, "--find-links", str(wheels), *wanted]))
    found = [each["metadata"] for each in report["install"]]
    return sorted(f"{each['name']}=={each['version']}" for each in found if not box.has(each["name"]))


def download(packages: Sequence[str], box: Box, wheels: Path) -> None:
    """Their wheels, without what these need in turn."""
    if packages:
        links = ["--find-links", str(wheels), "--dest", str(wheels)]
        _pip(["download", "--quiet", "--no-deps", *links, *box.options, *packages])


def _pip(words: Sequence[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()[-1:]
        raise InputError(f"pip finds no wheels for that machine: {'; '.join(line.removeprefix('ERROR: ') for line in errors)}")
    return done.stdout


def tracked(project: Path) -> list[Path]:
    """The checkout's files, relative to it."""
    done = subprocess.run(["git", "-C", str(project), "ls-files", "-z"], capture_output=True, text=True, check=False)
    names = [Path(name) for name in done.stdout.split("\0") if name]
    if not names:
        raise InputError(f"git lists no files in {project}; pack from a checkout of the project")
    return [name for name in names if (project / name).is_file()]


def write(out: Path, project: Path, wheels: Path, data: Path | None, box: Box, packages: Sequence[str]) -> None:
    """One archive, uncompressed: wheels and photographs are so already. It names no person and no folder of this machine."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tempfile.TemporaryDirectory() as made, tarfile.open(out, "w") as archive:
        for name, text, mode in (
            ("install.sh", _INSTALL.format(python=box.python), 0o755),
            ("requirements.txt", "".join(f"{package}\n" for package in packages), 0o644),
        ):
            path = Path(made, name)
            path.write_text(text)
            path.chmod(mode)
            archive.add(path, f"{TOP}/{name}", filter=anonymous)
        for name in tracked(project):
            archive.add(project / name, f"{TOP}/project/{name.as_posix()}", filter=anonymous)
        archive.add(wheels, f"{TOP}/wheels", filter=anonymous)
        if data is not None:
            archive.add(data, f"{TOP}/data", filter=anonymous)


def split(path: Path, megabytes: int) -> list[Path]:
    """The archive in pieces of at most that size, in its place: `cat box.tar.* | tar xf -` unpacks them."""
    pieces: list[Path] = []
    with path.open("rb") as source:
        while source.peek(1):
            pieces.append(path.with_name(f"{path.name}.{len(pieces):03}"))
            with pieces[-1].open("wb") as piece:
                _copy(source, piece, megabytes * 10**6)
    path.unlink()
    return pieces


def _copy(source: IO[bytes], target: IO[bytes], most: int) -> None:
    while most > 0 and (data := source.read(min(most, _COPIED))):
        target.write(data)
        most -= len(data)


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python benchmarks/pack.py", description="Pack the project for a machine without internet."
    )
    parser.add_argument("--out", type=Path, default=Path("retinexrt-offline.tar"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--extras", default="gpu,export", metavar="LIST", help="of the project (default: %(default)s)")
    parser.add_argument("--also", default="", metavar="LIST", help="more packages, e.g. pytest,filelock for the tests")
    parser.add_argument("--python", default="3.12", metavar="X.Y", help="of that machine (default: %(default)s)")
    parser.add_argument("--machine", default="x86_64", choices=("x86_64", "aarch64"), help="default: %(default)s")
    parser.add_argument("--have", default="", metavar="LIST", help="what is there already, e.g. 'torch,nvidia-*,triton'")
    parser.add_argument("--wheel", type=Path, action="append", default=[], metavar="FILE", help="a wheel of your own")
    parser.add_argument("--data", type=Path, metavar="DIR", help="photographs to take along, as RETINEXRT_DATA names them")
    parser.add_argument("--split", type=parse_count, metavar="MB", help="in pieces of at most that size")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    return command_line.run(_run, _parser(), argv, "dev", prog)


def _run(given: argparse.Namespace, project: Path = ROOT) -> None:
    box = Box(given.python, given.machine, tuple(_words(given.have.lower())))
    asked = requirements(project, _words(given.extras), _words(given.also))
    # Packages that are there already are not looked for: they may be in no index.
    wanted = [each for each in asked if not box.has(re.split(r"[^\w.-]", each, maxsplit=1)[0])]
    for path in (*given.wheel, *([given.data] if given.data else [])):
        if not path.exists():
            raise InputError(f"{path} does not exist")
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder, "wheels")
        wheels.mkdir()
        for wheel in given.wheel:
            shutil.copy(wheel, wheels)
        packages = resolve([*wanted, *map(str, given.wheel)], box, wheels)
        download(packages, box, wheels)
        sizes = [path.stat().st_size for path in wheels.iterdir()]
        try:
            write(given.out, project, wheels, given.data, box, packages)
            written = split(given.out, given.split) if given.split else [given.out]
        except OSError as error:
            raise OutputError(f"cannot write {given.out}: {error.strerror}") from error
    whole = sum(path.stat().st_size for path in written)
    print(f"{written[0]}{f' to {written[-1]}' if len(written) > 1 else ''}: {whole / 1e6:.0f} MB")
    print(
        f"{len(sizes)} wheels ({sum(sizes) / 1e6:.0f} MB) for Python {box.python} on {box.machine} with glibc 2.{_GLIBC_MINOR}"
    )
    unpack = f"cat {given.out.name}.* | tar xf -" if given.split else f"tar xf {given.out.name}"
    print(f"there: {unpack} && {TOP}/install.sh")


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    sys.exit(main())
