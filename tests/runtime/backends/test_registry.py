"""Which backend runs what, and what is said when none does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import (
    ArtifactError,
    BackendError,
    BackendUnavailableError,
    Enhancer,
    IncompatiblePlanError,
    InputError,
    RetinexError,
    backends,
)
from runtime.artifact import locate
from runtime.backends import BACKENDS, Backend, choices, get_backend, onnxruntime_cpu, openvino_cpu
from runtime.backends.session import Probe
from runtime.commands.main import main
from runtime.options import OpenOptions
from tests.runtime.conftest import make_info, write_artifact
from tests.support.plans import write_plan


@pytest.fixture
def engines(artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose engines/ is the only place where artifacts are looked for."""
    folder = tmp_path / "engines"
    folder.mkdir()
    shutil.copy(artifacts / "double.onnx", folder)
    monkeypatch.setattr(locate, "search_folders", lambda: [folder])
    monkeypatch.setattr(locate, "plan_folders", lambda: [folder])
    return folder


def _names(found: list[backends.Choice]) -> list[tuple[str, str]]:
    return [(choice.backend.name, choice.path.name) for choice in found]


def test_a_name_is_looked_up_for_every_backend_the_fastest_first(engines: Path) -> None:
    write_plan(engines)
    shutil.copy(engines / "double.onnx", engines / "double_fp16.onnx")
    assert _names(choices("double")) == [
        ("tensorrt", "double_fp16.plan"),
        ("tensorrt_rtx", "double_fp16.plan"),
        ("onnxruntime-cuda", "double_fp16.onnx"),
        ("onnxruntime-cuda", "double.onnx"),
        ("openvino", "double.onnx"),
        ("onnxruntime", "double.onnx"),
    ]


def test_a_plan_is_for_the_flavour_that_built_it(engines: Path) -> None:
    path = write_plan(engines)
    assert _names(choices(str(path))) == [("tensorrt", "double_fp16.plan")]
    with pytest.raises(InputError, match=r"openvino does not run \.plan files"):
        choices(str(path), "openvino")


def test_networks_without_weights_prefer_onnxruntime(engines: Path) -> None:
    write_artifact(engines / "formula.onnx", make_info(network="formula", weights_sha256=None))
    assert [name for name, _ in _names(choices("formula"))][-2:] == ["onnxruntime", "openvino"]


def test_what_is_absent_is_named_with_the_command(engines: Path) -> None:
    with pytest.raises(ArtifactError, match=r"'other'.*found: double.*retinexrt export other"):
        choices("other")
    with pytest.raises(ArtifactError, match="retinexrt build double"):
        choices("double", "tensorrt")


