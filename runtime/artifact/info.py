"""ArtifactInfo: the description that every artifact carries.

One dataclass, `ArtifactInfo`, travels with every artifact: export writes it into the ONNX file (one JSON document under
the metadata key `retinexrt`), engines complete it in the manifest beside a plan, and the runtime reads it. Nothing that
is written here is known anywhere else in the runtime.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from runtime.artifact.contract import Rule
from runtime.artifact.decode import decode_fields
from runtime.errors import ArtifactError, NewerSchemaError

#: Raised by one whenever a reader of the old schema would misread a new document.
SCHEMA = 1

#: The key of the JSON document among an ONNX file's metadata properties.
METADATA_KEY = "retinexrt"

#: No picture smaller than this, in either direction, is accepted by any artifact.
MINIMUM_SIZE = 16

#: No network's context, nor what its sides are multiples of, comes near.
_MOST_CONTEXT = 65536

Precision = Literal["fp32", "fp16"]

#: Precision of convolutions on a CPU that has the choice.
CpuPrecision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class TensorInfo:
    """The input or the output of a graph."""

    name: str
    dtype: str
    #: A name stands for a dynamic dimension.
    shape: tuple[int | str, ...]
    layout: Literal["NHWC", "NCHW"]
    #: The values that black and white have.
    black: float
    white: float


@dataclass(frozen=True)
class Profile:
    """The smallest, the typical and the largest input shape (N, H, W, 3) of a plan."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


@dataclass(frozen=True)
class PlanParts:
    """The halves of a network that has `Parts`, as plans of their own beside the plan: NAME.decide and NAME.render."""

    decide_sha256: str
    render_sha256: str
    #: A part of a picture is at most so many pixels high and wide, and at most so many squares.
    extent: int
    squares: int
    #: Pixels of the smallest and the largest side of a square.
    smallest_side: int
    largest_side: int


@dataclass(frozen=True)
class PlanInfo:
    """The facts that only a built plan has."""

    flavour: Literal["tensorrt", "tensorrt_rtx"]
    #: Version of the flavour that built it, e.g. "1.7.1.116".
    version: str
    #: Compute capabilities it runs on, e.g. ("8.6", "8.9").
    sms: tuple[str, ...]
    #: Name of the GPU it was built on; None: built ahead of time, without one.
    gpu: str | None
    cuda: str | None
    driver: str | None
    platform: str
    profile: Profile
    #: Also the name of the network inside the plan, which binds the two together; None: a plan made elsewhere, whose
    #: name is not ours.
    digest: str | None
    plan_sha256: str
    plan_bytes: int
    onnx_sha256: str
    #: From here to the build's seconds: None for a plan made elsewhere.
    level: int | None
    workspace_bytes: int | None
    tf32: bool | None
    build_seconds: float | None
    #: SHA-256 of the manifest with this field empty.
    manifest_sha256: str = ""
    #: Later versions of TensorRT run it too, and its lean runtime, which has no builder.
    version_compatible: bool = False
    #: For pictures beyond the profile; None: there are no such plans.
    parts: PlanParts | None = None


@dataclass(frozen=True)
class ParityInfo:
    """How far an artifact was measured to be from its reference, in codes of 8 bits."""

    reference: str
    images: int
    max_codes: int
    #: 99.9th percentile of the absolute difference.
    p999_codes: float
    psnr: float


@dataclass(frozen=True)
class Parts:
    """Where a graph comes apart, by names of values: what is decided on an overview, and what is done to each part.

    The overview is the picture, padded to `multiple`, averaged over squares whose side `runtime.tiling.square_side` gives.
    """

    #: float32, N x 3 x h x w.
    overview: str
    #: int64, one number: the side of a square.
    side: str
    #: float32; those with more than one point have one for each square, and a frame of one more that repeats the edge.
    light: tuple[str, ...]
    #: The side of a square is at least H + W over this.
    points: int
    #: Pixels of context that a part needs to each side.
    halo: int


