"""Recipes: how a network is trained, as TOML files in train/recipes/, one per network, with one table per recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from runtime.artifact.decode import decode
from runtime.errors import ArtifactError
from train.errors import RecipeError

FOLDER = Path(__file__).resolve().parent / "recipes"


@dataclass(frozen=True)
class Stage:
    """One part of a training: which objective, for how many steps, on which parameters."""

    objective: str
    steps: int
    #: Terms of the objective and their weights.
    loss: Mapping[str, float]
    #: Shell patterns of parameter names; everything else stays as it is.
    train: tuple[str, ...] = ("*",)
    #: "pairs": the data folder's; "synthetic": dark pictures made from its bright ones.
    #: "scenes": whole pairs and darkened photographs, with a crop of each (`train.scenes`).
    data: Literal["pairs", "synthetic", "scenes"] = "pairs"
    #: What differs from the recipe in this stage.
    batch: int | None = None
    photographs: int | None = None
    crop: int | None = None
    zoom: tuple[float, float] | None = None
    learning_rate: float | None = None
    sides: tuple[int, ...] | None = None
    enlarged: float | None = None
    halved: bool | None = None
    #: Only the first so many of the network's blocks are computed. The others have to be identities, as DSN's are until
    #: they are trained: a network that grows from stage to stage costs a fraction of the whole one.
    blocks: int | None = None


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a training but the data and the machine."""

    stages: tuple[Stage, ...]
    batch: int
    crop: int
    learning_rate: float
    #: Photographs in a batch of scenes, beside its `batch` of pairs.
    photographs: int = 0
    #: In batches of scenes: the sides of an overview's squares to draw from, in pixels.
    sides: tuple[int, ...] = (4,)
    #: In batches of scenes: the share whose photographs are enlarged by a half, as if they were of more pixels.
    enlarged: float = 0.0
    #: In batches of scenes: pictures are made half as large first; `sides` are counted after that.
    halved: bool = False
    #: Keywords of the network's build function.
    build: Mapping[str, Any] = field(default_factory=dict[str, Any])
    zoom: tuple[float, float] = (1.0, 1.0)
    exposure: tuple[float, float] = (1.0, 1.0)
    flips: bool = True
    #: How far a bright picture's mean is drawn to the usual one: how bright a scene was photographed can't be seen in its
    #: dark picture, so a network that is asked for it learns noise, or the training scenes by heart.
    level: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    #: "cosine": down to 1 % over each stage; "steps": times `decay` at each of `milestones`; "constant".
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    #: Parts of a stage, 0 to 1.
    milestones: tuple[float, ...] = ()
    decay: float = 0.5
    #: Steps over which the learning rate rises from 0 at the start of each stage.
    warmup: int = 0
    #: Largest norm of the gradient; None: not clipped.
    clip_norm: float | None = None
    #: Decay of the moving average of the weights; 0: the weights themselves are validated and saved.
    ema: float = 0.0
    #: Batch normalisation keeps the statistics of these first steps, and is the same in training and use from then on.
    freeze_statistics_after: int | None = None
    seed: int = 0
    #: "mixed": bfloat16 (float16 on GPUs without it) in the convolutions, FP32 elsewhere; only where the machine has it.
    precision: Literal["fp32", "mixed"] = "fp32"
    validate_every: int = 500

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def document(self) -> dict[str, Any]:
        """The recipe as plain values, for cards and checkpoints."""
        return asdict(self)

    def of(self, stage: Stage) -> Recipe:
        """The recipe as it is in one of its stages."""
        names = ("batch", "photographs", "crop", "zoom", "learning_rate", "sides", "enlarged", "halved")
        own = {name: getattr(stage, name) for name in names}
        return replace(self, **{name: value for name, value in own.items() if value is not None})

    def says(self, document: Mapping[str, Any]) -> bool:
        """True where a document, perhaps of an earlier version, describes this recipe: what it lacks has its default."""
        usual = Recipe((Stage("", 0, {}),), batch=0, crop=0, learning_rate=0.0).document()
        stages = [{**usual["stages"][0], **stage} for stage in document["stages"]]
        return {**usual, **document, "stages": tuple(stages)} == self.document()


def load_recipe(name: str, table: str = "best", path: Path | None = None) -> Recipe:
    """Read one recipe of a network, from `path` or from the project's own file."""
    chosen = path or FOLDER / f"{name}.toml"
    try:
        document = tomllib.loads(chosen.read_text())
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {chosen}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{chosen} is not valid TOML: {error}") from error
    if table not in document:
        raise RecipeError(f"{chosen} has no recipe [{table}]; it has: {', '.join(document)}")
    try:
        recipe: Recipe = decode(Recipe, document[table], f"{chosen} [{table}]")
    except ArtifactError as error:
        raise RecipeError(str(error)) from error
    if not recipe.stages or any(stage.steps < 1 for stage in recipe.stages):
        raise RecipeError(f"{chosen} [{table}]: needs at least one stage, each of at least one step")
    return recipe
