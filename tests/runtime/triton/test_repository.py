"""Model repositories, read with Triton's own protobuf, run with ONNX Runtime, and asked by the example's client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
import onnxruntime as ort
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from runtime import Enhancer
from runtime.artifact import PlanInfo, Profile, locate, read_info
from runtime.artifact.manifest import digest, manifest_path, to_text
from runtime.commands.main import main
from runtime.errors import ArtifactError, IncompatiblePlanError, InputError, ManifestError
from runtime.files import sha256
from runtime.triton.pbtxt import Word
from runtime.triton.pbtxt import to_text as to_pbtxt
from runtime.triton.repository import Options, write
from tests.runtime.conftest import make_info, write_artifact

ROOT = Path(__file__).resolve().parents[3]


def read(model: Path) -> Any:
    """A model's configuration; a field that Triton does not know is an error."""
    return text_format.Parse((model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def plan(path: Path, sm: str = "8.6", largest: tuple[int, ...] = (4, 1088, 1920, 3), **changes: Any) -> Path:
    """A file that passes for a plan: nothing here loads one."""
    path.write_bytes(f"a plan for {sm}".encode())
    profile = Profile((1, 64, 64, 3), (1, 400, 600, 3), largest)
    about = PlanInfo(
        flavour="tensorrt", version="11.4.0.106", sms=(sm,), gpu=f"a GPU of {sm}", cuda="13", driver="615",
        platform="linux-x86_64", profile=profile, digest="", plan_sha256=sha256(path), plan_bytes=path.stat().st_size,
        onnx_sha256=64 * "1", level=3, workspace_bytes=None, tf32=False, build_seconds=1.0,
    )  # fmt: skip
    info = make_info(network="double", precision="fp16", plan=replace(about, **changes))
    assert info.plan is not None
    info = replace(info, plan=replace(info.plan, digest=digest(info)))
    manifest_path(path).write_text(to_text(info))
    return path


def test_a_network_of_any_size(tmp_path: Path) -> None:
    (model,) = write(["pdn"], tmp_path / "models")
    config = read(tmp_path / "models" / "pdn")
    assert (model.name, model.version, model.new) == ("pdn", 1, True)
    assert (config.name, config.backend, config.max_batch_size) == ("pdn", "onnxruntime", 8)
    for tensor, name in ((config.input[0], "image"), (config.output[0], "enhanced")):
        assert (tensor.name, list(tensor.dims), tensor.data_type) == (name, [-1, -1, 3], model_config_pb2.TYPE_UINT8)
    # Only pictures of one size can share a batch, so waiting for others would be a delay and nothing else.
    assert not config.HasField("dynamic_batching")
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO
    assert [warm.batch_size for warm in config.model_warmup] == [1, 8]
    assert list(config.model_warmup[0].inputs["image"].dims) == [400, 600, 3]
    assert config.parameters["retinexrt.trained"].string_value == "true"


def test_the_model_that_it_holds_gives_the_enhancers_bytes(tmp_path: Path) -> None:
    write(["pdn"], tmp_path)
    config = read(tmp_path / "pdn")
    file = tmp_path / "pdn" / "1" / config.default_model_filename
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).integers(0, 60, (2, 37, 51, 3), dtype=np.uint8)
    (found,) = session.run([config.output[0].name], {config.input[0].name: images})
    assert np.array_equal(found, Enhancer("pdn", backend="onnxruntime")(images))


def test_a_fixed_size_is_batched(tmp_path: Path) -> None:
    options = Options(size=(400, 600), batch=16, instances=2, kind="gpu", delay=500)
    (model,) = write(["pdn"], tmp_path, options)
    config = read(tmp_path / "pdn_400x600")
    assert model.name == config.name == "pdn_400x600"
    assert list(config.input[0].dims) == list(config.output[0].dims) == [400, 600, 3]
    assert config.max_batch_size == 16
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 16]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    group = config.instance_group[0]
    assert (group.count, group.kind) == (2, model_config_pb2.ModelInstanceGroup.KIND_GPU)
    assert [warm.batch_size for warm in config.model_warmup] == [1, 16]


