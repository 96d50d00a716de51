"""What a message tells people to type exists where the message appears: also where only the wheel is installed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from runtime.artifact import manifest, remedies
from tests.runtime.conftest import make_info
from tests.support import wheel
from tests.support.plans import write_plan

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel.unpack(tmp_path_factory.mktemp("wheel"))


def test_commands_carry_what_differs_from_the_defaults() -> None:
    assert remedies.rebuild(make_info(precision="fp16")) == "retinexrt build double"
    assert remedies.rebuild(make_info(precision="fp32"), "tensorrt") == (
        "retinexrt build double --precision fp32 --flavour tensorrt"
    )
    assert remedies.make(Path("a/pdn_fp16.plan")) == "retinexrt build pdn"
    assert remedies.make(Path("pdn.plan")) == "retinexrt build pdn --precision fp32"
    assert remedies.make(Path("pdn_fp16.onnx")) == "retinexrt export pdn"


@pytest.mark.slow
def test_the_remedy_of_an_installed_wheel_is_a_command_of_it(site: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    manifest.manifest_path(plan).unlink()
    told = wheel.run(site, "enhance", "a.png", "-o", "out", "--engine", str(plan), cwd=tmp_path)
    assert told.returncode == 2 and told.stderr.count("\n") == 1
    found = re.search(r"build both with: retinexrt (.+)", told.stderr)
    assert found is not None, told.stderr
    helped = wheel.run(site, *shlex.split(found[1]), "--help", cwd=tmp_path)
    assert helped.returncode == 0, helped.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [remedies.export(), remedies.build(), remedies.train("pdn")])
def test_every_remedy_is_a_command_of_the_wheel(site: Path, command: str, tmp_path: Path) -> None:
    done = wheel.run(site, *shlex.split(command)[1:], "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("usage:"), done.stderr


#: What the extra "cpu" does not install.
ABSENT = ("torch", "onnx", "onnxscript", "safetensors", "polygraphy", "tensorrt", "tensorrt_rtx", "ray", "skimage")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "export pdn",
        "contract {models}/pdn.onnx",
        "build pdn --out built",
        "parity pdn",
        "latency --engine {models}/pdn.onnx --against torch --size 32x32",
        "train pdn --data {data}",
        "demo",
        "enhance a.png -o out --ray local",
    ],
)
def test_a_cpu_installation_names_the_extra_in_one_line(site: Path, words: str, tmp_path: Path) -> None:
    (tmp_path / "pairs" / "train").mkdir(parents=True)
    argv = words.format(models=site / "runtime" / "models", data=tmp_path / "pairs").split()
    done = wheel.run(site, *argv, cwd=tmp_path, blocked=ABSENT)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("retinexrt: ") and "pip install 'retinexrt[" in done.stderr


def test_no_message_names_a_script() -> None:
    """Docstrings may: they are read where the scripts are."""
    script = re.compile(r"(with|with:|them:|begin with:) python (engines|export|train|benchmarks)/(?!report)")
    for package in ("engines", "export", "runtime", "train", "benchmarks"):
        for path in (PROJECT / package).rglob("*.[ph][yp]*"):
            assert path.suffix not in (".py", ".hpp") or not script.search(path.read_text()), path
