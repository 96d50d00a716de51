"""A plan is believed only when manifest, bytes, flavour, version and GPU all agree, in that order."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.artifact import ArtifactInfo, manifest
from runtime.artifact.manifest import Host
from runtime.errors import ArtifactError, IncompatiblePlanError, ManifestError, RetinexError
from tests.support.plans import write_plan

HERE = Host("tensorrt", "11.4.0.106", "8.9", manifest.this_platform())
BUILD = "retinexrt build double"


def verify(plan: Path, host: Host = HERE) -> tuple[ArtifactInfo, bytes]:
    return manifest.verify(plan, lambda: host)


def refused(plan: Path, kind: type[RetinexError], *words: str, host: Host = HERE) -> None:
    """`plan` is refused with an error of exactly this kind that holds these words."""
    with pytest.raises(RetinexError) as caught:
        verify(plan, host)
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)


def test_a_plan_that_fits_is_returned_whole(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    info, data = verify(plan)
    assert data == plan.read_bytes()
    assert info.network == "double"
    assert info.plan is not None
    manifest.check_name(plan, info, data.decode().split()[-1])


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    data = bytearray(plan.read_bytes())
    data[-1] ^= 1
    plan.write_bytes(data)
    refused(plan, ManifestError, "SHA-256", "was changed", BUILD)


def test_a_plan_cut_short_is_found(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    plan.write_bytes(plan.read_bytes()[:-1])
    refused(plan, ManifestError, "bytes", "cut short", BUILD)


def test_swapped_plans_are_found(tmp_path: Path) -> None:
    first, second = write_plan(tmp_path, "a_fp16"), write_plan(tmp_path, "b_fp16", version="11.4.0.999")
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    refused(first, ManifestError, "belongs to another manifest", BUILD)


def test_a_missing_manifest_names_the_command(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    manifest.manifest_path(plan).unlink()
    refused(plan, ManifestError, "double_fp16.json is missing", BUILD)


def test_a_renamed_plan_has_lost_its_manifest(tmp_path: Path) -> None:
    renamed = tmp_path / "other_fp16.plan"
    write_plan(tmp_path).rename(renamed)
    refused(renamed, ManifestError, "other_fp16.json is missing", "retinexrt build other")


def test_a_plan_renamed_with_its_manifest_is_the_same_plan(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    shutil.copy(manifest.manifest_path(plan), tmp_path / "copy.json")
    shutil.copy(plan, tmp_path / "copy.plan")
    assert verify(tmp_path / "copy.plan") == verify(plan)


def test_a_missing_plan_names_the_command(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    plan.unlink()
    refused(plan, ArtifactError, "does not exist", BUILD)


def change(plan: Path, edit: dict[str, Any], inside: bool = False, reseal: bool = False) -> None:
    """Rewrite fields of a manifest, of its `plan` with `inside`; with `reseal` as if they had been written so."""
    path = manifest.manifest_path(plan)
    document = json.loads(path.read_text())
    (document["plan"] if inside else document).update(edit)
    text = json.dumps(document, sort_keys=True, indent=2) + "\n"
    path.write_text(manifest.to_text(ArtifactInfo.from_json(text)) if reseal else text)


def test_a_newer_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    change(plan, {"schema": 2, "colours": "CMYK"})
    refused(plan, ManifestError, "newer retinexrt (schema 2", "pip install -U retinexrt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a JSON document"),
        ("[]", "expected a JSON object"),
        ('{"name": "somebody else\'s", "version": 3}', "unknown field"),
        ("{}", "is missing"),
        ('{"schema": ', "not a JSON document"),
    ],
)
def test_a_foreign_manifest_is_refused(tmp_path: Path, text: str, words: str) -> None:
    plan = write_plan(tmp_path)
    manifest.manifest_path(plan).write_text(text)
    refused(plan, ManifestError, words, BUILD)


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    manifest.manifest_path(plan).write_bytes(b"\xff\xfe\x00")
    refused(plan, ManifestError, "not UTF-8", BUILD)


def test_a_manifest_edited_by_hand_is_refused(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    change(plan, {"sms": ["8.9", "9.0"]}, inside=True)
    refused(plan, ManifestError, "was changed after it was written", BUILD)


def test_a_manifest_that_contradicts_its_digest_is_refused(tmp_path: Path) -> None:
    """Even sealed again, a changed manifest no longer has the digest that the plan carries."""
    plan = write_plan(tmp_path)
    change(plan, {"version": "11.4.0.107"}, inside=True, reseal=True)
    refused(plan, ManifestError, "contradicts itself", BUILD)


def test_an_onnx_description_is_no_manifest(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    change(plan, {"plan": None})
    refused(plan, ManifestError, "describes no plan", BUILD)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (
            Host("tensorrt_rtx", "11.4.0.106", "8.9", HERE.platform),
            ("built with tensorrt, found tensorrt_rtx", "--flavour tensorrt_rtx"),
        ),
        (Host("tensorrt", "11.4.1.5", "8.9", HERE.platform), ("built with tensorrt 11.4.0.106, found version 11.4.1.5",)),
        (Host("tensorrt", "11.4.0.106", "9.0", HERE.platform), ("built for compute capability 8.9", "has 9.0")),
        (Host("tensorrt", "11.4.0.106", "8.9", "win32-AMD64"), ("this is win32-AMD64",)),
    ],
)
def test_another_host_is_incompatible(tmp_path: Path, host: Host, words: tuple[str, ...]) -> None:
    refused(write_plan(tmp_path), IncompatiblePlanError, BUILD, *words, host=host)


def test_rtx_plans_are_portable_between_systems(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, flavour="tensorrt_rtx", version="1.7.1.116", sms=("8.6", "8.9"))
    verify(plan, Host("tensorrt_rtx", "1.7.1.116", "8.6", "win32-AMD64"))


@pytest.mark.parametrize("sm", ["12.2", "13.0"])
def test_rtx_plans_run_on_gpus_newer_than_its_targets(tmp_path: Path, sm: str) -> None:
    """TensorRT-RTX calls them suboptimal; TensorRT's plans and those for Turing it is not so with."""
    host = Host("tensorrt_rtx", "1.7.1.116", sm, HERE.platform)
    verify(write_plan(tmp_path, flavour="tensorrt_rtx", version="1.7.1.116", sms=("8.9", "12.0")), host)
    turing = write_plan(tmp_path, "turing_fp16", flavour="tensorrt_rtx", version="1.7.1.116", sms=("7.5",))
    refused(turing, IncompatiblePlanError, BUILD, "built for compute capability 7.5", host=host)
    refused(write_plan(tmp_path), IncompatiblePlanError, BUILD, f"has {sm}", host=replace(HERE, sm=sm))


