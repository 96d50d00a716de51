"""Enhance a picture on a Triton server: uint8 picture in, uint8 picture out, nothing to convert on either side.

retinexrt triton pdn --repository models
docker run --rm -p 8001:8001 -v $PWD/models:/models nvcr.io/nvidia/tritonserver:RELEASE-py3 \\
        tritonserver --model-repository=/models
pip install 'tritonclient[grpc]' opencv-python
python examples/triton_client.py night.jpg bright.jpg
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import cv2
import numpy as np
import tritonclient.grpc as triton


def enhance(client: triton.InferenceServerClient, model: str, picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Enhance one picture, H x W x 3, or several of one size, N x H x W x 3; RGB, uint8. The same comes back."""
    batch = picture if picture.ndim == 4 else picture[None]
    image = triton.InferInput("image", batch.shape, "UINT8")
    image.set_data_from_numpy(np.ascontiguousarray(batch))
    answer = client.infer(model, [image], outputs=[triton.InferRequestedOutput("enhanced")])
    enhanced = answer.as_numpy("enhanced")
    return enhanced if picture.ndim == 4 else enhanced[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Enhance a picture on a Triton server.")
    parser.add_argument("picture")
    parser.add_argument("result")
    parser.add_argument("--model", default="pdn", help="name of the model's folder in the repository (default: %(default)s)")
    parser.add_argument("--server", default="localhost:8001", help="address of gRPC (default: %(default)s)")
    arguments = parser.parse_args()
    if not cv2.haveImageWriter(arguments.result):
        sys.exit(f"{arguments.result} has no ending that OpenCV writes")
    dark = cv2.imread(arguments.picture)
    if dark is None:
        sys.exit(f"{arguments.picture} is no picture that OpenCV reads")
    try:
        with triton.InferenceServerClient(arguments.server) as client:
            # Networks see RGB, and OpenCV reads BGR.
            bright = enhance(client, arguments.model, dark[..., ::-1])
    except triton.InferenceServerException as error:
        sys.exit(f"{arguments.server}: {error.message()}")
    if not cv2.imwrite(arguments.result, bright[..., ::-1]):
        sys.exit(f"cannot write {arguments.result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
