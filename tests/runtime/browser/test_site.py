"""The static page's folder, without a browser: what is in it, and where ONNX Runtime Web comes from."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from runtime.browser import onnxruntime_web, site
from runtime.commands import web
from runtime.errors import InputError
from tests.runtime.conftest import make_info, write_artifact


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder that looks like the npm package's dist/."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in onnxruntime_web.FILES.values():
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def registry(tmp_path: Path, dist: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """npm's registry in a folder, with the package that the pinned hash belongs to."""
    package = tmp_path / "registry" / "onnxruntime-web" / "-" / f"onnxruntime-web-{onnxruntime_web.VERSION}.tgz"
    package.parent.mkdir(parents=True)
    with tarfile.open(package, "w:gz") as archive:
        archive.add(dist, "package/dist")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", (tmp_path / "registry").as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(onnxruntime_web, "SHA256", hashlib.sha256(package.read_bytes()).hexdigest())
    return package


def test_the_folder_holds_all_that_the_page_needs(tmp_path: Path, dist: Path, artifacts: Path) -> None:
    out = tmp_path / "site"
    size = site.build(out, ["dawn", str(artifacts / "blur.onnx"), str(artifacts / "whole.onnx")], dist)
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    assert size == sum(path.stat().st_size for path in files.values())
    dawn, blur, whole = json.loads(files["networks.json"].read_text())["networks"]
    assert dawn["files"] == ["networks/dawn.decide.onnx", "networks/dawn.render.onnx"] and dawn["parts"]["points"] > 0
    assert blur["files"] == ["networks/blur.onnx"] and blur["halo"] == 4 and blur["parts"] is None
    assert files["networks/blur.onnx"].read_bytes() == (artifacts / "blur.onnx").read_bytes()
    assert whole["halo"] is None and whole["most"] < blur["most"] and not whole["geometric"] and blur["geometric"]
    assert files["onnxruntime/wasm.js"].read_text() == "ort.wasm.min.mjs"
    for name in ("index.html", "page.js", "enhance.js", "worker.js", "service-worker.js"):
        assert name in files


def test_any_change_is_a_new_version_for_the_service_worker(tmp_path: Path, dist: Path, artifacts: Path) -> None:
    def listed(network: str) -> str:
        site.build(tmp_path / "site", [str(artifacts / network)], dist)
        return (tmp_path / "site" / "files.js").read_text()

    first = listed("blur.onnx")
    assert '"./"' in first and '"page.js"' in first and "service-worker" not in first and "onnxruntime" not in first
    assert listed("blur.onnx") == first
    assert listed("double.onnx") != first


def test_it_is_fetched_once_and_kept(tmp_path: Path, registry: Path) -> None:
    fetched = onnxruntime_web.of_registry()
    assert fetched["wasm.wasm"] == b"ort-wasm-simd-threaded.wasm" and set(fetched) == set(onnxruntime_web.FILES)
    registry.unlink()
    assert onnxruntime_web.of_registry() == fetched
    (kept,) = (tmp_path / "cache").rglob("*.tgz")
    kept.write_bytes(b"damaged")
    with pytest.raises(Exception, match="cannot fetch"):
        onnxruntime_web.of_registry()


def test_a_cache_that_cannot_be_written_costs_the_next_time_only(registry: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert set(onnxruntime_web.of_registry()) == set(onnxruntime_web.FILES)


def test_another_package_than_the_pinned_one_is_refused(
    tmp_path: Path, registry: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.write_bytes(registry.read_bytes() + b"x")
    assert web.main(["--out", str(tmp_path / "site"), "--network", str(artifacts / "double.onnx")]) == 2
    error = capsys.readouterr().err
    assert "sha256" in error and error.count("\n") == 1
    assert not (tmp_path / "site").exists() and not (tmp_path / "cache").exists()


def test_without_a_network_the_message_says_what_to_do(
    tmp_path: Path, registry: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.unlink()
    assert web.main(["--out", str(tmp_path / "site"), "--network", str(artifacts / "double.onnx")]) == 2
    error = capsys.readouterr().err
    assert "--runtime node_modules/onnxruntime-web/dist" in error and error.count("\n") == 1


def test_a_folder_that_is_not_the_packages(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--runtime is the folder dist"):
        onnxruntime_web.of_folder(tmp_path)


def test_tensors_are_refused(tmp_path: Path, dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = make_info()
    tensors = make_info(input=type(info.input)(**{**vars(info.input), "dtype": "float32"}))
    path = write_artifact(tmp_path / "tensors.onnx", tensors)
    assert web.main(["--out", str(tmp_path / "site"), "--network", str(path), "--runtime", str(dist)]) == 2
    assert "--tensor-io" in capsys.readouterr().err


def test_the_command_says_what_it_wrote(tmp_path: Path, dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert web.main(["-o", str(tmp_path / "site"), "--runtime", str(dist)]) == 0
    said = capsys.readouterr().out
    assert "dawn" in said and "http.server" in said
    names = [entry["name"] for entry in json.loads((tmp_path / "site" / "networks.json").read_text())["networks"]]
    assert names == ["dawn", "dawn-live"]


def test_a_network_named_twice_is_there_once(tmp_path: Path, dist: Path) -> None:
    site.build(tmp_path / "site", ["msrnet", "MSRNET"], dist)
    assert len(json.loads((tmp_path / "site" / "networks.json").read_text())["networks"]) == 1


def test_the_documentation_names_the_version_and_the_limits() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "web.md").read_text(encoding="utf-8")
    assert f"version {onnxruntime_web.VERSION} of the npm package" in text
    assert f"at most {site.MOST // 1_000_000} million pixels" in text and f"take {site.MOST_WHOLE // 1_000_000} million" in text
