"""The training loop: steps, moving average, validation, checkpoints, and a clean stop at any step.

A run is a function of its recipe, data and seed: batch and noise of a step depend on the seed and the step alone, so a
run that was interrupted and resumed computes the same numbers as one that was not. That holds on a CPU with the same
number of threads. On CUDA it holds up to rounding only: cuDNN chooses its kernels by timing them, and several of them add
in an order that changes from call to call.
"""

from __future__ import annotations

import copy
import io
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from train import objectives
from train.batches import Batches, Cut
from train.devices import mixed_type
from train.errors import RecipeError, TrainError
from train.logs import Records
from train.networks import NetworkSpec
from train.networks.weights import write_atomically
from train.pairs import Pair, PairStore
from train.recipes import Recipe, Stage
from train.scenes import SceneBatches, SceneCut
from train.strips import write_strips
from train.validation import Scores, validate

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"


@dataclass(frozen=True)
class Limits:
    """When a run stops before its recipe ends, and how it keeps time."""

    #: Stop early enough to be done after this many minutes since `started`: the time that scoring the final weights
    #: takes is kept free, once a validation has shown how long that is (in its own precision; in FP32 it may be longer).
    #: The checkpoint resumes.
    minutes: float | None = None
    #: Squeeze the recipe's schedule into this many minutes, whatever number of steps that allows. Not reproducible.
    fit_minutes: float | None = None
    #: Validate by the clock instead of every so many steps.
    validate_minutes: float | None = None
    #: Score only every n-th validation picture, except at the end.
    every_nth: int = 1
    #: `time.monotonic()` from which `minutes` counts; None: from the start of `run`.
    started: float | None = None


@dataclass
class StageState:
    """The stage that is being trained."""

    index: int
    stage: Stage
    #: Position in the recipe's steps at which the stage starts.
    start: int
    #: Step of the run at which its training began.
    first_step: int
    objective: objectives.Objective
    parameters: list[nn.Parameter]
    optimiser: torch.optim.Adam


