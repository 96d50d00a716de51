"""Plans of TensorRT-RTX are built for real, ahead of time, on any machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import engines.build
from engines import builder
from engines.builder import BuildOptions, BuiltPlan, build
from runtime.artifact import ArtifactInfo, locate, manifest
from runtime.artifact.manifest import Host
from runtime.artifact.onnx_metadata import read_info
from runtime.artifact.onnx_parts import Halves, cut_file
from runtime.errors import ArtifactError, BackendUnavailableError, IncompatiblePlanError, ManifestError, OutputError
from runtime.files import sha256
from tests.runtime.conftest import make_info, write_artifact
from tests.support.fake_cuda import FakeCuda

pytestmark = [
    pytest.mark.skipif(
        find_spec("tensorrt_rtx") is None or find_spec("polygraphy") is None,
        reason="TensorRT-RTX and Polygraphy are not installed",
    ),
    # Polygraphy hands every builder a timing cache, which means nothing to TensorRT-RTX.
    pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning"),
]

PROJECT = Path(__file__).resolve().parents[2]
RTX = BuildOptions(flavour="tensorrt_rtx")
#: Largest first. The two big ones are left out of the fast tests.
NETWORKS = [
    pytest.param("dsn", marks=pytest.mark.slow),
    pytest.param("dsn-reverse", marks=pytest.mark.slow),
    "blnet",
    "sri",
    "msrnet",
    "pdn",
    "msr",
    "msrcr",
]


@pytest.fixture(scope="module")
def pdn(exported: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> BuiltPlan:
    return build(exported("pdn") / "pdn_fp16.onnx", tmp_path_factory.mktemp("plans"), RTX)


def test_a_manifest_that_cannot_be_replaced_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "pdn.json").mkdir()
    with pytest.raises(OutputError, match=r"cannot replace .*pdn\.json: "):
        builder._remove(tmp_path / "pdn.json")  # pyright: ignore[reportPrivateUsage]


def here(plan: Path, **changes: str) -> Host:
    info = manifest.read(plan).plan
    assert info is not None
    return Host(**{"flavour": info.flavour, "version": info.version, "sm": "8.9", "platform": info.platform, **changes})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_every_network_becomes_a_plan(exported: Callable[[str], Path], tmp_path: Path, name: str, precision: str) -> None:
    stem = name if precision == "fp32" else f"{name}_fp16"
    built = build(exported(name) / f"{stem}.onnx", tmp_path, RTX, show_progress=False)
    assert (built.plan, built.manifest) == (tmp_path / f"{stem}.plan", tmp_path / f"{stem}.json")
    info, data = manifest.verify(built.plan, lambda: here(built.plan))
    assert len(data) > 100_000
    assert (info.network, info.precision) == (name, precision)
    assert len(info.contract) >= 1
    steps = [check for check in built.checks if check.endswith("in FP32")]
    assert len(steps) >= len(info.contract)


#: What the parsed networks hold, by the papers: a change in either parser or export shows here.
STEPS = {
    "pdn": ["2 x Div by a Clip in FP32", "2 x Sub of a Conv in FP32"],
    "sri": ["1 x Div by a Clip in FP32"],
    "blnet": ["1 x Mul of two maps in FP32"],
    "msrnet": ["4 x Log in FP32", "1 x Sub of a Conv in FP32"],
    "msr": ["3 x Sub of two Logs in FP32"],
    "msrcr": ["3 x Sub of two Logs in FP32"],
    "dsn": ["8 x Div by an exponential in FP32", "16 x Sub with a Conv in FP32"],
    "dsn-reverse": ["8 x Mul by an exponential in FP32", "16 x Add with a Conv in FP32"],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parsed_network_keeps_its_steps_and_islands(exported: Callable[[str], Path], name: str) -> None:
    checks = parsed_checks(exported(name) / f"{name}_fp16.onnx")
    assert checks[: len(STEPS[name])] == STEPS[name]
    assert any("layers of the FP32 islands" in check for check in checks)


def parsed_checks(path: Path, model: onnx.ModelProto | None = None) -> list[str]:
    """Parse with TensorRT-RTX and check the layers; `model` replaces what the file holds."""
    from engines import parsed_contract
    from engines.flavours import TENSORRT_RTX

    trt = builder._load_flavour(TENSORRT_RTX)  # pyright: ignore[reportPrivateUsage]
    from polygraphy.backend.trt import NetworkFromOnnxBytes

    data = path.read_bytes() if model is None else model.SerializeToString()
    _, network, _ = NetworkFromOnnxBytes(data, strongly_typed=True)()
    return parsed_contract.check(network, trt, read_info(path))


# Halves: what decides on the light of a picture beyond the profile, and what renders its parts.


@pytest.mark.parametrize("name", ["dawn", "dawn_fp16"])
def test_tensorrt_parses_both_halves(name: str) -> None:
    """The side of a square is a value that shapes depend on, so it has to be one number."""
    from engines.flavours import TENSORRT_RTX

    builder._load_flavour(TENSORRT_RTX)  # pyright: ignore[reportPrivateUsage]
    from polygraphy.backend.trt import NetworkFromOnnxBytes

    path = locate.onnx_file("dawn").with_stem(name)
    halves = cut_file(path, read_info(path))
    _, network, _ = NetworkFromOnnxBytes(halves.decide, strongly_typed=True)()
    light = [tuple(network.get_output(index).shape) for index in range(network.num_outputs)]
    assert [shape[1] > 0 for shape in light] == [True] * 3 and [shape[2:] == (1, 1) for shape in light] == [False, False, True]
    _, network, _ = NetworkFromOnnxBytes(halves.render, strongly_typed=True)()
    assert [network.get_input(index).is_shape_tensor for index in range(network.num_inputs)] == [False, True, *[False] * 3]


@pytest.mark.slow
def test_a_plan_of_dawn_comes_with_its_halves(tmp_path: Path) -> None:
    options = replace(RTX, largest=(1, 512, 640), sms=("8.9",), level=0)
    built = build(locate.onnx_file("dawn").with_stem("dawn_fp16"), tmp_path, options, show_progress=False)
    info, _ = manifest.verify(built.plan, lambda: here(built.plan))
    assert info.plan is not None and info.plan.parts is not None and info.plan.digest is not None
    assert (info.plan.parts.extent, info.plan.parts.squares) == (1024, 50)
    for half in manifest.HALVES:
        assert manifest.half_name(info.plan.digest, half).encode() in manifest.read_half(built.plan, info, half)


def test_halves_are_written_with_their_plan_and_gone_with_it(tmp_path: Path) -> None:
    path = write_artifact(tmp_path / "double.onnx", make_info(contract=()))
    request = builder.plan_request(path, tmp_path, RTX)
    built = builder.publish(request, b"plan", [], 1.0, Halves(b"decide", b"render"))
    assert [manifest.read_half(built.plan, built.info, half) for half in manifest.HALVES] == [b"decide", b"render"]
    built = builder.publish(request, b"plan", [], 1.0)
    assert built.info.plan is not None and built.info.plan.parts is None
    assert not any(manifest.half_path(built.plan, half).exists() for half in manifest.HALVES)


@pytest.mark.parametrize(("size", "wanted"), [(None, True), ((1, 400, 600), False)])
def test_a_plan_of_one_size_has_no_halves(tmp_path: Path, size: tuple[int, int, int] | None, wanted: bool) -> None:
    path = locate.onnx_file("dawn")
    request = builder.plan_request(path, tmp_path, replace(RTX, smallest=size, typical=size, largest=size))
    assert builder._has_halves(request) == wanted  # pyright: ignore[reportPrivateUsage]


def test_a_clamp_with_other_bounds_is_found_in_the_parsed_network(exported: Callable[[str], Path]) -> None:
    path = exported("pdn") / "pdn_fp16.onnx"
    model = onnx.load(str(path))
    changed = 0
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.size == 1 and np.isclose(value.reshape(-1)[0], 1 / 255):
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(value, 1 / 100), tensor.name))
            changed += 1
    assert changed
    with pytest.raises(ArtifactError, match="left 0 of the 2 layers 'Div by a Clip'"):
        parsed_checks(path, model)


def test_a_step_that_is_gone_is_missed_in_the_parsed_network(exported: Callable[[str], Path]) -> None:
    path = exported("pdn") / "pdn_fp16.onnx"
    model = onnx.load(str(path))
    node = next(node for node in model.graph.node if node.op_type == "Sub" and "subtract" in node.name)
    node.op_type = "Add"
    with pytest.raises(ArtifactError, match="left 1 of the 2 layers 'Sub of a Conv'"):
        parsed_checks(path, model)


def test_an_island_in_fp16_is_found_in_the_parsed_network(exported: Callable[[str], Path]) -> None:
    """The tail of PDN's first illumination is left in FP16, and cast after it."""
    path = exported("pdn") / "pdn_fp16.onnx"
    model = onnx.load(str(path))
    tail = next(node for node in model.graph.node if node.name == "coarse_light.tail/Conv")
    cast = next(node for node in model.graph.node if tail.input[0] in node.output)
    assert cast.op_type == "Cast"
    tail.input[0] = cast.input[0]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for index in (1, 2):  # as constants of their own: equal ones are shared
        half = numpy_helper.from_array(constants[tail.input[index]].astype(np.float16), f"half.{index}")
        model.graph.initializer.append(half)
        tail.input[index] = half.name
    output = tail.output[0]
    tail.output[0] = "half"
    back = helper.make_node("Cast", ["half"], [output], name="io/back", to=TensorProto.FLOAT)
    model.graph.node.insert(list(model.graph.node).index(tail) + 1, back)
    with pytest.raises(ArtifactError, match=r"coarse_light\.tail/Conv belongs to an FP32 island and is FP16"):
        parsed_checks(path, model)