def test_a_file_of_one_shape_says_so(tmp_path: Path) -> None:
    info = make_info()
    fixed = replace(info.input, shape=(1, 64, 96, 3))
    path = write_artifact(tmp_path / "one.onnx", replace(info, input=fixed, output=replace(fixed, name="enhanced")))
    write([str(path)], tmp_path / "models")
    config = read(tmp_path / "models" / "double")
    assert config.max_batch_size == 0 and list(config.input[0].dims) == [1, 64, 96, 3]
    assert list(config.model_warmup[0].inputs["image"].dims) == [1, 64, 96, 3] and config.model_warmup[0].batch_size == 1


def test_a_plan_of_a_graph_of_one_shape_has_no_batches(tmp_path: Path) -> None:
    """Its first dimension is a number, and Triton wants one that is free where it batches."""
    path = plan(tmp_path / "one.plan", largest=(1, 1088, 1920, 3))
    info = read_info(path)
    assert info.plan is not None
    fixed = replace(info, input=replace(info.input, shape=(1, "H", "W", 3)))
    manifest_path(path).write_text(to_text(replace(fixed, plan=replace(info.plan, digest=digest(fixed)))))
    write([str(path)], tmp_path / "models")
    config = read(tmp_path / "models" / "double_fp16_plan")
    assert config.max_batch_size == 0 and list(config.input[0].dims) == [1, -1, -1, 3]
    assert list(config.model_warmup[0].inputs["image"].dims) == [1, 400, 600, 3]


def test_plans_for_several_gpus_are_one_model(tmp_path: Path) -> None:
    plans = [plan(tmp_path / "a.plan", "8.6"), plan(tmp_path / "b.plan", "8.9")]
    (model,) = write([str(path) for path in plans], tmp_path / "models")
    folder = tmp_path / "models" / "double_fp16_plan"
    config = read(folder)
    assert model.name == config.name and config.backend == "tensorrt"
    files = {"8.6": "model_sm86.plan", "8.9": "model_sm89.plan"}
    assert dict(config.cc_model_filenames) == files
    for path, name in zip(plans, files.values(), strict=True):
        assert (folder / "1" / name).read_bytes() == path.read_bytes()
    assert config.max_batch_size == 4
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert config.parameters["retinexrt.tensorrt"].string_value == "11.4.0.106"


def test_another_file_becomes_the_next_version(tmp_path: Path) -> None:
    path = write_artifact(tmp_path / "double.onnx", make_info())
    assert [model.version for model in write([str(path)], tmp_path / "models")] == [1]
    assert [(model.version, model.new) for model in write([str(path)], tmp_path / "models")] == [(1, False)]
    write_artifact(path, make_info(), around=1)
    assert [(model.version, model.new) for model in write([str(path)], tmp_path / "models")] == [(2, True)]
    folder = tmp_path / "models" / "double"
    assert sorted(entry.name for entry in folder.iterdir()) == ["1", "2", "config.pbtxt"]
    assert (folder / "2" / "model.onnx").read_bytes() == path.read_bytes() != (folder / "1" / "model.onnx").read_bytes()