class Trainer:
    """One network in training. `run` goes on until the recipe, the clock or `stop` ends it."""

    def __init__(
        self,
        spec: NetworkSpec,
        network: nn.Module,
        recipe: Recipe,
        train: list[Pair],
        val: list[Pair],
        out: Path,
        device: torch.device,
        limits: Limits,
        photographs: tuple[list[Pair], list[Pair]] | None = None,
    ) -> None:
        """`photographs`: those to darken in training, and those kept from it, for recipes of scenes."""
        self.spec, self.recipe, self.out, self.device, self.limits = spec, recipe, out, device, limits
        self.network = network.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.average = copy.deepcopy(self.network).eval()
        self.train_store, self.val_store = PairStore(train), PairStore(val)
        self.photographs, self.val_photographs = (None, None) if photographs is None else map(PairStore, photographs)
        self.step = 0
        self.seconds = 0.0
        self.best: Scores | None = None
        self.best_step = 0
        #: Name of the weights file that the network was initialised from.
        self.started_from: str | None = None
        #: The card of those weights, which in turn holds that of the ones before; None: there is none.
        self.earlier: dict[str, Any] | None = None
        #: What the last validation took; 0 before the first.
        self.seconds_per_picture = 0.0
        #: None: no stage was entered.
        self._state: StageState | None = None
        self._stop = False
        #: The `time.monotonic()` at which everything must be done.
        self._end = math.inf
        self._dtype = mixed_type(device) if recipe.precision == "mixed" else None
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype is torch.float16)

    # -- what a run is made of --------------------------------------------------------------------------------------

    def autocast(self) -> AbstractContextManager[Any]:
        """Convolutions in 16 bits, where recipe and machine want it."""
        return nullcontext() if self._dtype is None else torch.autocast(self.device.type, self._dtype)

    def progress(self) -> float:
        """Position in the recipe, in its steps."""
        if self.limits.fit_minutes is None:
            return float(self.step)
        return min(self.seconds / (60 * self.limits.fit_minutes), 1.0) * self.recipe.steps

    def request_stop(self) -> None:
        """End after the step that runs now; a checkpoint is written."""
        self._stop = True

    def run(
        self, say: Callable[[str], None] = lambda line: None, tick: Callable[[int, str], None] = lambda n, line: None
    ) -> None:
        """Train; `say` gets lines worth keeping, `tick` the position in the recipe and a live line after every step."""
        started, began = time.monotonic(), self.seconds
        self._end = self._latest_end(started)
        validated = self.seconds
        stage, stream, records = None, None, Records(self.out, resumed_at=self.step)
        try:
            while not self._stop and self.progress() < self.recipe.steps:
                if (entered := self._enter_stage()) is not stage or stream is None:
                    stage, stream = entered, self._batches().iterate(self.step)
                terms = self._train_step(next(stream))
                self.step += 1
                self.seconds = began + time.monotonic() - started
                if self.step % 20 == 0 or self.step == 1:
                    values = {name: float(value) for name, value in terms.items()}
                    if not math.isfinite(values["loss"]):
                        raise TrainError(f"the loss became {values['loss']} at step {self.step}; lower the learning rate")
                    records.train(self.step, self.seconds, values)
                    tick(int(self.progress()), " ".join(f"{name} {value:.3f}" for name, value in values.items()))
                if self._validation_due(validated) and self._time_for(validations=2):
                    self._validate(records, say, self.limits.every_nth)
                    self.save_checkpoint()
                    validated = self.seconds
                if not self._time_for(validations=1):
                    break
            if self.progress() >= self.recipe.steps:
                self._validate(records, say, 1)
        finally:
            records.close()
        self.save_checkpoint()

    def _latest_end(self, run_started: float) -> float:
        """The `time.monotonic()` at which everything must be done."""
        limits = self.limits
        if limits.minutes is None:
            return math.inf
        return 60 * limits.minutes + (run_started if limits.started is None else limits.started)

    def _time_for(self, validations: int) -> bool:
        """Whether so many validations on all pictures still fit; the last one is that of the final weights."""
        return time.monotonic() + validations * self.seconds_per_picture * len(self.val_store) < self._end

    def _enter_stage(self) -> StageState:
        """The stage that the progress lies in, set up where it begins."""
        index, start = stage_at(self.recipe, self.progress())
        if self._state is not None and self._state.index == index:
            return self._state
        stage = self.recipe.stages[index]
        for network in (self.network, self.average):
            compute_blocks(network, stage.blocks)
        parameters = select_parameters(self.network, stage)
        # The learning rate is set before each step.
        optimiser = torch.optim.Adam(
            parameters,
            betas=self.recipe.betas,
            weight_decay=self.recipe.weight_decay,
            fused=self.device.type == "cuda" or None,
        )
        objective = objectives.find(stage.objective)
        self._state = StageState(index, stage, start, self.step, objective, parameters, optimiser)
        return self._state

    def _batches(self) -> Batches | SceneBatches:
        stage = self._enter_stage().stage
        recipe = self.recipe.of(stage)
        if stage.data == "scenes":
            scenes = SceneCut(
                recipe.batch,
                recipe.photographs,
                recipe.crop,
                recipe.exposure,
                recipe.sides,
                recipe.enlarged,
                recipe.halved,
            )
            return SceneBatches(self.train_store, self.photographs, scenes, recipe.seed, self.device)
        cut = Cut(recipe.batch, recipe.crop, recipe.zoom, recipe.exposure, recipe.flips, recipe.level)
        store = self.train_store
        if stage.data == "synthetic":
            store = PairStore([Pair(None, pair.high) for pair in store.pairs])
        return Batches(store, cut, recipe.seed, self.device)

    def _train_step(self, batch: Any) -> dict[str, Tensor]:
        state = self._enter_stage()
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
        set_training(self.network, self.recipe, self.step)
        for group in state.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        state.optimiser.zero_grad(set_to_none=True)
        terms = state.objective(self.network, batch, self.autocast)
        loss, values = objectives.weighted(terms, state.stage.loss, f"objective {state.stage.objective!r}")
        self._scaler.scale(loss).backward()
        if self.recipe.clip_norm is not None:
            self._scaler.unscale_(state.optimiser)
            norm = nn.utils.clip_grad_norm_(state.parameters, self.recipe.clip_norm)
            if not bool(torch.isfinite(norm)):  # One picture in a million; its step would spoil every weight.
                state.optimiser.zero_grad(set_to_none=True)
        self._scaler.step(state.optimiser)
        self._scaler.update()
        self._update_average()
        return {"loss": loss.detach(), **{name: value.detach() for name, value in values.items()}}

    def _learning_rate(self) -> float:
        state = self._enter_stage()
        part = (self.progress() - state.start) / state.stage.steps
        return self.recipe.of(state.stage).learning_rate * schedule(self.recipe, part, self.step - state.first_step)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        ours, theirs = self.average.state_dict(), self.network.state_dict()
        moving = [name for name, value in theirs.items() if value.is_floating_point()]
        # All at once: on a GPU hundreds of small launches would cost more than the work.
        get_ema_multi_avg_fn(decay)([ours[name] for name in moving], [theirs[name] for name in moving], None)
        for name in theirs.keys() - set(moving):
            ours[name].copy_(theirs[name])

    # -- validation and files ---------------------------------------------------------------------------------------

    def _validation_due(self, validated: float) -> bool:
        if self.limits.validate_minutes is not None:
            return self.seconds - validated > 60 * self.limits.validate_minutes
        return self.step % self.recipe.validate_every == 0

    def _validate(self, records: Records, say: Callable[[str], None], every_nth: int) -> None:
        context = self.autocast() if self.device.type == "cpu" else nullcontext()  # Where FP32 is cheap, it is exact.
        began = time.monotonic()
        scores = self.score(self.average, every_nth, context)
        self.seconds_per_picture = (time.monotonic() - began) / scores.pictures
        records.validation(self.step, self.seconds, scores.values())
        write_strips(self.average, self.val_store, self.spec, self.device, self.out / f"strips_{self.step:07d}.png")
        if self.best is not None and self.best.pictures != scores.pictures:
            self.best = self.score(self.best_network(), every_nth, context)
        better = self.best is None or scores.quality > self.best.quality
        if better:
            self.best, self.best_step = scores, self.step
            self._write(BEST, {"network": self.spec.name, "step": self.step, "state": self.average.state_dict()})
        say(
            f"step {self.step}  {self.seconds / 60:.1f} min  val PSNR {scores.psnr:.2f} dB  SSIM {scores.ssim:.4f}"
            f"  equal means {scores.psnr_equal_mean:.2f} dB  ({scores.pictures} pictures)"
            f"{'' if scores.nights is None else f'  nights {scores.nights:.2f} dB  plain {scores.plain:.2f} dB'}"
            f"{'  best' if better else ''}"
        )

    def score(self, network: nn.Module, every_nth: int, context: AbstractContextManager[Any]) -> Scores:
        """Scores over every n-th picture that is kept for validation."""
        stores = self.val_store, self.val_photographs
        return validate(network, *stores, every_nth, self.spec.multiple, self.device, context)

    def best_network(self) -> nn.Module:
        """The moving average as it was at the best validation; as it is now, if there was none."""
        network = copy.deepcopy(self.average)
        if self.best is not None:  # Else a best.pt is that of another run.
            network.load_state_dict(torch.load(self.out / BEST, map_location=self.device, weights_only=True)["state"])
        return network

    def save_checkpoint(self) -> None:
        """Everything that the next step depends on."""
        self._write(
            CHECKPOINT,
            {
                "network": self.spec.name,
                "recipe": self.recipe.document(),
                "step": self.step,
                "seconds": self.seconds,
                "stage": self._state.index if self._state else -1,
                "stage_step": self._state.first_step if self._state else 0,
                "model": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self._state.optimiser.state_dict() if self._state else None,
                "scaler": self._scaler.state_dict(),
                "best": asdict(self.best) if self.best else None,
                "best_step": self.best_step,
                "started_from": self.started_from,
                "earlier": self.earlier,
                "seconds_per_picture": self.seconds_per_picture,
            },
        )

    def resume(self) -> None:
        """Go on from the checkpoint in the output folder."""
        path = self.out / CHECKPOINT
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)  # Adam's steps belong there.
        except Exception as error:
            raise TrainError(f"cannot read the checkpoint {path}: {error}; start again without --resume") from error
        if state["network"] != self.spec.name:
            raise TrainError(f"{path} is of {state['network']!r}, not of {self.spec.name!r}; choose another --out")
        if not self.recipe.says(state["recipe"]):
            raise RecipeError(f"{path} was written with another recipe; choose another --out or start without --resume")
        self.step, self.seconds = state["step"], state["seconds"]
        if state["best"] and (self.out / BEST).is_file():
            self.best, self.best_step = Scores(**state["best"]), state["best_step"]
        self.started_from, self.earlier = state.get("started_from"), state.get("earlier")
        self.seconds_per_picture = state.get("seconds_per_picture", 0.0)
        self.network.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        if state["scaler"]:  # empty where the run was in bfloat16 so far
            self._scaler.load_state_dict(state["scaler"])
        if state["optimiser"] is not None and self.progress() < self.recipe.steps:
            entered = self._enter_stage()
            if entered.index == state["stage"]:  # A stage that begins now starts with a fresh optimiser.
                entered.optimiser.load_state_dict(state["optimiser"])
                entered.first_step = state["stage_step"]

    def _write(self, name: str, content: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomically(self.out / name, buffer.getvalue())


def set_training(network: nn.Module, recipe: Recipe, step: int) -> None:
    """Training mode, but for batch normalisation whose statistics the recipe freezes by now."""
    network.train()
    if recipe.freeze_statistics_after is not None and step >= recipe.freeze_statistics_after:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def stage_at(recipe: Recipe, position: float) -> tuple[int, int]:
    """The stage that a position in the recipe's steps lies in, and where that stage starts."""
    start = 0
    for index, stage in enumerate(recipe.stages):
        if position < start + stage.steps or index == len(recipe.stages) - 1:
            return index, start
        start += stage.steps
    raise RecipeError("a recipe without stages")


def select_parameters(network: nn.Module, stage: Stage) -> list[nn.Parameter]:
    """The parameters that a stage trains; every other one is frozen. What is born frozen stays so."""
    chosen: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        frozen = getattr(parameter, "born_frozen", not parameter.requires_grad)
        parameter.born_frozen = frozen  # pyright: ignore[reportAttributeAccessIssue]
        wanted = not frozen and any(fnmatchcase(name, pattern) for pattern in stage.train)
        parameter.requires_grad_(wanted)
        if wanted:
            chosen.append(parameter)
    if not chosen:
        raise RecipeError(f"no parameter's name fits {', '.join(stage.train)}")
    return chosen


def compute_blocks(network: nn.Module, count: int | None) -> None:
    """Compute only the first `count` of a network's blocks; None: all of them."""
    blocks = getattr(network, "blocks", ())
    if count is not None and not (hasattr(network, "active") and 1 <= count <= len(blocks)):
        raise RecipeError(f"a stage computes {count} blocks: the network has {len(blocks)} that can be left out")
    if hasattr(network, "active"):
        network.active = len(blocks) if count is None else count  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]


def schedule(recipe: Recipe, part: float, steps_in_stage: int) -> float:
    """The factor on the learning rate at `part` (0 to 1) of a stage."""
    rise = min(1.0, (steps_in_stage + 1) / recipe.warmup) if recipe.warmup else 1.0
    if recipe.schedule == "cosine":
        return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))
    if recipe.schedule == "steps":
        return rise * recipe.decay ** sum(part >= milestone for milestone in recipe.milestones)
    return rise
