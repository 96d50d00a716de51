"""The archive for a machine without internet, from made-up wheels; and that what is in it installs there."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks import pack
from benchmarks.pack import TOP
from runtime.errors import InputError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PROJECT = """
[build-system]
requires = ["backend"]
build-backend = "backend"
[project]
name = "thing"
version = "1"
dependencies = ["light>=1"]
[project.optional-dependencies]
gpu = ["heavy", "nvidia-stuff"]
trt = ["nowhere[x]>=1"]
"""


def make_wheel(folder: Path, name: str, needs: tuple[str, ...] = (), tag: str = "py3-none-any", code: str = "") -> Path:
    module = name.replace("-", "_")
    path = folder / f"{module}-1-{tag}.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n" + "".join(f"Requires-Dist: {each}\n" for each in needs)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{module}.py", code)
        wheel.writestr(f"{module}-1.dist-info/METADATA", metadata)
        wheel.writestr(f"{module}-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{module}-1.dist-info/RECORD", "")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with two tracked files and one that is not."""
    folder = tmp_path / "checkout"
    (folder / "sub").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "sub" / "file.txt").write_text("tracked")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    (folder / "secret.txt").write_text("not tracked")
    return folder


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In PyPI's place a folder of wheels."""
    folder = tmp_path / "index"
    folder.mkdir()
    make_wheel(folder, "light", needs=("deep",))
    make_wheel(folder, "deep", tag="cp39-abi3-manylinux_2_17_x86_64")
    make_wheel(folder, "heavy", needs=("nvidia-stuff",), tag="cp312-cp312-manylinux_2_28_x86_64")
    make_wheel(folder, "nvidia-stuff", tag="py3-none-manylinux2014_x86_64")
    make_wheel(folder, "backend")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def names(archive: Path) -> set[str]:
    with tarfile.open(archive) as opened:
        assert {(member.uid, member.uname) for member in opened} == {(0, "")}
        return {member.name.removeprefix(f"{TOP}/") for member in opened if member.isfile()}


def run(project: Path, *words: str) -> None:
    pack._run(pack._parser().parse_args(words), project)  # pyright: ignore[reportPrivateUsage]


def test_the_archive_holds_files_wheels_and_data(project: Path, index: Path, tmp_path: Path) -> None:
    data, own = tmp_path / "data", make_wheel(tmp_path, "own")
    data.mkdir()
    (data / "picture.png").write_bytes(b"1")
    out = tmp_path / "box.tar"
    run(project, "--out", str(out), "--extras", "gpu", "--have", "nvidia-*", "--data", str(data), "--wheel", str(own))
    assert names(out) == {
        "install.sh",
        "requirements.txt",
        "project/pyproject.toml",
        "project/sub/file.txt",
        "data/picture.png",
        "wheels/light-1-py3-none-any.whl",
        "wheels/deep-1-cp39-abi3-manylinux_2_17_x86_64.whl",
        "wheels/heavy-1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "wheels/backend-1-py3-none-any.whl",
        "wheels/own-1-py3-none-any.whl",
    }
    with tarfile.open(out) as opened:
        listed = opened.extractfile(f"{TOP}/requirements.txt")
        assert listed is not None
        assert listed.read().decode().split() == ["backend==1", "deep==1", "heavy==1", "light==1", "own==1"]


def test_pieces_make_the_same_archive(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    path = tmp_path / "box.tar"
    path.write_bytes(content)
    pieces = pack.split(path, 1)
    assert [piece.name for piece in pieces] == ["box.tar.000", "box.tar.001", "box.tar.002"] and not path.exists()
    assert max(piece.stat().st_size for piece in pieces) == 10**6
    assert b"".join(piece.read_bytes() for piece in pieces) == content


def test_what_cannot_be_packed_is_said(project: Path, index: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "box.tar")
    run(project, "--out", out, "--extras", "trt", "--have", "nowhere")
    with pytest.raises(InputError, match="unknown extra 'rtx'; known: gpu, trt"):
        run(project, "--out", out, "--extras", "rtx")
    with pytest.raises(InputError, match=r"pip finds no wheels for that machine: .*heavy"):
        run(project, "--out", out, "--extras", "gpu", "--python", "3.11")
    with pytest.raises(InputError, match=r"absent\.whl does not exist"):
        run(project, "--out", out, "--extras", "gpu", "--wheel", "absent.whl")
    with pytest.raises(InputError, match="git lists no files"):
        pack.tracked(tmp_path / "index")
    with pytest.raises(InputError, match="is no checkout of the project"):
        pack.requirements(tmp_path, [], [])


def test_of_this_project_everything_named_is_known() -> None:
    wanted = pack.requirements(pack.ROOT, ["gpu", "export"], ["pytest"])
    assert {"numpy>=1.26", "onnx>=1.18", "pytest", "setuptools>=77"} <= set(wanted)
    assert any(each.startswith("onnxruntime-gpu") for each in wanted)
    assert Path("benchmarks/latency.py") in pack.tracked(pack.ROOT)


@pytest.mark.slow
def test_what_was_packed_installs_without_internet(
    project: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (index / "backend-1-py3-none-any.whl").unlink()
    code = (
        "import pathlib, zipfile\n"
        "def build_editable(folder, settings=None, metadata=None):\n"
        "    with zipfile.ZipFile(pathlib.Path(folder, 'thing-1-py3-none-any.whl'), 'w') as wheel:\n"
        "        wheel.writestr('thing.py', 'import light, deep')\n"
        "        wheel.writestr('thing-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: thing\\nVersion: 1\\n')\n"
        "        wheel.writestr('thing-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n')\n"
        "        wheel.writestr('thing-1.dist-info/RECORD', '')\n"
        "    return 'thing-1-py3-none-any.whl'\n"
    )
    make_wheel(index, "backend", code=code)
    out = tmp_path / "box.tar"
    run(project, "--out", str(out), "--extras", "", "--python", PYTHON)
    monkeypatch.delenv("PIP_FIND_LINKS")
    there = tmp_path / "there"
    with tarfile.open(out) as opened:
        opened.extractall(there, filter="data")
    monkeypatch.setenv("PYTHON", sys.executable)
    subprocess.run([str(there / TOP / "install.sh")], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
    subprocess.run([str(there / TOP / ".venv" / "bin" / "python"), "-c", "import thing"], check=True, cwd=there)