def test_a_graph_that_lies_about_its_precision_is_refused(exported: Callable[[str], Path], tmp_path: Path) -> None:
    liar = tmp_path / "pdn.onnx"
    data = (exported("pdn") / "pdn_fp16.onnx").read_bytes()
    liar.write_bytes(data.replace(b'"precision": "fp16"', b'"precision": "fp32"'))
    with pytest.raises(ArtifactError, match="says that it is FP32, but"):
        build(liar, tmp_path, RTX)


def test_the_manifest_says_all(pdn: BuiltPlan, exported: Callable[[str], Path]) -> None:
    document: dict[str, Any] = json.loads(pdn.manifest.read_text())
    plan: dict[str, Any] = document["plan"]
    assert document["network"] == "pdn"
    assert plan["flavour"] == "tensorrt_rtx"
    assert plan["onnx_sha256"] == sha256(exported("pdn") / "pdn_fp16.onnx")
    assert plan["plan_sha256"] == sha256(pdn.plan)
    assert plan["sms"] == ["8.0", "8.6", "8.9", "12.0", "12.1"]
    assert plan["profile"] == {"min": [1, 64, 64, 3], "opt": [1, 400, 600, 3], "max": [1, 1088, 1920, 3]}
    assert (plan["gpu"], plan["tf32"], plan["level"]) == (None, False, 3)
    assert plan["build_seconds"] > 0
    assert ArtifactInfo.from_json(pdn.manifest.read_text()) == pdn.info


