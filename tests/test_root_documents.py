"""The documents of the project's first folder agree with one another and with the tree."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _version() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("CITATION.cff", r"^version: (.+)$"),
        ("CHANGELOG.md", r"^## \[(\d.+)\]"),
        ("runtime/cpp/cmake/retinexrtConfigVersion.cmake", r'set\(PACKAGE_VERSION "(.+)"\)'),
    ],
)
def test_the_version_is_the_same_everywhere(file: str, pattern: str) -> None:
    found = re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)
    assert found is not None and found[1] == _version()


def test_cpp_projects_accept_this_minor_version() -> None:
    minor = _version().rpartition(".")[0]
    config = (ROOT / "runtime/cpp/cmake/retinexrtConfigVersion.cmake").read_text()
    assert f"MINOR EQUAL {minor.partition('.')[2]})" in config
    for file in ("docs/cpp.md", "examples/cpp/CMakeLists.txt"):
        assert set(re.findall(r"find_package\(retinexrt (\S+) CONFIG", (ROOT / file).read_text())) == {minor}


@pytest.mark.parametrize(
    "page", sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def test_make_tests_one_path_and_another_python() -> None:
    def command(*words: str) -> str:
        dry = ["make", "--no-print-directory", "-n", "test", *words]
        done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    assert command("T=tests/export").endswith(" tests/export")
    assert "--durations 10" in command()
    assert command("PYTHON=python3.13").startswith(".venv-python3.13/bin/python -m pytest")