def test_what_a_server_could_not_run_is_refused(tmp_path: Path) -> None:
    models = tmp_path / "models"

    def refused(error: type[Exception], text: str, *paths: Path | str, **options: Any) -> None:
        with pytest.raises(error, match=text):
            write([str(path) for path in paths], models, Options(**options))

    good = plan(tmp_path / "good.plan", "8.6")
    refused(IncompatiblePlanError, "Triton loads plans of tensorrt", plan(tmp_path / "rtx.plan", flavour="tensorrt_rtx"))
    changed = plan(tmp_path / "changed.plan")
    changed.write_bytes(b"another")
    refused(ManifestError, "not the plan that its manifest", changed)
    refused(InputError, "both for compute capability 8.6", good, plan(tmp_path / "twin.plan", "8.6"))
    refused(InputError, "built with TensorRT", good, plan(tmp_path / "old.plan", "8.9", version="10.14.1.48"))
    refused(InputError, "other sizes", good, plan(tmp_path / "small.plan", "8.9", largest=(1, 400, 600, 3)))
    refused(InputError, "would both become", "pdn", locate.find("pdn.onnx") or "")
    refused(InputError, "takes a height of 64 to 1088", good, size=(2000, 600))
    refused(InputError, "at most 4 pictures", good, batch=5)
    refused(InputError, "--kind cpu", good, kind="cpu")
    refused(InputError, "--instances is at least 1", "pdn", instances=0)
    tensors = make_info(input=replace(make_info().input, dtype="float32"))
    refused(ArtifactError, "not pictures", write_artifact(tmp_path / "tensors.onnx", tensors))
    refused(ArtifactError, "no artifact of a network", "absent")
    refused(ArtifactError, "expected a name", write_artifact(tmp_path / "out.onnx", make_info(network="../outside")))
    assert not models.exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["triton", "pdn", "msrnet", "--repository", str(tmp_path / "models"), "--size", "64x96", "--batch", "2"]
    assert main(words) == 0
    assert capsys.readouterr().err.count("version 1 written") == 2
    assert read(tmp_path / "models" / "msrnet_64x96").max_batch_size == 2
    assert main(["triton", "pdn", "--repository", str(tmp_path), "--size", "64"]) == 2
    assert capsys.readouterr().err == "retinexrt: --size takes HxW, for example 400x600, found '64'\n"


def test_text_survives_the_format() -> None:
    value = 'quote " backslash \\ line\nümlaut'
    text = to_pbtxt({"name": value, "max_batch_size": 3, "backend": None, "instance_group": [{"kind": Word("KIND_CPU")}] * 2})
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert config.name == value and len(config.instance_group) == 2 and text.isascii()


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers requests as Triton does: checks them against the configuration, and runs the model that it names."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        model = self.repository / request.model_name
        if not model.is_dir():
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.model_name}' is not found")
        config = read(model)
        tensor = request.inputs[0]
        assert tensor.name == config.input[0].name and tensor.datatype == "UINT8"
        assert tensor.shape[0] <= config.max_batch_size and len(tensor.shape) == 1 + len(config.input[0].dims)
        images = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(tuple(tensor.shape))
        session = ort.InferenceSession(str(model / "1" / config.default_model_filename), providers=["CPUExecutionProvider"])
        (found,) = session.run([request.outputs[0].name], {tensor.name: images})
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        answer.outputs.add(name=request.outputs[0].name, datatype="UINT8", shape=list(found.shape))
        answer.raw_output_contents.append(found.tobytes())
        return answer


@pytest.fixture
def server(tmp_path: Path) -> Generator[str]:
    """The address of a server with pdn."""
    write(["pdn"], tmp_path / "models")
    made = grpc.server(futures.ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Server(tmp_path / "models"), made)
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    yield f"127.0.0.1:{port}"
    made.stop(None)


def test_the_clients_example(server: str, tmp_path: Path) -> None:
    dark = np.random.default_rng(1).integers(0, 60, (48, 70, 3), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "night.png"), dark)
    command = [sys.executable, str(ROOT / "examples" / "triton_client.py"), str(tmp_path / "night.png")]
    done = subprocess.run(
        [*command, str(tmp_path / "bright.png"), "--server", server], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = Enhancer("pdn", backend="onnxruntime", color="bgr")(dark)
    assert np.array_equal(cv2.imread(str(tmp_path / "bright.png")), expected)
    ending = subprocess.run([*command, str(tmp_path / "bright")], capture_output=True, text=True, check=False)
    assert ending.returncode == 1 and ending.stderr.endswith("bright has no ending that OpenCV writes\n")
    wrong = [*command, str(tmp_path / "x.png"), "--server", server, "--model", "absent"]
    done = subprocess.run(wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == f"{server}: Request for unknown model: 'absent' is not found\n"
