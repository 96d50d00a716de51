"""OpenVINO as a contender, without this project around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino

from benchmarks.harness.contenders import KINDS, Contender, OpenContender, onnx_path, pictures_of
from benchmarks.harness.timing import timed
from runtime.artifact import ArtifactInfo
from runtime.images import Images


def open_contender(contender: Contender, info: ArtifactInfo) -> OpenContender:
    """Compile the graph for one shape."""
    core = openvino.Core()
    model = core.read_model(str(onnx_path(contender)))
    model.reshape([contender.batch, contender.height, contender.width, 3])
    asked = KINDS[contender.kind].precision
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        # OpenVINO's own choice on a CPU with the instructions is bf16.
        "INFERENCE_PRECISION_HINT": "bf16" if asked == "bf16" else "f32",
    }
    if contender.threads is not None:
        config["INFERENCE_NUM_THREADS"] = contender.threads
    request = core.compile_model(model, "CPU", config).create_infer_request()

    def enhance(pictures: Images) -> Images:
        request.infer({0: pictures}, share_inputs=True)
        return np.asarray(request.get_output_tensor(0).data)

    images = pictures_of(contender)
    run = timed(lambda: enhance(images))
    label = "OpenVINO, bare" + (", bf16" if asked == "bf16" else "")
    return OpenContender(contender, info, label, contender.precision(info), "cpu", run, enhance)
