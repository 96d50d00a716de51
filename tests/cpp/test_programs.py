"""The example programs and both implementations: the same bytes as Python, and an exception for every mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import Enhancer, RetinexError
from runtime.cuda import driver_found
from tests.cpp.conftest import Images, Programs, call, read_ppm, write_ppm
from tests.runtime.conftest import double, make_info, write_artifact

pytestmark = pytest.mark.slow

both = pytest.mark.parametrize("way", ["native", "embedded"])


def backend_of(said: str) -> str:
    """The backend that a program says it ran on."""
    return said.split(" on ")[-1].strip()


def check_same(said: str, out: Path, artifact: Path, image: Images) -> None:
    """What a program wrote is what Python computes on the same artifact and backend, to the byte."""
    with Enhancer(artifact, backend=backend_of(said)) as enhancer:
        np.testing.assert_array_equal(read_ppm(out), enhancer(image))


@both
@pytest.mark.parametrize("name", ["pdn.onnx", "pdn_fp16.onnx"])
def test_a_network_gives_the_bytes_of_python(
    programs: Programs, exported: Callable[[str], Path], tmp_path: Path, dark: Images, way: str, name: str
) -> None:
    artifact, out = exported("pdn") / name, tmp_path / "out.ppm"
    said = programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", dark), out)
    assert backend_of(said) == "openvino" or way == "embedded"
    check_same(said, out, artifact, dark)


@both
def test_a_photograph_gives_the_bytes_of_python(
    programs: Programs, exported: Callable[[str], Path], dark_photographs: list[Images], tmp_path: Path, way: str
) -> None:
    image = dark_photographs[0]
    artifact, out = exported("pdn") / "pdn.onnx", tmp_path / "out.ppm"
    said = programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", image), out)
    check_same(said, out, artifact, image)


@both
@pytest.mark.parametrize(("name", "shape"), [("blur", (1100, 1950)), ("blur", (16, 140000)), ("light", (1500, 1450))])
def test_large_pictures_are_treated_as_in_python(
    programs: Programs, artifacts: Path, tmp_path: Path, way: str, name: str, shape: tuple[int, int]
) -> None:
    artifact = artifacts / f"{name}.onnx"
    image = np.random.default_rng(3).integers(0, 120, (*shape, 3), dtype=np.uint8)
    out = tmp_path / "out.ppm"
    said = programs(f"enhance_{way}", artifact, write_ppm(tmp_path / "in.ppm", image), out)
    check_same(said, out, artifact, image)


def test_an_artifact_of_a_fixed_size_cuts_as_in_python(programs: Programs, tmp_path: Path) -> None:
    info = make_info(network="blur", halo=4, multiple=4)
    sizes = (1, 64, 96, 3)
    info = replace(info, input=replace(info.input, shape=sizes), output=replace(info.output, shape=sizes))
    artifact = write_artifact(tmp_path / "fixed.onnx", info, around=4)
    image = np.random.default_rng(3).integers(0, 120, (120, 184, 3), dtype=np.uint8)
    source, out = write_ppm(tmp_path / "in.ppm", image), tmp_path / "out.ppm"
    try:
        with Enhancer(artifact, backend="openvino") as enhancer:
            wanted = enhancer(image)
    except RetinexError as error:
        assert str(error) in programs.fails("enhance_native", artifact, source, out)
        return
    programs("enhance_native", artifact, source, out)
    np.testing.assert_array_equal(read_ppm(out), wanted)


@both
def test_eight_threads_share_one_enhancer(
    programs: Programs, exported: Callable[[str], Path], tmp_path: Path, dark: Images, way: str
) -> None:
    artifact = exported("pdn") / "pdn.onnx"
    said = programs(f"threads_{way}", artifact, write_ppm(tmp_path / "in.ppm", dark), tmp_path)
    for brighter in range(8):
        check_same(said, tmp_path / f"{brighter}.ppm", artifact, dark + np.uint8(brighter))


@both
def test_threads_report_a_mistake_as_an_exception(programs: Programs, artifacts: Path, tmp_path: Path, way: str) -> None:
    image = write_ppm(tmp_path / "in.ppm", np.zeros((8, 47, 3), np.uint8))
    said = programs.fails(f"threads_{way}", artifacts / "double.onnx", image, tmp_path)
    assert said == "InputError: the picture is 8x47 (HxW), double takes 16x16 and up\n"


@both
def test_the_camera_loop_gives_the_bytes_of_python(programs: Programs, artifacts: Path, tmp_path: Path, way: str) -> None:
    out = tmp_path / "last.ppm"
    said = programs(f"camera_{way}", artifacts / "blur.onnx", "synthetic", "5", out)
    assert said.startswith("5 frames, ")
    y, x = np.mgrid[8:108, 8:168]
    blue, green, red = (x + 4) % 40, y % 50, (x + y) % 60
    check_same(said, out, artifacts / "blur.onnx", np.stack([red, green, blue], -1).astype(np.uint8))


@both
def test_the_camera_loop_names_a_camera_that_is_not_there(programs: Programs, artifacts: Path, way: str) -> None:
    said = programs.fails(f"camera_{way}", artifacts / "double.onnx", "no-film.avi")
    assert "InputError: no camera or film no-film.avi" in said


EXPECTED = {
    "absent": "ArtifactError",
    "damaged": "ArtifactError",
    "foreign": "ArtifactError",
    "newer": "ArtifactError",
    "tensors": "ArtifactError",
    "not a model": "ArtifactError",
    "negative threads": "InputError",
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


@both
def test_every_mistake_is_an_exception(programs: Programs, artifacts: Path, way: str) -> None:
    found = errors(programs, way, artifacts)
    assert {name: kind for name, (kind, _) in found.items() if name in EXPECTED} == EXPECTED
    backend = "BackendUnavailableError" if way == "native" else "InputError"
    assert found["unknown backend"][0] == backend
    assert all(text for name, (_, text) in found.items() if name != "double")


@pytest.mark.parametrize("name", ["absent", "foreign", "newer", "tensors"])
def test_native_speaks_as_python_does(programs: Programs, artifacts: Path, name: str) -> None:
    with pytest.raises(RetinexError) as raised:
        Enhancer(artifacts / f"{name}.onnx")
    assert errors(programs, "native", artifacts)[name] == (type(raised.value).__name__, str(raised.value))


@both
def test_strides_and_colours_do_not_change_the_picture(programs: Programs, artifacts: Path, way: str) -> None:
    said = programs(f"exercise_{way}", "views", artifacts / "double.onnx")
    assert said.count(" same\n") == len(said.splitlines()) == 6, said


@both
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
