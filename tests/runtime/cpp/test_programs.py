"""The example programs and both implementations: the same bytes as Python, and an exception for every mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from runtime import Enhancer, InputError, RetinexError, exposure
from runtime.artifact import METADATA_KEY, ArtifactInfo, locate
from runtime.cuda import driver_found
from tests.runtime.conftest import double, make_info, write_artifact
from tests.runtime.cpp.conftest import Images, Programs, call, read_ppm, run, write_ppm

pytestmark = pytest.mark.slow

native = pytest.mark.parametrize("way", ["native", "native_onnxruntime"])
#: Programs that show the same of either native engine.
loops = pytest.mark.parametrize("way", ["native", "embedded"])
every = pytest.mark.parametrize("way", ["native", "native_onnxruntime", "embedded"])


def backend_of(said: str) -> str:
    """The backend that a program says it ran on."""
    return said.split(" on ")[-1].strip()


def check_same(said: str, out: Path, artifact: Path, image: Images) -> None:
    """What a program wrote is what Python computes on the same artifact and backend, to the byte."""
    with Enhancer(artifact, backend=backend_of(said)) as enhancer:
        np.testing.assert_array_equal(read_ppm(out), enhancer(image))


@every
@pytest.mark.parametrize("name", ["pdn.onnx", "pdn_fp16.onnx"])
def test_a_network_gives_the_bytes_of_python(
    programs: Programs, exported: Callable[[str], Path], tmp_path: Path, dark: Images, way: str, name: str
) -> None:
    artifact, out = exported("pdn") / name, tmp_path / "out.ppm"
    said = programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", dark), out)
    assert backend_of(said) == {"native_onnxruntime": "onnxruntime"}.get(way, "openvino") or way == "embedded"
    check_same(said, out, artifact, dark)


@every
def test_bfloat16_where_the_artifact_says_so(
    programs: Programs, exported: Callable[[str], Path], tmp_path: Path, dark: Images, way: str
) -> None:
    model = onnx.load(exported("pdn") / "pdn.onnx")
    description = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    description.value = replace(ArtifactInfo.from_json(description.value), cpu_precision="bf16").to_json()
    artifact, out = tmp_path / "bf16.onnx", tmp_path / "out.ppm"
    onnx.save(model, artifact)
    check_same(programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", dark), out), out, artifact, dark)


@every
def test_a_photograph_gives_the_bytes_of_python(
    programs: Programs, exported: Callable[[str], Path], dark_photographs: list[Images], tmp_path: Path, way: str
) -> None:
    image = dark_photographs[0]
    artifact, out = exported("pdn") / "pdn.onnx", tmp_path / "out.ppm"
    said = programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", image), out)
    check_same(said, out, artifact, image)


@every
@pytest.mark.parametrize(("name", "shape"), [("blur", (1100, 1950)), ("blur", (16, 140000)), ("light", (1500, 1450))])
def test_large_pictures_are_treated_as_in_python(
    programs: Programs, artifacts: Path, tmp_path: Path, way: str, name: str, shape: tuple[int, int]
) -> None:
    artifact = artifacts / f"{name}.onnx"
    image = np.random.default_rng(3).integers(0, 120, (*shape, 3), dtype=np.uint8)
    out = tmp_path / "out.ppm"
    said = programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", image), out)
    check_same(said, out, artifact, image)


@every
@pytest.mark.parametrize("name", ["dawn", "dawn_fp16"])
def test_parts_of_a_large_picture_are_one_picture(programs: Programs, tmp_path: Path, way: str, name: str) -> None:
    artifact, out = locate.onnx_file("dawn").with_stem(name), tmp_path / "out.ppm"
    random = np.random.default_rng(4)
    coarse = random.integers(0, 70, (40, 66, 3)).repeat(32, 0).repeat(32, 1)[:1101, :1951]
    image = (coarse + random.integers(0, 10, coarse.shape)).astype(np.uint8)
    said = programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", image), out)
    found = read_ppm(out).astype(int)
    with Enhancer(artifact, backend=backend_of(said)) as enhancer:
        assert np.abs(found - enhancer(image)).max() == 0
        if enhancer.precision != "bf16":  # there the whole picture is rounded in its own way
            assert np.abs(found - enhancer(image, tile="off")).max() <= 1


@every
@pytest.mark.parametrize("name", ["dawn", "blur"])
def test_progress_is_told_and_may_end_a_call(programs: Programs, artifacts: Path, way: str, name: str) -> None:
    artifact = locate.onnx_file("dawn") if name == "dawn" else artifacts / "blur.onnx"
    *told, enough = programs(f"exercise_{way}", "progress", artifact).splitlines()
    assert enough == "enough"
    assert told == [f"{i + 1} of {len(told)}" for i in range(len(told))]
    assert len(told) >= 4


@native
def test_a_file_that_does_not_come_apart(programs: Programs, tmp_path: Path, way: str) -> None:
    model = onnx.load(locate.onnx_file("dawn"))
    description = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    info = ArtifactInfo.from_json(description.value)
    assert info.parts is not None
    dark = np.random.default_rng(1).integers(0, 60, (1100, 1950, 3), dtype=np.uint8)
    image = write_ppm(tmp_path / "in.ppm", dark)
    frames = {node.output[0]: node.input[0] for node in model.graph.node}
    unframed = tuple(frames[name] if "context" in name else name for name in info.parts.light)
    changes = ({"side": "nothing"}, {"light": (info.parts.overview,)}, {"light": unframed}, {"points": 0}, {"halo": -1})
    for number, wrong in enumerate(changes):
        description.value = replace(info, parts=replace(info.parts, **wrong)).to_json()
        artifact = tmp_path / f"{number}.onnx"
        onnx.save(model, artifact)
        with pytest.raises(RetinexError) as raised, Enhancer(artifact, backend="onnxruntime") as enhancer:
            enhancer(dark)
        said = programs.fails(f"enhance_{way}", artifact, image, tmp_path / "out.ppm")
        assert said.startswith(f"{type(raised.value).__name__}: ")


@native
def test_a_file_that_became_another(programs: Programs, artifacts: Path, tmp_path: Path, way: str) -> None:
    artifact = tmp_path / "dawn.onnx"
    artifact.write_bytes(locate.onnx_file("dawn").read_bytes())
    said = programs.fails(f"exercise_{way}", "changed", artifact, artifacts / "blur.onnx")
    assert said.startswith("ArtifactError: ") and "another file than the one that was opened" in said


@native
def test_an_artifact_of_a_fixed_size_cuts_as_in_python(programs: Programs, tmp_path: Path, way: str) -> None:
    info = make_info(network="blur", halo=4, multiple=4)
    sizes = (1, 64, 96, 3)
    info = replace(info, input=replace(info.input, shape=sizes), output=replace(info.output, shape=sizes))
    artifact = write_artifact(tmp_path / "fixed.onnx", info, around=4)
    image = np.random.default_rng(3).integers(0, 120, (120, 184, 3), dtype=np.uint8)
    source, out = write_ppm(tmp_path / "in.ppm", image), tmp_path / "out.ppm"
    try:
        with Enhancer(artifact, backend="onnxruntime" if way == "native_onnxruntime" else "openvino") as enhancer:
            wanted = enhancer(image)
    except RetinexError as error:
        assert str(error) in programs.fails(f"enhance_{way}", artifact, source, out)
        return
    programs(f"enhance_{way}", artifact, source, out)
    np.testing.assert_array_equal(read_ppm(out), wanted)


@every
@pytest.mark.parametrize("amount", [("0.3",), ("0.7", "gate"), ("1", "gate"), ("0",)])
@pytest.mark.parametrize("name", ["double", "light"])
def test_strength_and_gate_give_the_bytes_of_python(
    programs: Programs, artifacts: Path, tmp_path: Path, way: str, name: str, amount: tuple[str, ...]
) -> None:
    # Codes from 20 to 90: most pictures of them are between what the gate calls dark and bright.
    image = np.random.default_rng(5).integers(20, 90, (317, 401, 3), dtype=np.uint8)
    artifact, out = artifacts / f"{name}.onnx", tmp_path / "out.ppm"
    said = programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", image), out, *amount)
    with Enhancer(artifact, backend=backend_of(said)) as enhancer:
        wanted = enhancer(image, strength=float(amount[0]), gate=len(amount) > 1)
    np.testing.assert_array_equal(read_ppm(out), wanted)


def test_exposure_is_that_of_python(programs: Programs, tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    for height, width in ((16, 16), (127, 129), (300, 401), (16, 70000)):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        found = float(programs("formats", "exposure", write_ppm(tmp_path / "in.ppm", image)))
        assert found == pytest.approx(exposure.exposure(image), rel=1e-12)


def test_every_pair_of_codes_is_blended_as_in_python(programs: Programs, tmp_path: Path) -> None:
    codes = np.arange(256, dtype=np.uint8)
    source, enhanced = (np.dstack([ramp] * 3) for ramp in np.meshgrid(codes, codes, indexing="ij"))
    one, other = write_ppm(tmp_path / "one.ppm", source), write_ppm(tmp_path / "other.ppm", enhanced)
    for strength in (0.001, 0.1, 1 / 3, 0.5, 0.77, 0.999):
        for geometric in (True, False):
            wanted = enhanced.copy()
            exposure.blend(source, wanted, strength, geometric)
            programs("formats", "blend", one, other, str(strength), str(int(geometric)), tmp_path / "out.ppm")
            np.testing.assert_array_equal(read_ppm(tmp_path / "out.ppm"), wanted)


@every
def test_png_files(programs: Programs, artifacts: Path, tmp_path: Path, dark: Images, way: str) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), dark[..., ::-1])
    done = run([programs.build(f"enhance_{way}"), artifacts / "double.onnx", source, out])
    if "compiled without libpng" in done.stderr:
        pytest.skip("libpng's headers are needed")
    assert done.returncode == 0, done.stderr
    written = cv2.imread(str(out))
    assert written is not None
    np.testing.assert_array_equal(written[..., ::-1], double(dark))


@pytest.mark.parametrize(("name", "size"), [("cut.png", 60), ("no.png", 0), ("absent.png", None)])
def test_a_png_file_that_is_no_picture(
    programs: Programs, artifacts: Path, tmp_path: Path, dark: Images, name: str, size: int | None
) -> None:
    if size is not None:
        (tmp_path / name).write_bytes(cv2.imencode(".png", dark)[1].tobytes()[:size])
    said = programs.fails("enhance_native", artifacts / "double.onnx", tmp_path / name, tmp_path / "out.ppm")
    assert said.startswith("InputError: ")
    assert name in said


@every
def test_eight_threads_share_one_enhancer(
    programs: Programs, exported: Callable[[str], Path], tmp_path: Path, dark: Images, way: str
) -> None:
    artifact = exported("pdn") / "pdn.onnx"
    said = programs(f"threads_{way}", artifact, write_ppm(tmp_path / "in.ppm", dark), tmp_path)
    for brighter in range(8):
        check_same(said, tmp_path / f"{brighter}.ppm", artifact, dark + np.uint8(brighter))


@every
def test_threads_report_a_mistake_as_an_exception(programs: Programs, artifacts: Path, tmp_path: Path, way: str) -> None:
    image = write_ppm(tmp_path / "in.ppm", np.zeros((8, 47, 3), np.uint8))
    said = programs.fails(f"threads_{way}", artifacts / "double.onnx", image, tmp_path)
    assert said == "InputError: the picture is 8x47 (HxW), double takes 16x16 and up\n"


@loops
def test_the_camera_loop_gives_the_bytes_of_python(programs: Programs, artifacts: Path, tmp_path: Path, way: str) -> None:
    out = tmp_path / "last.ppm"
    said = programs(f"camera_{way}", artifacts / "blur.onnx", "synthetic", "5", out)
    assert said.startswith("5 frames, ")
    y, x = np.mgrid[8:108, 8:168]
    blue, green, red = (x + 4) % 40, y % 50, (x + y) % 60
    check_same(said, out, artifacts / "blur.onnx", np.stack([red, green, blue], -1).astype(np.uint8))


@loops
def test_the_camera_loop_names_a_camera_that_is_not_there(programs: Programs, artifacts: Path, way: str) -> None:
    said = programs.fails(f"camera_{way}", artifacts / "double.onnx", "no-film.avi")
    assert "InputError: no camera or film no-film.avi" in said


EXPECTED = {
    "absent": "ArtifactError",
    "damaged": "ArtifactError",
    "foreign": "ArtifactError",
    "newer": "NewerSchemaError",
    "tensors": "ArtifactError",
    "not a model": "ArtifactError",
    "negative threads": "InputError",
    "negative device": "InputError",
    "precision fp7": "InputError",
    "no halo": "ArtifactError",
    "no size": "ArtifactError",
    "no multiple": "ArtifactError",
    "huge stride": "InputError",
    "strength -0.100000": "InputError",
    "strength 1.100000": "InputError",
    "strength nan": "InputError",
    "null image": "InputError",
    "no rows": "InputError",
    "negative width": "InputError",
    "too small": "InputError",
    "short stride": "InputError",
    "negative stride": "InputError",
    "null out": "InputError",
    "other size": "InputError",
    "short out stride": "InputError",
    "GPU memory": "InputError",
    "in a thread": "InputError",
    "too large": "InputError",
    "closed": "ClosedError",
    "closed, in a thread": "ClosedError",
    "double": "remains",
}


def errors(programs: Programs, way: str, folder: Path) -> dict[str, tuple[str, str]]:
    rows = [line.split("\t") for line in programs(f"exercise_{way}", "errors", folder).splitlines()]
    return {name: (kind, text) for name, kind, text in rows}


@every
def test_every_mistake_is_an_exception(programs: Programs, artifacts: Path, way: str) -> None:
    found = errors(programs, way, artifacts)
    assert {name: kind for name, (kind, _) in found.items() if name in EXPECTED} == EXPECTED
    backend = "InputError" if way == "embedded" else "BackendUnavailableError"
    assert found["unknown backend"][0] == backend
    # OpenVINO alone has the choice, and only on some CPUs.
    bf16 = found.pop("precision bf16")[0]
    assert bf16 == "BackendUnavailableError" or (bf16 == "nothing" and way != "native_onnxruntime")
    assert all(text for name, (_, text) in found.items() if name != "double")


@native
def test_native_speaks_as_python_does(programs: Programs, artifacts: Path, way: str) -> None:
    found = errors(programs, way, artifacts)
    for name in ("absent", "foreign", "newer", "tensors"):
        with pytest.raises(RetinexError) as raised:
            Enhancer(artifacts / f"{name}.onnx")
        assert found[name] == (type(raised.value).__name__, str(raised.value))


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("native", "compiled with OpenVINO {openvino}x, but 2019.1.0-1234 is loaded"),
        ("native_onnxruntime", "the older 1.2.3 is loaded"),
    ],
)
def test_a_library_of_another_version_is_refused(programs: Programs, artifacts: Path, way: str, words: str) -> None:
    engine = "onnxruntime" if way == "native_onnxruntime" else "openvino"
    exercise = programs.build(f"exercise_{way}")
    said = programs.fails(
        f"exercise_{way}", "views", artifacts / "double.onnx", LD_PRELOAD=str(programs.build(f"other_{engine}"))
    )
    assert said.startswith("BackendUnavailableError: compiled with ")
    major, minor, _ = version("openvino").split(".", 2)
    assert words.format(openvino=f"{major}.{minor}.") in said
    call([exercise, "views", artifacts / "double.onnx"])


def test_a_file_that_the_engine_refuses(programs: Programs, artifacts: Path, tmp_path: Path, dark: Images) -> None:
    model = onnx.load(artifacts / "double.onnx")
    model.graph.node[2].op_type = "Abacus"
    onnx.save(model, tmp_path / "abacus.onnx")
    image = write_ppm(tmp_path / "in.ppm", dark)
    for way, title in (("native", "OpenVINO"), ("native_onnxruntime", "ONNX Runtime")):
        said = programs.fails(f"enhance_{way}", tmp_path / "abacus.onnx", image, tmp_path / "out.ppm")
        assert said.startswith(f"ArtifactError: {title} cannot load {tmp_path / 'abacus.onnx'}: ")
        assert "Abacus" in said and len(said.splitlines()) == 1


def test_a_picture_that_the_engine_refuses(programs: Programs, tmp_path: Path, dark: Images) -> None:
    """The file says that it takes every size, and its graph takes one."""
    info = make_info()
    fixed = replace(info, input=replace(info.input, shape=(1, 64, 64, 3)), output=replace(info.output, shape=(1, 64, 64, 3)))
    model = onnx.load(write_artifact(tmp_path / "lies.onnx", fixed))
    next(entry for entry in model.metadata_props if entry.key == "retinexrt").value = info.to_json()
    onnx.save(model, tmp_path / "lies.onnx")
    image = write_ppm(tmp_path / "in.ppm", dark)
    for way, title in (("native", "OpenVINO"), ("native_onnxruntime", "ONNX Runtime")):
        said = programs.fails(f"enhance_{way}", tmp_path / "lies.onnx", image, tmp_path / "out.ppm")
        assert said.startswith(f"BackendError: {title} failed on 33x47: ")


@every
def test_an_enhancer_is_closed_while_threads_use_it(programs: Programs, artifacts: Path, way: str) -> None:
    assert programs(f"exercise_{way}", "closing", artifacts / "double.onnx").splitlines() == ["ClosedError"] * 4


@every
def test_an_enhancer_may_be_left_open(programs: Programs, artifacts: Path, way: str) -> None:
    assert programs(f"exercise_{way}", "left", artifacts / "double.onnx") == "left open\n"


@native
def test_an_enhancer_goes_on_after_its_file_is_gone(programs: Programs, tmp_path: Path, way: str) -> None:
    artifact = write_artifact(tmp_path / "double.onnx", make_info())
    assert programs(f"exercise_{way}", "gone", artifact) == "goes on\n"


@native
def test_an_artifact_of_a_fixed_batch_is_refused_as_in_python(
    programs: Programs, tmp_path: Path, dark: Images, way: str
) -> None:
    info = make_info()
    sizes = (2, "H", "W", 3)
    info = replace(info, input=replace(info.input, shape=sizes), output=replace(info.output, shape=sizes))
    artifact = write_artifact(tmp_path / "pairs.onnx", info)
    with Enhancer(artifact, backend="openvino") as enhancer, pytest.raises(InputError) as raised:
        enhancer(dark)
    said = programs.fails(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", dark), tmp_path / "out.ppm")
    assert said == f"InputError: {raised.value}\n"


def test_parts_of_a_program_may_have_different_engines(programs: Programs, artifacts: Path) -> None:
    said = programs("parts", artifacts / "double.onnx", artifacts / "light.onnx").splitlines()
    assert [line.split() for line in said] == [
        ["openvino", "onnxruntime", "openvino"],
        ["openvino", "onnxruntime", "onnxruntime"],  # without weights: as Python chooses
    ]


@pytest.mark.parametrize("way", ["enhance_native", "threads_native"])
def test_an_argument_that_is_no_number(programs: Programs, artifacts: Path, tmp_path: Path, dark: Images, way: str) -> None:
    programs.fails(way, artifacts / "double.onnx", write_ppm(tmp_path / "in.ppm", dark), tmp_path, "many")


@every
def test_strides_and_colours_do_not_change_the_picture(programs: Programs, artifacts: Path, way: str) -> None:
    said = programs(f"exercise_{way}", "views", artifacts / "double.onnx")
    assert said.count(" same\n") == len(said.splitlines()) == 6, said


@every
def test_two_hundred_enhancers_leave_nothing_behind(programs: Programs, artifacts: Path, way: str) -> None:
    grown = int(programs(f"exercise_{way}", "cycles", artifacts / "double.onnx", "200"))
    assert grown < 20_000, f"the second hundred left {grown} KiB behind"


def test_an_application_with_its_own_interpreter(programs: Programs, artifacts: Path) -> None:
    site = Path(np.__file__).parents[1]
    said = programs("host_embedded", site, artifacts / "double.onnx").splitlines()
    assert said == [
        f"with the GIL: {double(np.ones(1, np.uint8))[0]}",
        "in threads: 4",
        "ArtifactError, and no Python error is left: 1",
        "answer: 42",
        "ClosedError: the Python interpreter that the enhancer lived in has ended",
        "done",
    ]


def test_a_python_without_retinexrt_is_named(programs: Programs, artifacts: Path, tmp_path: Path) -> None:
    empty = tmp_path / "python"
    call([sys.executable, "-m", "venv", "--without-pip", empty])
    python = str(empty / "bin" / "python")
    image = write_ppm(tmp_path / "in.ppm", np.zeros((16, 16, 3), np.uint8))
    said = programs.fails("enhance_embedded", artifacts / "double.onnx", image, tmp_path / "out.ppm", RETINEXRT_PYTHON=python)
    assert said.startswith("BackendUnavailableError: ")
    assert python in said


@pytest.mark.parametrize("data", [b"P5\n1 1\n255\n0", b"P6\n2 2\n255\n", b"P6\nx y\n255\n", b"P6\n16 16\n65535\n", b""])
def test_a_file_that_is_no_picture(programs: Programs, artifacts: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.ppm").write_bytes(data)
    said = programs.fails("enhance_native", artifacts / "double.onnx", tmp_path / "in.ppm", tmp_path / "out.ppm")
    assert said.startswith("InputError: ")


def test_the_gpu_example_says_that_there_is_no_gpu(programs: Programs, artifacts: Path, tmp_path: Path, dark: Images) -> None:
    if driver_found():
        pytest.skip("there is an NVIDIA driver here: tests/gpu runs the example")
    image = write_ppm(tmp_path / "in.ppm", dark)
    said = programs.fails("device_embedded", artifacts / "double.onnx", image, tmp_path / "out.ppm")
    assert said.startswith("BackendError: no GPU: ")