@dataclass(frozen=True)
class ArtifactInfo:
    """Everything that the runtime must know about an artifact."""

    schema: int
    network: str
    title: str
    precision: Precision
    #: False: the weights are a seeded initialisation, and the output is no picture.
    trained: bool
    weights_sha256: str | None
    input: TensorInfo
    output: TensorInfo
    #: Sides of the bare network's pictures are multiples of it; an image graph pads and crops by itself.
    multiple: int
    #: Pixels of context to each side of an output pixel; None: the whole picture, so tiling would change the result.
    halo: int | None
    #: Module paths kept in FP32 in a typed FP16 graph.
    islands: tuple[str, ...]
    contract: tuple[Rule, ...]
    opset: int
    #: Versions of what wrote the graph.
    tools: Mapping[str, str]
    parity: tuple[ParityInfo, ...] = ()
    plan: PlanInfo | None = None
    #: "bf16": measured to lose next to nothing, so CPU backends that can do so compute convolutions in bfloat16.
    cpu_precision: CpuPrecision = "fp32"
    #: How large pictures are done in parts; None: they are not, or `halo` says how.
    parts: Parts | None = None

    @property
    def image_io(self) -> bool:
        """True for a graph that takes and returns uint8 pictures, N x H x W x 3."""
        return self.input.dtype == "uint8"

    @property
    def has_weights(self) -> bool:
        """False for classical methods, which are a formula."""
        return not self.trained or self.weights_sha256 is not None

    def require_pictures(self, path: Path) -> None:
        """Raise ArtifactError for a graph of tensors, at `path`: it can be exported, and no backend here runs it."""
        if not self.image_io:
            found, then = self.input.dtype, ", and build the plan of that" if self.plan else ""
            raise ArtifactError(f"{path} takes {found} tensors, not pictures; export it again without --tensor-io{then}")

    def document(self) -> dict[str, Any]:
        """All of it as plain values."""
        document: dict[str, Any] = {**asdict(self), "contract": [rule.document() for rule in self.contract]}
        # Manifests of plans without them are as they were before there was a choice.
        if self.plan is not None and not self.plan.version_compatible:
            del document["plan"]["version_compatible"]
        if self.plan is not None and self.plan.parts is None:
            del document["plan"]["parts"]
        return document

    def to_json(self, indent: int | None = None) -> str:
        """One JSON document, the same bytes for the same content."""
        document = self.document()
        # Readers from before a field was there refuse what they don't know.
        if self.cpu_precision == "fp32":
            del document["cpu_precision"]
        if self.parts is None:
            del document["parts"]
        return json.dumps(document, sort_keys=True, indent=indent)

    @classmethod
    def from_json(cls, text: str, where: str = "artifact") -> ArtifactInfo:
        """Read and validate a document; `where` names it in errors."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ArtifactError(f"{where}: not a JSON document ({error})") from error
        if not isinstance(document, dict):
            raise ArtifactError(f"{where}: expected a JSON object, found {type(document).__name__}")
        schema = document.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise NewerSchemaError(
                f"{where}: written by a newer retinexrt (schema {schema}, this one reads up to {SCHEMA}); "
                "upgrade with: pip install -U retinexrt"
            )
        info = decode_fields(cls, document, where)
        info.check(where)
        return info

    def check(self, where: str = "artifact") -> None:
        """Raise ArtifactError for numbers that nothing can be counted with; `where` names the document."""
        parts = self.parts
        named = {"multiple": (1, self.multiple), "halo": (0, self.halo)}
        if parts is not None:
            named |= {"parts.points": (1, parts.points), "parts.halo": (0, parts.halo)}
        for name, (least, value) in named.items():
            if value is not None and not least <= value <= _MOST_CONTEXT:
                raise ArtifactError(f"{where}.{name}: expected a number from {least} to {_MOST_CONTEXT}, found {value}")