def test_the_digest_is_inside_the_plan(pdn: BuiltPlan) -> None:
    assert pdn.info.plan is not None and pdn.info.plan.digest is not None
    assert pdn.info.plan.digest.encode() in pdn.plan.read_bytes()


def test_a_hundred_random_corruptions_of_a_real_plan_are_refused(pdn: BuiltPlan, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    plan = tmp_path / pdn.plan.name
    original = pdn.plan.read_bytes()
    manifest.manifest_path(plan).write_bytes(pdn.manifest.read_bytes())
    for _ in range(100):
        data = bytearray(original)
        data[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
        plan.write_bytes(data)
        with pytest.raises(ManifestError):
            manifest.verify(plan, lambda: here(plan))


def test_a_hopper_gpu_is_told_what_the_plan_is_for(pdn: BuiltPlan) -> None:
    with pytest.raises(IncompatiblePlanError, match=r"not support compute capability 9\.0; TensorRT and ONNX Runtime CUDA do"):
        manifest.verify(pdn.plan, lambda: here(pdn.plan, sm="9.0"))


def test_options_reach_the_plan(exported: Callable[[str], Path], tmp_path: Path) -> None:
    options = BuildOptions(
        flavour="tensorrt_rtx",
        smallest=(1, 32, 32),
        typical=(2, 32, 48),
        largest=(2, 64, 64),
        sms=("8.6",),
        level=0,
        workspace_bytes=1 << 28,
        tf32=True,
    )
    info = build(exported("msrnet") / "msrnet.onnx", tmp_path, options).info.plan
    assert info is not None
    assert (info.sms, info.level, info.workspace_bytes, info.tf32) == (("8.6",), 0, 1 << 28, True)
    assert (info.profile.min, info.profile.opt, info.profile.max) == ((1, 32, 32, 3), (2, 32, 48, 3), (2, 64, 64, 3))


def test_a_plan_describes_no_layers_in_every_run(
    exported: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polygraphy's default would; it costs time in each run."""
    configs: list[Any] = []
    make = builder._config  # pyright: ignore[reportPrivateUsage]

    def noting(*arguments: Any) -> Any:
        from polygraphy.backend.trt import PostprocessConfig

        return PostprocessConfig(make(*arguments), lambda builder, network, config: configs.append(config.profiling_verbosity))

    monkeypatch.setattr(builder, "_config", noting)
    build(exported("msrnet") / "msrnet_fp16.onnx", tmp_path, RTX)
    assert [verbosity.name for verbosity in configs] == ["LAYER_NAMES_ONLY"]


def test_building_and_running_share_a_logger(pdn: BuiltPlan) -> None:
    """TensorRT keeps to the first logger of a process."""
    from polygraphy.backend.trt import util

    from engines.flavours import tensorrt_module
    from runtime.backends.trt import logger

    assert util.TRT_LOGGER is logger.for_module(tensorrt_module())


def test_what_the_parser_refuses_comes_in_its_own_words_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    info = make_info(contract=())
    path = write_artifact(tmp_path / "double.onnx", info)
    model = onnx.load(str(path))
    next(node for node in model.graph.node if node.op_type == "Round").op_type = "Det"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=r"tensorrt_rtx's parser refuses .*double\.onnx: .*Det"):
        build(path, tmp_path, RTX)
    assert not [record for record in caplog.records if record.name.startswith("retinexrt")]
    assert not list(tmp_path.glob("*.plan"))


def test_a_failed_build_leaves_no_half_of_a_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_artifact(tmp_path / "double.onnx", make_info(contract=()))
    build(path, tmp_path, RTX)

    def fail(*_: object) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(builder.manifest, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        build(path, tmp_path, RTX)
    with pytest.raises(ManifestError, match="is missing"):
        manifest.read(tmp_path / "double.plan")


def test_progress_is_shown_and_ctrl_c_stops_the_build(
    exported: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = exported("msrnet") / "msrnet_fp16.onnx"
    build(path, tmp_path, RTX, show_progress=True)
    assert "msrnet_fp16" in capfd.readouterr().err

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("tqdm.tqdm.update", interrupt)
    (tmp_path / "msrnet_fp16.plan").unlink()
    with pytest.raises(KeyboardInterrupt):
        build(path, tmp_path, RTX)
    assert not (tmp_path / "msrnet_fp16.plan").exists()


def test_parsing_agrees_with_polygraphys_own_tool(exported: Callable[[str], Path]) -> None:
    command = [str(Path(sys.executable).with_name("polygraphy")), "inspect", "model", str(exported("pdn") / "pdn_fp16.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "{image [dtype=uint8, shape=('N', 'H', 'W', 3)]}" in done.stdout


# The enterprise flavour: its own code path, through the real Polygraphy, on TensorRT-RTX's bindings under another name.

ENTERPRISE = """
compatible = False
import sys, types
import tensorrt_rtx
module = types.ModuleType("tensorrt")
module.__dict__.update({name: value for name, value in vars(tensorrt_rtx).items() if not name.startswith("__")})
module.__version__ = "11.4.0.106"
module.__spec__ = tensorrt_rtx.__spec__
sys.modules["tensorrt"] = module
from pathlib import Path
import engines.builder
from tests.support.fake_cuda import FakeCuda
cuda = FakeCuda(sm="9.0")
engines.builder.open_cuda = lambda: cuda
for level in (0, 0):
    options = engines.builder.BuildOptions(precision="fp16", level=level, version_compatible=compatible)
    built = engines.builder.build(Path(sys.argv[1]), Path(sys.argv[2]), options)
assert cuda.leaks() == {}
plan = built.info.plan
print(plan.flavour, plan.version, plan.sms, plan.gpu, plan.cuda)
"""


def test_the_enterprise_flavour_builds_for_the_gpu_at_hand(exported: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    command = [sys.executable, "-c", ENTERPRISE, str(exported("msrnet") / "msrnet_fp16.onnx"), str(out)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tensorrt 11.4.0.106 ('9.0',) Fake GPU 13.0\n"
    assert (out / "tensorrt_11.4.0.106_sm9.0_fake-gpu.timing").stat().st_size > 0


def test_the_flags_of_a_version_compatible_plan(exported: Callable[[str], Path], tmp_path: Path) -> None:
    """The lean runtime stays out of it: a plan then holds no host code that whoever loads it would have to allow."""
    script = ENTERPRISE.replace("compatible = False", "compatible = True").replace(
        "for level in (0, 0):",
        "from engines.flavours import TENSORRT\n"
        "engines.builder._load_flavour(TENSORRT)\n"
        "import polygraphy.backend.trt as backend\n"
        "real = backend.CreateConfig\n"
        "def create(**options):\n"
        "    print(options.pop('version_compatible'), options.pop('exclude_lean_runtime'), 'engine_host_code' in options)\n"
        "    return real(**options)\n"
        "backend.CreateConfig = create\n"
        "for level in (0, 0):",
    )
    command = [sys.executable, "-c", script, str(exported("msrnet") / "msrnet_fp16.onnx"), str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["True True False"] * 2
    assert '"version_compatible": true' in (tmp_path / "msrnet_fp16.json").read_text()


def test_one_process_builds_with_one_flavour(monkeypatch: pytest.MonkeyPatch, pdn: BuiltPlan) -> None:
    from engines.flavours import TENSORRT
    from runtime.errors import BackendError

    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "1")
    with pytest.raises(BackendError, match="another flavour"):
        builder._load_flavour(TENSORRT)  # pyright: ignore[reportPrivateUsage]


def test_without_polygraphy_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.flavours import TENSORRT_RTX

    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "1")
    monkeypatch.setitem(sys.modules, "polygraphy", None)
    with pytest.raises(BackendUnavailableError, match=r"retinexrt\[rtx\]"):
        builder._load_flavour(TENSORRT_RTX)  # pyright: ignore[reportPrivateUsage]


# The command line.


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "engines" / "build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_reports_what_it_built(exported: Callable[[str], Path], tmp_path: Path) -> None:
    done = run(str(exported("pdn") / "pdn_fp16.onnx"), "--out", str(tmp_path), "--flavour", "tensorrt_rtx", "--size", "1x64x64")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'pdn_fp16.plan'}  ") and lines[0].endswith(" s")
    assert "  from 1x64x64x3 over 1x64x64x3 to 1x64x64x3" in lines
    assert "  2 x Div by a Clip in FP32" in lines
    assert lines[-1] == str(tmp_path / "pdn_fp16.json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "nope_fp16.onnx does not exist; make it with: retinexrt export nope"),
        (["dwan"], "there is no network 'dwan'; did you mean dawn?"),
        (["nope.onnx"], "nope.onnx does not exist"),
        (["a/b"], "neither the name of a network nor an .onnx file"),
        (["pdn", "--size", "1x64x64", "--max", "1x80x80"], "--size fixes all three shapes"),
        (["pdn", "--opt", "64x64"], "expected NxHxW"),
        (["pdn", "--workspace", "0"], "no amount of memory"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert engines.build.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_options_that_do_not_fit_are_refused(
    exported: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fp32 = str(exported("pdn") / "pdn.onnx")
    for arguments, words in [
        ([fp32, "--precision", "fp16"], "is typed fp32, and fp16 was asked for"),
        ([fp32, "--flavour", "tensorrt_rtx", "--sm", "9.0"], "not for 9.0"),
        ([fp32, "--flavour", "tensorrt_rtx", "--timing-cache", "x"], "keeps no timing cache"),
        ([fp32, "--flavour", "tensorrt_rtx", "--version-compatible"], "has no version-compatible plans"),
    ]:
        assert engines.build.main([*arguments, "--out", str(tmp_path)]) == 2
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_named_fp16_has_to_be(exported: Callable[[str], Path], tmp_path: Path) -> None:
    renamed = tmp_path / "pdn_fp16.onnx"
    renamed.write_bytes((exported("pdn") / "pdn.onnx").read_bytes())
    with pytest.raises(ArtifactError, match="is typed fp32"):
        build(renamed, tmp_path, RTX)


def test_a_driverless_machine_builds_with_rtx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent() -> FakeCuda:
        raise BackendUnavailableError("there is no NVIDIA driver here")

    monkeypatch.setattr(builder, "open_cuda", absent)
    built = build(write_artifact(tmp_path / "double.onnx", make_info(contract=())), tmp_path, BuildOptions())
    assert built.info.plan is not None and built.info.plan.flavour == "tensorrt_rtx"
