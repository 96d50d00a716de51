"""The rules of the graph contract: the Retinex steps that an exported graph must keep as ops.

A network lists its rules, they travel in the file, and two packages check them: `export.contract` on the ONNX graph and
`engines.parsed_contract` on what TensorRT's parser made of it. Both know every class of `RULES`; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from runtime.artifact.decode import decode, decode_fields
from runtime.errors import ArtifactError

Document = dict[str, "int | float | str | bool"]


@dataclass(frozen=True)
class Rule:
    """Base of the rules: a step that the graph holds `count` times."""

    count: int
    #: Whether the step divides by an illumination or multiplies with one.
    has_illumination: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return next(name for name, rule in RULES.items() if rule is type(self))

    def document(self) -> Document:
        """The rule as it stands in files: its name under "rule", and its fields."""
        return {"rule": self.name, **asdict(self)}

    @classmethod
    def from_document(cls, document: Any, where: str) -> Rule:
        """Read any rule of a file; `where` names it in errors. A rule of a later version becomes an UnknownRule."""
        fields = decode(Mapping[str, int | float | str | bool], document, where)
        if not isinstance(name := fields.pop("rule", None), str):
            raise ArtifactError(f"{where}: the name of the rule is missing")
        if name in RULES:
            return decode_fields(RULES[name], fields, where)
        return UnknownRule(decode(int, fields.pop("count", None), f"{where}.count"), name, fields)


@dataclass(frozen=True)
class Division(Rule):
    """The picture is divided by an illumination that is clamped to [minimum, maximum] in FP32."""

    minimum: float = 1 / 255
    maximum: float = 1.0
    #: The convolutions make a slope and an offset of the illumination's logarithm, which is slope x guide + offset.
    guided: bool = False
    has_illumination = True

    def document(self) -> Document:
        document = super().document()
        if not self.guided:  # The first readers do not know the field.
            del document["guided"]
        return document


@dataclass(frozen=True)
class NoiseSubtraction(Rule):
    """The output of a convolution is subtracted from a reflectance, or from the result of the subtraction before."""


@dataclass(frozen=True)
class Coupling(Rule):
    """An invertible block: one half is divided by an exponential, and convolutions are subtracted from both halves.

    "darken" is the way back: multiplications and additions.
    """

    direction: Literal["enhance", "darken"]


@dataclass(frozen=True)
class Product(Rule):
    """A reflectance is multiplied with an illumination."""

    has_illumination = True


@dataclass(frozen=True)
class Logarithm(Rule):
    """The logarithm of one plus the scaled picture."""


@dataclass(frozen=True)
class ConvolutionalDifference(Rule):
    """A convolution of features is subtracted from the picture that the features come from."""


@dataclass(frozen=True)
class LogDifference(Rule):
    """The logarithm of the blurred picture, kept above one, is subtracted from the logarithm of the picture."""


@dataclass(frozen=True)
class UnknownRule(Rule):
    """A rule of a later version: such a file can be run, but its contract cannot be checked."""

    title: str
    fields: Mapping[str, int | float | str | bool]

    @property
    def name(self) -> str:
        return self.title

    def document(self) -> Document:
        return {"rule": self.title, "count": self.count, **self.fields}


#: The name of each rule in files.
RULES: dict[str, type[Rule]] = {
    "division": Division,
    "noise-subtraction": NoiseSubtraction,
    "invertible-block": Coupling,
    "product": Product,
    "logarithm": Logarithm,
    "convolutional-difference": ConvolutionalDifference,
    "log-difference": LogDifference,
}