@pytest.mark.parametrize(("sm", "words"), [("8.7", "8.7 (Jetson Orin)"), ("9.0", "9.0"), ("10.0", "10.0")])
def test_what_rtx_cannot_run_on_is_sent_to_tensorrt(tmp_path: Path, sm: str, words: str) -> None:
    plan = write_plan(tmp_path, flavour="tensorrt_rtx", version="1.7.1.116", sms=("8.6", "8.9"))
    words = f"does not support compute capability {words}; TensorRT and ONNX Runtime CUDA do"
    refused(plan, IncompatiblePlanError, words, "--flavour tensorrt", host=Host("tensorrt_rtx", "1.7.1.116", sm, HERE.platform))


COMPATIBLE: dict[str, Any] = {"version": "11.1.0.10", "version_compatible": True}


@pytest.mark.parametrize("version", ["11.1.0.10", "11.4.0.106", "12.0.1.1"])
@pytest.mark.parametrize("lean", [False, True])
def test_a_version_compatible_plan_runs_on_later_versions(tmp_path: Path, version: str, lean: bool) -> None:
    info, _ = verify(write_plan(tmp_path, **COMPATIBLE), replace(HERE, version=version, lean=lean))
    assert info.plan is not None and info.plan.version_compatible


def test_no_plan_runs_on_an_earlier_version_nor_another_on_the_lean_runtime(tmp_path: Path) -> None:
    words = "built with tensorrt 11.1.0.10 and runs on that or a later version, found 11.0.9.9"
    compatible = write_plan(tmp_path, **COMPATIBLE)
    refused(compatible, IncompatiblePlanError, BUILD, words, "--version-compatible", host=replace(HERE, version="11.0.9.9"))
    lean = replace(HERE, lean=True)
    refused(write_plan(tmp_path), IncompatiblePlanError, "lean runtime, which runs plans that are built with", host=lean)


def test_manifests_written_before_there_was_a_choice_are_the_same_bytes(tmp_path: Path) -> None:
    text = manifest.manifest_path(write_plan(tmp_path)).read_text()
    assert "version_compatible" not in text and manifest.to_text(manifest.read(tmp_path / "double_fp16.plan")) == text


def test_the_host_is_looked_for_last(tmp_path: Path) -> None:
    """A damaged plan is refused before TensorRT is imported."""
    plan = write_plan(tmp_path)
    plan.write_bytes(b"x" * len(plan.read_bytes()))

    def find_host() -> Host:
        raise AssertionError("looked for TensorRT before the plan was hashed")

    with pytest.raises(ManifestError):
        manifest.verify(plan, find_host)


def test_the_name_inside_binds_plan_and_manifest(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    info, _ = verify(plan)
    with pytest.raises(ManifestError, match="were not built together"):
        manifest.check_name(plan, info, "Unnamed Network 0")


def test_a_trusted_plan_has_no_name_of_ours(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, inside="Unnamed Network 0", digest=None)
    info, _ = verify(plan)
    manifest.check_name(plan, info, "Unnamed Network 0")


def test_the_digest_is_of_what_is_known_before_the_build(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    one, _ = verify(write_plan(first))
    two, _ = verify(write_plan(second, build_seconds=99.0))
    assert manifest.digest(one) == manifest.digest(two)
    other, _ = verify(write_plan(second, "other_fp16", level=5))
    assert manifest.digest(one) != manifest.digest(other)


def test_a_hundred_random_corruptions_are_all_refused(tmp_path: Path) -> None:
    """Bytes changed, removed, added or moved, in the plan or in the manifest."""
    random = np.random.default_rng(11)
    plan = write_plan(tmp_path)
    paths = (plan, manifest.manifest_path(plan))
    originals = [path.read_bytes() for path in paths]
    for attempt in range(100):
        which = attempt % 2
        data = bytearray(originals[which])
        at = int(random.integers(len(data)))
        kind = int(random.integers(4))
        if kind == 0:
            data[at] ^= int(random.integers(1, 256))
        elif kind == 1:
            del data[at : at + int(random.integers(1, 16))]
        elif kind == 2:
            data[at:at] = random.integers(0, 256, int(random.integers(1, 16)), dtype=np.uint8).tobytes()
        else:
            other = next(i for i in range(len(data)) if data[i] != data[at])
            data[at], data[other] = data[other], data[at]
        assert bytes(data) != originals[which]
        paths[which].write_bytes(data)
        with pytest.raises(ManifestError):
            verify(plan)
        paths[which].write_bytes(originals[which])
    verify(plan)