def test_a_name_that_was_mistyped_gets_the_nearest(engines: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no network 'duoble'; did you mean double\? \(found: double\)$"):
        choices("duoble")
    assert choices("DOUBLE") == choices("double")
    assert locate.onnx_file("Double") == engines / "double.onnx"


def test_the_command_that_installs_stands_once(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "it cannot be imported; install it with: pip install x"
    monkeypatch.setattr(openvino_cpu, "probe", lambda backend, device: Probe(backend.name, False, missing, "pip install x"))
    with pytest.raises(BackendUnavailableError) as caught:
        Enhancer("double", backend="openvino")
    assert str(caught.value).count("pip install x") == 1


def here(backend: Backend, device: int) -> Probe:
    """A probe that finds the backend; of TensorRT's two flavours the first."""
    return Probe(backend.name, backend.name != "tensorrt_rtx", "here", "")


def test_auto_goes_past_what_does_not_open(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan whose TensorRT claims to be there but refuses it."""
    import runtime.backends.trt.session as trt

    write_plan(engines)
    monkeypatch.setattr(trt, "probe", here)

    def refuse(backend: Backend, path: Path, options: OpenOptions) -> None:
        raise IncompatiblePlanError("built for another GPU")

    monkeypatch.setattr(trt, "open_session", refuse)
    monkeypatch.setattr(openvino_cpu, "probe", lambda backend, device: Probe(backend.name, False, "absent", "x"))
    assert Enhancer("double").backend == "onnxruntime"
    with pytest.raises(IncompatiblePlanError, match="another GPU"):
        Enhancer("double", backend="tensorrt")
    with pytest.raises(IncompatiblePlanError, match="another GPU"):
        Enhancer(engines / "double_fp16.plan")


def test_threads_are_at_most_the_cpus(engines: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand threads take more than a minute to begin."""
    seen: list[int | None] = []
    monkeypatch.setattr(onnxruntime_cpu, "probe", here)
    openers = onnxruntime_cpu.open_session

    def watched(backend: Backend, path: Path, options: OpenOptions) -> object:
        seen.append(options.threads)
        return openers(backend, path, options)

    monkeypatch.setattr(onnxruntime_cpu, "open_session", watched)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    for threads in (1, 3, 100_000):
        Enhancer("double", backend="onnxruntime", threads=threads)
    assert seen == [1, 3, 3]
    assert caplog.messages == ["100000 threads were asked for, and 3 are used: one for each CPU"]


def test_a_name_stands_for_one_set_of_weights(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runtime.backends.trt.session as trt

    write_artifact(engines / "double.onnx", make_info(weights_sha256="1" * 64))
    write_plan(engines)
    monkeypatch.setattr(trt, "probe", here)
    assert Enhancer("double").backend in ("openvino", "onnxruntime")
    with pytest.raises(IncompatiblePlanError, match=r"double_fp16\.plan holds other weights than .*retinexrt build double"):
        Enhancer("double", backend="tensorrt")


def test_a_plan_in_the_working_folder_needs_its_path(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is executable code, and the folder may be a stranger's; the ONNX file beside it is found."""
    own = tmp_path / "own"
    (own / "runtime" / "models").mkdir(parents=True)
    (own / "engines").mkdir()
    there = tmp_path / "there" / "engines"
    there.mkdir(parents=True)
    monkeypatch.setattr(locate, "_PACKAGE", own / "runtime")
    monkeypatch.chdir(there.parent)
    shutil.copy(artifacts / "double.onnx", there)
    plan = write_plan(there)
    assert not any(choice.path.suffix == ".plan" for choice in choices("double"))
    assert choices("double")[0].path == there / "double.onnx"
    assert list(locate.available()) == [there / "double.onnx"]
    with pytest.raises(ArtifactError, match=rf"only where its path is given: {plan}"):
        choices("double", "tensorrt")
    assert _names(choices(str(plan))) == [("tensorrt", plan.name)]
    assert main(["doctor", "double"]) == 0
    assert f"{plan}: a plan in the working folder" in capsys.readouterr().out
    mine = write_plan(own / "engines")
    assert choices("double", "tensorrt")[0].path == mine
    monkeypatch.chdir(own)
    assert mine in locate.available()


@pytest.mark.parametrize("error", [BackendError("out of GPU memory"), ArtifactError("no plan at all")])
def test_auto_goes_past_what_fails_to_open(engines: Path, monkeypatch: pytest.MonkeyPatch, error: RetinexError) -> None:
    import runtime.backends.trt.session as trt

    def fail(backend: Backend, path: Path, options: OpenOptions) -> None:
        raise error

    plan = write_plan(engines)
    monkeypatch.setattr(trt, "probe", here)
    monkeypatch.setattr(trt, "open_session", fail)
    assert Enhancer("double").backend in ("openvino", "onnxruntime")
    for source, backend in (("double", "tensorrt"), (plan, "auto")):
        with pytest.raises(type(error), match=str(error)):
            Enhancer(source, backend=backend)
    for module in (onnxruntime_cpu, openvino_cpu):
        monkeypatch.setattr(module, "open_session", fail)
    with pytest.raises(BackendUnavailableError, match=f"tensorrt: {error}.*openvino: {error}.*onnxruntime: {error}"):
        Enhancer("double")


def test_auto_goes_past_damage_and_tensors(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in engines/ under the name but takes no pictures is an obstacle like any other."""
    import runtime.backends.onnxruntime_cuda as ort_cuda

    image = make_info().input
    tensors = make_info(input=replace(image, dtype="float32"), precision="fp16")
    write_artifact(engines / "double_fp16.onnx", tensors)
    monkeypatch.setattr(ort_cuda, "probe", here)
    monkeypatch.setattr(ort_cuda, "open_session", onnxruntime_cpu.open_session)
    assert Enhancer("double").source == str(engines / "double.onnx")
    (engines / "double.onnx").write_bytes(b"damaged")
    with pytest.raises(BackendUnavailableError, match=r"nothing here can run double.*double\.onnx"):
        Enhancer("double")
    with pytest.raises(ArtifactError, match=r"takes float32 tensors.*without --tensor-io"):
        Enhancer(engines / "double_fp16.onnx", backend="onnxruntime")


def test_nothing_usable_lists_every_obstacle(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((onnxruntime_cpu, "onnxruntime"), (openvino_cpu, "openvino")):
        monkeypatch.setattr(
            module, "probe", lambda backend, device, name=name: Probe(name, False, f"no {name}", f"pip install {name}")
        )
    with pytest.raises(BackendUnavailableError, match=r"no openvino; install it with: pip install openvino\. onnxruntime: no"):
        Enhancer("double")


def test_every_backend_answers_a_probe() -> None:
    for backend in BACKENDS:
        probe = backend.probe()
        assert probe.name == backend.name and probe.reason
        assert isinstance(probe.usable, bool)


def test_two_onnxruntimes_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.0"}
    monkeypatch.setattr(onnxruntime_cpu, "installed_version", versions.__getitem__)
    found = onnxruntime_cpu.clash()
    assert found is not None
    assert "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.0 are both installed" in found and "pip uninstall" in found


def test_a_broken_onnxruntime_is_explained_at_session_creation(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the module when one of the two packages is removed from over the other."""
    from types import ModuleType

    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    assert not get_backend("onnxruntime").probe().usable
    with pytest.raises(BackendUnavailableError, match="installed but broken"):
        get_backend("onnxruntime").open(artifacts / "double.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'retinexrt\[onnxruntime\]'"):
        get_backend("onnxruntime").open(artifacts / "double.onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'retinexrt\[cpu\]'"):
        get_backend("openvino").open(artifacts / "double.onnx")


_IMPORT = """
import sys, threading
before = set(threading.enumerate())
import runtime
assert runtime.RetinexError and runtime.__version__
heavy = {"numpy", "cv2", "tqdm", "torch", "onnx", "onnxruntime", "openvino", "tensorrt", "cuda", "train", "export", "engines"}
print(sorted(heavy & set(sys.modules)))
assert set(threading.enumerate()) == before
from runtime import Enhancer
later = {"torch", "onnx", "onnxruntime", "openvino", "tensorrt", "cuda", "pycuda", "train", "export", "engines"}
print(sorted(later & set(sys.modules)))
"""


def test_importing_the_runtime_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"
    assert done.stderr == ""


def test_unknown_attributes_are_attribute_errors() -> None:
    import runtime

    with pytest.raises(AttributeError, match="nonesuch"):
        _ = runtime.nonesuch
