"""The headers that read artifacts and manifests, without any backend."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.artifact import ArtifactInfo, PlanInfo, Profile, locate, manifest
from runtime.artifact.onnx_metadata import read_info
from runtime.artifact.onnx_parts import cut_file
from runtime.errors import ArtifactError
from tests.runtime.conftest import double, make_info, write_artifact
from tests.runtime.cpp.conftest import Images, Programs, call, read_ppm, run, write_ppm

pytestmark = pytest.mark.slow


def test_an_onnx_file_describes_itself(programs: Programs, tmp_path: Path) -> None:
    path = write_artifact(
        tmp_path / "blur.onnx", make_info(network="blur", halo=4, multiple=4, title='a "title" \u00e9\U0001f319')
    )
    assert programs("formats", "onnx", path) == "blur|fp32|image|enhanced|4|4|-1|no plan\n"


@pytest.mark.parametrize("name", ["dawn", "dawn_fp16"])
def test_files_are_cut_as_in_python(programs: Programs, tmp_path: Path, name: str) -> None:
    path = locate.onnx_file("dawn").with_stem(name)
    programs("formats", "cut", path, tmp_path / "decide", tmp_path / "render")
    halves = cut_file(path, read_info(path))
    assert (tmp_path / "decide").read_bytes() == halves.decide
    assert (tmp_path / "render").read_bytes() == halves.render


def test_damaged_files_are_cut_or_refused(programs: Programs) -> None:
    whole, refused = re.findall(r"\d+", programs("formats", "damaged", locate.onnx_file("dawn"), "200"))
    assert int(whole) > 10 and int(refused) > 50


def test_a_precision_that_cpus_do_not_have_is_refused(programs: Programs, tmp_path: Path) -> None:
    path = write_artifact(tmp_path / "double.onnx", make_info(cpu_precision="fp8"))
    said = programs.fails("formats", "onnx", path)
    assert said.startswith("ArtifactError: ") and "cpu_precision" in said
    with pytest.raises(ArtifactError, match="cpu_precision"):
        read_info(path)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 1000])
def test_sha256(programs: Programs, tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * 4
    (tmp_path / "data").write_bytes(data[:size])
    assert programs("formats", "sha256", tmp_path / "data").strip() == hashlib.sha256(data[:size]).hexdigest()


def test_json(programs: Programs, tmp_path: Path) -> None:
    document = {"a": 'quote " slash \\ line \n', "b": -12.5e3, "c": None, "d": "\u00e9 \u20ac \U0001f319", "": 7}
    for escaped in (True, False):
        (tmp_path / "it.json").write_text(json.dumps(document, ensure_ascii=escaped, indent=2))
        found = programs("formats", "json", tmp_path / "it.json")
        assert found == f"=7\na={document['a']}\nb=-12500\nc=null\nd={document['d']}\n"


@pytest.fixture
def comma(tmp_path: Path) -> dict[str, str]:
    """The environment of a locale that writes decimals with a comma."""
    if shutil.which("localedef") is None:
        pytest.skip("localedef, which makes locales, is needed")
    made = run(["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"])
    environment = {"LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"}
    said = run([sys.executable, "-c", "import locale; locale.setlocale(locale.LC_ALL, ''); print(f'{0.5:n}')"], **environment)
    if said.stdout.strip() != "0,5":
        pytest.skip(f"no locale with a decimal comma could be made: {made.stderr}{said.stderr}")
    return environment


def test_numbers_do_not_follow_the_locale(programs: Programs, tmp_path: Path, comma: dict[str, str]) -> None:
    (tmp_path / "it.json").write_text('{"a": 1.5, "b": -2.25e-2}')
    assert call([programs.build("formats"), "json", tmp_path / "it.json"], **comma) == "a=1.5\nb=-0.0225\n"
    said = call([programs.build("formats"), "plan", write_plan(tmp_path), "tensorrt", "11.4.0.106", "8.9"], **comma)
    assert said == "double|fp32|image|enhanced|1|1|-1|tensorrt\n"


def test_folders_are_errors_of_ours(programs: Programs, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    plan.with_suffix(".json").unlink()
    plan.with_suffix(".json").mkdir()
    assert "ManifestError: " in (said := check(programs, plan)) and "double.json is a folder" in said
    folder = tmp_path / "folder.plan"
    folder.mkdir()
    assert check(programs, folder).startswith(f"ArtifactError: {folder} is a folder")
    assert programs.fails("formats", "onnx", tmp_path).startswith("ArtifactError: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a"}',
        '{"a": }',
        '{"a": 1,}',
        "[1, 2",
        "{} x",
        '{"a": "\\u12"}',
        '{"a": "\\ud800"}',
        '{"a": "b',
        "[" * 99,
        "1,5",
        "1.5.2",
        "-",
        "e5",
    ],
)
def test_broken_json_is_refused(programs: Programs, tmp_path: Path, text: str) -> None:
    (tmp_path / "it.json").write_text(text)
    found = run([programs.build("formats"), "json", tmp_path / "it.json"])
    assert found.returncode == 3
    assert "not a JSON document" in found.stdout


def write_plan(folder: Path, content: bytes = b"", **changes: object) -> Path:
    """A plan of the imitated TensorRT and its manifest."""
    profile = Profile((1, 16, 16, 3), (1, 33, 47, 3), (2, 64, 64, 3))
    plan = PlanInfo(
        flavour="tensorrt",
        version="11.4.0.106",
        sms=("8.6", "8.9"),
        gpu=None,
        cuda=None,
        driver=None,
        platform=manifest.this_platform(),
        profile=profile,
        digest="",
        plan_sha256="",
        plan_bytes=0,
        onnx_sha256="0" * 64,
        level=3,
        workspace_bytes=None,
        tf32=False,
        build_seconds=1.5,
    )
    plan = replace(plan, **changes)  # type: ignore[arg-type]
    info = make_info(plan=plan)
    digest = manifest.digest(info)
    content = content or b"imitated " + digest.encode()
    plan = replace(plan, digest=digest, plan_sha256=hashlib.sha256(content).hexdigest(), plan_bytes=len(content))
    path = folder / "double.plan"
    path.write_bytes(content)
    manifest.write(replace(info, plan=plan), path)
    return path


def check(programs: Programs, plan: Path, *host: str) -> str:
    return programs.fails("formats", "plan", plan, *(host or ("tensorrt", "11.4.0.106", "8.9")))


def test_a_whole_plan_is_accepted(programs: Programs, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    found = programs("formats", "plan", plan, "tensorrt", "11.4.0.106", "8.9")
    assert found == "double|fp32|image|enhanced|1|1|-1|tensorrt\n"


def test_a_changed_byte_is_found(programs: Programs, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    data = bytearray(plan.read_bytes())
    data[-1] ^= 1
    plan.write_bytes(bytes(data))
    assert check(programs, plan).startswith("ManifestError: ")


def test_a_changed_manifest_is_found(programs: Programs, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    path = plan.with_suffix(".json")
    path.write_text(path.read_text().replace('"8.6"', '"9.0"'))
    assert "was changed after it was written" in check(programs, plan)


def test_a_missing_manifest_and_a_missing_plan(programs: Programs, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    plan.with_suffix(".json").unlink()
    assert check(programs, plan).startswith("ManifestError: ")
    assert check(programs, tmp_path / "other.plan").startswith("ArtifactError: ")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (("tensorrt_rtx", "11.4.0.106", "8.9"), "built with tensorrt, found tensorrt_rtx"),
        (("tensorrt", "11.4.0.107", "8.9"), "found version 11.4.0.107"),
        (("tensorrt", "11.4.0.106", "9.0"), "the GPU here has 9.0"),
    ],
)
def test_another_host_is_refused(programs: Programs, tmp_path: Path, host: tuple[str, ...], words: str) -> None:
    found = check(programs, write_plan(tmp_path), *host)
    assert found.startswith("IncompatiblePlanError: ")
    assert words in found
    assert "build it again with: retinexrt build double" in found


def test_another_platform_is_refused(programs: Programs, tmp_path: Path) -> None:
    assert "built for plan9-vax" in check(programs, write_plan(tmp_path, platform="plan9-vax"))


def test_the_tensorrt_example_enhances(programs: Programs, tmp_path: Path, dark: Images) -> None:
    out = tmp_path / "out.ppm"
    said = programs("tensorrt_plan_imitated", write_plan(tmp_path), write_ppm(tmp_path / "in.ppm", dark), out)
    assert said == "Doubles brightness on tensorrt 11.4.0.106\n"
    np.testing.assert_array_equal(read_ppm(out), double(dark))


def test_the_lean_example_runs_version_compatible_plans_alone(programs: Programs, tmp_path: Path, dark: Images) -> None:
    image, out = write_ppm(tmp_path / "in.ppm", dark), tmp_path / "out.ppm"
    found = programs.fails("tensorrt_plan_imitated_lean", write_plan(tmp_path), image, out)
    assert found.startswith("IncompatiblePlanError: the plan needs the whole of TensorRT, found its lean runtime")
    assert found.strip().endswith("--version-compatible")
    plan = write_plan(tmp_path, version="11.0.0.1", version_compatible=True)
    said = programs("tensorrt_plan_imitated_lean", plan, image, out)
    assert said == "Doubles brightness on tensorrt (lean) 11.4.0.106\n"
    np.testing.assert_array_equal(read_ppm(out), double(dark))


@pytest.mark.parametrize(
    ("content", "changes", "failure", "words"),
    [
        (b"", {"sms": ("9.0",)}, "", "IncompatiblePlanError: the plan was built for compute capability 9.0"),
        (b"imitated other", {}, "", "ManifestError: "),
        (b"something else", {}, "", "BackendError: TensorRT refuses"),
        (b"", {"profile": Profile((1, 16, 16, 3), (1, 16, 16, 3), (1, 32, 32, 3))}, "", "outside of the plan's profile"),
        (b"", {}, "malloc", "BackendError: GPU memory: out of memory"),
        (b"", {}, "context", "BackendError: TensorRT creates no context"),
        (b"", {}, "enqueue", "BackendError: TensorRT does not run"),
    ],
)
def test_the_tensorrt_example_refuses(
    programs: Programs, tmp_path: Path, dark: Images, content: bytes, changes: dict[str, object], failure: str, words: str
) -> None:
    plan = write_plan(tmp_path, content, **changes)
    image = write_ppm(tmp_path / "in.ppm", dark)
    out = tmp_path / "out.ppm"
    assert words in programs.fails("tensorrt_plan_imitated", plan, image, out, IMITATED_FAILURE=failure)
    assert not out.exists()


def test_manifests_are_sealed_as_in_python(programs: Programs, tmp_path: Path) -> None:
    plan = write_plan(tmp_path, gpu='a "GPU", {odd}\n[name]')
    assert isinstance(manifest.read(plan), ArtifactInfo)
    assert programs("formats", "plan", plan, "tensorrt", "11.4.0.106", "8.6").startswith("double|")
