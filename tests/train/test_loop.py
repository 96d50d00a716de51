"""A run: exact resume, clean stop, stages, what it leaves behind."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from train.card import read_card
from train.errors import RecipeError, TrainError, WeightsError
from train.loop import Limits, Trainer, schedule, select_parameters, set_training
from train.networks import get_spec, weights
from train.pairs import find_pairs
from train.recipes import Recipe, Stage
from train.train import choose_device, choose_recipe, main, parse, start_from

ROOT = Path(__file__).resolve().parents[2]
SHORT = (
    "[best]\nlearning_rate = 1e-3\nbatch = 1\ncrop = 16\n"
    '[[best.stages]]\nobjective = "msrnet"\nsteps = STEPS\nloss = { enhanced = 1.0 }\n'
)


def trainer(folder: Path, recipe: Recipe, out: Path, name: str = "msrnet", limits: Limits | None = None) -> Any:
    spec = get_spec(name)
    network = weights.build_seeded(spec, recipe.seed)
    train, val = find_pairs(folder, "train"), find_pairs(folder, "val")
    return Trainer(spec, network, recipe, train, val, out, torch.device("cpu"), limits or Limits())


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("stop_at", [2, 4, 6])  # within the first stage, at its end, within the second
def test_an_interrupted_run_gives_the_same_numbers(
    pairs_folder: Path, small_recipe: Recipe, tmp_path: Path, stop_at: int
) -> None:
    whole = trainer(pairs_folder, small_recipe, tmp_path / "whole")
    whole.run()
    broken = trainer(pairs_folder, small_recipe, tmp_path / "broken")
    step = broken._train_step
    broken._train_step = lambda batch: (broken.request_stop() if broken.step + 1 == stop_at else None, step(batch))[1]
    broken.run()
    assert broken.step == stop_at
    resumed = trainer(pairs_folder, small_recipe, tmp_path / "broken")
    resumed.resume()
    resumed.run()
    assert resumed.step == whole.step == 8
    assert same(resumed.network, whole.network) and same(resumed.average, whole.average)
    assert resumed.best == whole.best


def test_what_a_run_leaves_behind(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    lines = []
    trainer(pairs_folder, small_recipe, tmp_path).run(lines.append)
    with (tmp_path / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [4, 8, 8]
    assert all(0 < float(row["psnr"]) < 60 for row in rows)
    assert any("val PSNR" in line for line in lines)
    strips = cv2.imread(str(tmp_path / "strips_0000008.png"))
    assert strips is not None and strips.shape == (48, 3 * 64, 3)  # one validation picture; MSR-net has no illumination
    assert list((tmp_path / "tensorboard").iterdir())
    assert (tmp_path / "checkpoint.pt").is_file() and (tmp_path / "best.pt").is_file()


def test_a_stage_trains_its_parameters_only(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    run = trainer(pairs_folder, replace(small_recipe, stages=small_recipe.stages[:1]), tmp_path)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.run()
    changed = {name.split(".")[0] for name, value in run.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"mix", "restore"}


def test_a_stage_cuts_its_own_batches_at_its_own_rate(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    first, second = small_recipe.stages
    own = replace(second, batch=1, crop=20, zoom=(1.0, 1.5), learning_rate=1e-5)
    run = trainer(pairs_folder, replace(small_recipe, stages=(first, own), schedule="constant", warmup=0), tmp_path)
    seen: list[tuple[tuple[int, ...], float]] = []
    step = run._train_step
    run._train_step = lambda batch: (seen.append((tuple(batch.low.shape), run._learning_rate())), step(batch))[1]
    run.run()
    usual = ((small_recipe.batch, 3, small_recipe.crop, small_recipe.crop), small_recipe.learning_rate)
    assert seen == [usual] * first.steps + [((1, 3, 20, 20), 1e-5)] * second.steps
    assert run._batches()._cut.zoom == (1.0, 1.5) != small_recipe.zoom


def test_a_rate_on_the_command_line_is_that_of_every_stage() -> None:
    recipe = choose_recipe(parse(["dsn", "--table", "cpu", "--learning-rate", "3e-5"]))
    assert {recipe.of(stage).learning_rate for stage in recipe.stages} == {3e-5}
    usual = choose_recipe(parse(["dsn", "--table", "cpu"]))
    assert [usual.of(stage).learning_rate for stage in usual.stages] == [1e-3, 1e-3, 5e-4]


@pytest.mark.slow
def test_a_network_grows_from_stage_to_stage(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    stages = tuple(Stage("dsn", 2, {"enhanced": 1.0}, blocks=count) for count in (1, 3, None))
    recipe = replace(small_recipe, stages=stages, batch=1, crop=16, learning_rate=1e-3, validate_every=100)
    run = trainer(pairs_folder, recipe, tmp_path, "dsn")
    born = [{name: value.clone() for name, value in block.state_dict().items()} for block in run.network.blocks]
    changed: list[list[int]] = []
    step = run._train_step

    def follow(batch: Any) -> Any:
        values = step(batch)
        blocks = enumerate(run.network.blocks)
        changed.append([n for n, block in blocks if any(not torch.equal(v, born[n][k]) for k, v in block.state_dict().items())])
        return values

    run._train_step = follow
    run.run()
    assert changed == [[0], [0], [0, 1, 2], [0, 1, 2], list(range(8)), list(range(8))]
    assert run.network.active == run.average.active == 8


def test_only_a_network_with_blocks_to_spare_can_grow(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    growing = replace(small_recipe, stages=(replace(small_recipe.stages[0], blocks=2),))
    with pytest.raises(RecipeError, match="a stage computes 2 blocks: the network has 0 that can be left out"):
        trainer(pairs_folder, growing, tmp_path).run()


def test_what_is_born_frozen_stays_so() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].weight.requires_grad_(False)
    everything = Stage("msrnet", 1, {})
    assert len(select_parameters(network, replace(everything, train=("1.*",)))) == 2
    assert len(select_parameters(network, everything)) == 3
    with pytest.raises(RecipeError, match=r"no parameter's name fits head\.\*"):
        select_parameters(network, replace(everything, train=("head.*",)))


def test_the_moving_average_is_a_moving_average(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    run = trainer(pairs_folder, small_recipe, tmp_path)
    before = run.average.restore.bias.clone()
    run.network.restore.bias.data += 1.0
    run.step = 1000
    run._update_average()
    assert torch.allclose(run.average.restore.bias, before + 0.1, atol=1e-6)


def test_the_moving_average_is_moved_at_once(
    pairs_folder: Path, small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by one launch for each of hundreds of tensors."""
    run = trainer(pairs_folder, small_recipe, tmp_path)
    monkeypatch.setattr(torch.Tensor, "lerp_", lambda *_: pytest.fail("moved one by one"))
    run._update_average()


def test_learning_rates(small_recipe: Recipe) -> None:
    cosine = replace(small_recipe, warmup=0)
    assert schedule(cosine, 0.0, 0) == pytest.approx(1)
    assert schedule(cosine, 0.5, 9) == pytest.approx(0.01 + 0.99 / 2)
    assert schedule(cosine, 1.0, 9) == pytest.approx(0.01)
    assert schedule(small_recipe, 0.0, 0) == pytest.approx(0.5)
    stepped = replace(cosine, schedule="steps", milestones=(0.25, 0.5), decay=0.1)
    assert [schedule(stepped, part, 9) for part in (0.2, 0.3, 0.6)] == pytest.approx([1, 0.1, 0.01])


def test_minutes_stop_a_run_that_can_go_on(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    run = trainer(pairs_folder, small_recipe, tmp_path, limits=Limits(minutes=0.0))
    run.run()
    assert run.step == 1
    resumed = trainer(pairs_folder, small_recipe, tmp_path)
    resumed.resume()
    assert resumed.step == 1


@pytest.mark.parametrize(("seconds_ago", "seconds_per_picture", "steps"), [(61, 0.0, 1), (30, 40.0, 1), (0, 0.0, 8)])
def test_minutes_count_from_the_start_and_leave_time_to_score(
    pairs_folder: Path, small_recipe: Recipe, tmp_path: Path, seconds_ago: float, seconds_per_picture: float, steps: int
) -> None:
    limits = Limits(minutes=10.0 if steps == 8 else 1.0, started=time.monotonic() - seconds_ago)
    run = trainer(pairs_folder, small_recipe, tmp_path, limits=limits)
    run.seconds_per_picture = seconds_per_picture
    run.run()
    assert run.step == steps
    # How long a validation takes is measured, and known to the next run.
    resumed = trainer(pairs_folder, small_recipe, tmp_path)
    resumed.resume()
    assert resumed.seconds_per_picture == run.seconds_per_picture
    assert steps == 1 or 0 < run.seconds_per_picture < 60


def test_a_validation_that_would_end_too_late_is_left_out(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    run = trainer(pairs_folder, small_recipe, tmp_path, limits=Limits(minutes=100.0))
    run.seconds_per_picture = 3500.0  # Of 6,000 seconds: one fits, two don't.
    run._train_step = lambda batch, step=run._train_step: (run.request_stop() if run.step == 5 else None, step(batch))[1]
    run.run()
    assert run.step == 6 and run.best is None


def test_a_fresh_run_does_not_take_the_best_of_an_old_one(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(pairs_folder, small_recipe, tmp_path).run()
    fresh = trainer(pairs_folder, small_recipe, tmp_path, limits=Limits(minutes=0.0))
    fresh.run()
    assert fresh.step == 1 and fresh.best is None
    assert same(fresh.best_network(), fresh.average)


def test_a_checkpoint_is_read_to_the_cpu(
    pairs_folder: Path, small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(pairs_folder, small_recipe, tmp_path, limits=Limits(minutes=0.0)).run()
    places, load = [], torch.load
    monkeypatch.setattr(
        torch, "load", lambda path, **options: (places.append(options["map_location"]), load(path, **options))[1]
    )
    trainer(pairs_folder, small_recipe, tmp_path).resume()
    assert places == ["cpu"]  # On a GPU, Adam's counters of steps would cost a wait per parameter.


def test_a_schedule_fits_into_minutes(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    run = trainer(pairs_folder, replace(small_recipe, ema=0.0), tmp_path, limits=Limits(fit_minutes=0.01))
    run.run()
    assert run.step >= 1 and run.progress() == 8


def test_a_run_in_bfloat16_goes_on_in_float16(
    pairs_folder: Path, small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a checkpoint is taken to an older GPU: its scaler was not in use and has no state."""
    mixed = replace(small_recipe, precision="mixed")
    monkeypatch.setattr("train.loop.mixed_type", lambda device: torch.bfloat16)
    trainer(pairs_folder, mixed, tmp_path, limits=Limits(minutes=0.0)).run()
    monkeypatch.setattr("train.loop.mixed_type", lambda device: torch.float16)
    later = trainer(pairs_folder, mixed, tmp_path)
    later.resume()
    assert later.step == 1


def test_mixed_precision_trains(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    run = trainer(pairs_folder, replace(small_recipe, precision="mixed"), tmp_path)
    run.run()
    assert all(value.dtype in (torch.float32, torch.int64) for value in run.average.state_dict().values())
    assert math.isfinite(run.best.psnr)


def test_a_checkpoint_of_another_run_is_refused(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    trainer(pairs_folder, small_recipe, tmp_path, limits=Limits(minutes=0.0)).run()
    with pytest.raises(RecipeError, match="another recipe"):
        trainer(pairs_folder, replace(small_recipe, seed=5), tmp_path).resume()
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(TrainError, match="cannot read the checkpoint"):
        trainer(pairs_folder, small_recipe, tmp_path).resume()


def test_the_card_says_how_it_was_trained(pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        "[best]\nlearning_rate = 1e-3\nbatch = 2\ncrop = 16\n"
        '[[best.stages]]\nobjective = "pdn-joint"\nsteps = 2\nloss = { enhanced = 1.0 }\n'
    )
    out = tmp_path / "out"
    command = ["pdn", "--data", str(pairs_folder), "--recipe", str(recipe), "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    card = json.loads((out / "pdn.json").read_text())
    loaded = weights.load(get_spec("pdn"), out / "pdn.safetensors")
    assert loaded.trained and loaded.sha256 == card["sha256"]
    assert card["steps"] == 2 and card["data"]["training_pairs"] == 13 and card["validation"]["pictures"] == 1
    assert card["recipe"]["table"] == "best" and card["recipe"]["stages"][0]["objective"] == "pdn-joint"
    assert card["command"] == "python train/train.py pdn --data pairs --recipe r.toml --out out --device cpu"
    assert card["started_from"] is None
    capsys.readouterr()
    # Resumed at its end, it has nothing to do and says the same.
    assert main([*command, "--resume"]) == 0
    assert "resumed at step 2" in capsys.readouterr().out


def test_starting_from_a_related_network(tmp_path: Path) -> None:
    pdn: Any = weights.build_seeded(get_spec("pdn"), seed=7)
    weights.save(pdn, get_spec("pdn"), tmp_path / "pdn.safetensors", {})
    grown: Any = get_spec("pdn").build()
    grown.fine_noise.tail = torch.nn.Conv2d(32, 4, 3)
    said = start_from(grown, get_spec("pdn"), tmp_path / "pdn.safetensors")
    assert f"{len(pdn.state_dict()) - 2} of {len(grown.state_dict())}" in said
    assert torch.equal(grown.coarse_light.tail.weight, pdn.coarse_light.tail.weight.half().float())
    with pytest.raises(WeightsError, match="no tensor that fits"):
        start_from(get_spec("msrnet").build(), get_spec("msrnet"), tmp_path / "pdn.safetensors")


def test_a_resumed_run_remembers_what_it_started_from(pairs_folder: Path, tmp_path: Path) -> None:
    weights.save(weights.build_seeded(get_spec("msrnet"), seed=7), get_spec("msrnet"), tmp_path / "first.safetensors", {})
    recipe = tmp_path / "r.toml"
    recipe.write_text(SHORT.replace("STEPS", "1"))
    command = ["msrnet", "--data", str(pairs_folder), "--recipe", str(recipe), "--out", str(tmp_path), "--device", "cpu"]
    for more in (["--init", str(tmp_path / "first.safetensors")], ["--resume"]):
        assert main([*command, *more]) == 0
        assert json.loads((tmp_path / "msrnet.json").read_text())["started_from"] == "first.safetensors"


def test_a_card_holds_those_of_the_runs_before(pairs_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(SHORT.replace("STEPS", "1"))
    command = ["msrnet", "--data", str(pairs_folder), "--recipe", str(recipe), "--device", "cpu"]
    outs = [tmp_path / name for name in ("first", "second", "third")]
    for number, out in enumerate(outs):
        init = ["--init", str(outs[number - 1] / "msrnet.safetensors")] if number else []
        assert main([*command, "--out", str(out), *init]) == 0
        card = out / "msrnet.json"
        card.write_text(json.dumps({**json.loads(card.read_text()), "hours": 1.5, "hours_in_all": 1.5 * (number + 1)}))
    assert main([*command, "--out", str(outs[2]), "--resume"]) == 0
    third = json.loads((outs[2] / "msrnet.json").read_text())
    assert third["earlier"]["sha256"] == read_card(outs[1] / "msrnet.safetensors")["sha256"]  # pyright: ignore
    assert third["earlier"]["earlier"]["started_from"] is None and third["earlier"]["earlier"]["earlier"] is None
    assert third["hours_in_all"] == pytest.approx(3.0, abs=0.1)
    # A card that is another file's says nothing of this one.
    (outs[0] / "msrnet.safetensors").write_bytes((outs[1] / "msrnet.safetensors").read_bytes())
    assert read_card(outs[0] / "msrnet.safetensors") is None
    assert read_card(tmp_path / "absent.safetensors") is None


def test_the_card_of_a_run_without_validation_is_of_its_last_step(pairs_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(SHORT.replace("STEPS", "50"))
    command = ["msrnet", "--data", str(pairs_folder), "--recipe", str(recipe), "--out", str(tmp_path), "--device", "cpu"]
    assert main([*command, "--minutes", "1e-6"]) == 0
    card = json.loads((tmp_path / "msrnet.json").read_text())
    assert card["steps"] == card["best_step"] == 1 and card["validation"]["pictures"] == 1


def test_the_features_of_a_later_stage_are_found_at_the_start(
    pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETINEXRT_DATA", "")
    monkeypatch.setattr("train.features._path", None)
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        SHORT.replace("STEPS", "1").replace("msrnet", "blnet-joint")
        + '[[best.stages]]\nobjective = "blnet-enhancement"\nsteps = 1\nloss = { perceptual = 1.0 }\n'
    )
    out = tmp_path / "out"
    command = ["blnet", "--data", str(pairs_folder), "--recipe", str(recipe), "--out", str(out), "--device", "cpu"]
    assert main(command) == 2
    assert "vgg16_conv1_to_conv3.npz was not found" in capsys.readouterr().err
    assert not (out / "train.csv").exists()
    # Beside the data they are found, without RETINEXRT_DATA, and used.
    (tmp_path / "vgg").mkdir()
    channels = {"conv1_1": (2, 3), "conv1_2": (2, 2), "conv2_1": (2, 2), "conv2_2": (2, 2)}
    channels |= {"conv3_1": (2, 2), "conv3_2": (2, 2), "conv3_3": (2, 2)}
    arrays = {f"{name}_weight": np.full((*shape, 3, 3), 0.1, np.float32) for name, shape in channels.items()}
    arrays |= {f"{name}_bias": np.zeros(2, np.float32) for name in channels}
    np.savez(tmp_path / "vgg" / "vgg16_conv1_to_conv3.npz", **arrays)  # pyright: ignore[reportArgumentType]
    assert main(command) == 0
    assert "VGG-16" in json.loads((out / "blnet.json").read_text())["attribution"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "gpu"], "--device gpu: expected cpu, cuda or cuda:N"),
        (["--device", "meta"], "--device meta: expected cpu, cuda or cuda:N"),
        (["--validate-nth", "0"], "--validate-nth 0: expected 1 or more"),
        (["--steps", "0"], "--steps 0: expected 1 or more"),
        (["--minutes", "-1"], "--minutes -1.0: expected more than 0"),
        (["--out", "FILE/run"], "cannot write to .*choose another --out"),
        (["--out", "FILE"], "cannot write to .*choose another --out"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], message: str, pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    command = ["msrnet", "--data", str(pairs_folder), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*command, *(word.replace("FILE", str(tmp_path / "file")) for word in options)]) == 2
    errors = capsys.readouterr().err
    assert re.search(message, errors) and errors.count("\n") == 1


def test_an_empty_data_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RETINEXRT_DATA", "")
    assert main(["msrnet", "--device", "cpu"]) == 2
    assert "pass --data FOLDER or set RETINEXRT_DATA" in capsys.readouterr().err


def test_a_missing_package_is_named(
    pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    assert main(["msrnet", "--data", str(pairs_folder), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    errors = capsys.readouterr().err
    assert "tensorboard" in errors and "pip install 'retinexrt[train]'" in errors and errors.count("\n") == 1


def test_fp32_is_fp32_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    backends = torch.backends
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    switches: list[Any] = [backends.cuda.matmul, backends.cudnn]
    before = [switch.allow_tf32 for switch in switches], backends.cudnn.benchmark
    try:
        for switch in switches:
            switch.allow_tf32 = True
        assert choose_device("cuda:1", None) == torch.device("cuda:1")
        assert [switch.allow_tf32 for switch in switches] == [False, False]
    finally:
        for switch, value in zip(switches, before[0], strict=True):
            switch.allow_tf32 = value
        backends.cudnn.benchmark = before[1]
    with pytest.raises(TrainError, match="has 2 CUDA devices"):
        choose_device("cuda:2", None)


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["pdm"]) == 2
    assert "unknown network 'pdm'; did you mean pdn? known: " in capsys.readouterr().err
    assert main(["pdn", "--data", str(tmp_path / "none"), "--device", "cpu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_stops_after_a_step_and_leaves_a_checkpoint(pairs_folder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "train/train.py",
        "msrnet",
        "--data",
        str(pairs_folder),
        "--out",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    recipe = tmp_path / "r.toml"
    recipe.write_text(SHORT.replace("STEPS", "1000000"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--recipe", str(recipe)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        while not (tmp_path / "train.csv").exists() or (tmp_path / "train.csv").stat().st_size < 60:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == 0 and "--resume goes on" in errors
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] >= 1


def test_the_best_of_a_few_pictures_is_compared_on_all(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    for side in ("low", "high"):  # Two validation pictures.
        for index in range(14, 24):
            picture = cv2.imread(str(pairs_folder / side / "0.png"))
            assert picture is not None
            cv2.imwrite(str(pairs_folder / side / f"{index}.png"), np.roll(picture, index, axis=1))
    run = trainer(pairs_folder, small_recipe, tmp_path, limits=Limits(every_nth=2))
    run.run()
    assert run.best.pictures == 2
    final = run.score(run.best_network(), 1, nullcontext())
    assert final == run.best
    assert final.quality >= run.score(run.average, 1, nullcontext()).quality


@pytest.mark.slow
def test_dsn_is_trained_saved_and_found_by_the_exporter(pairs_folder: Path, data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[best]\nbuild = { vgg = "vgg16", unit_gain = true }\nlearning_rate = 1e-4\nbatch = 1\ncrop = 16\nprecision = "mixed"\n'
        '[[best.stages]]\nobjective = "dsn"\nsteps = 2\nloss = { enhanced = 1.0, backward_l1 = 0.5 }\n'
    )
    out = tmp_path / "out"
    assert main(["dsn", "--data", str(pairs_folder), "--recipe", str(recipe), "--out", str(out), "--device", "cpu"]) == 0
    loaded = weights.load(get_spec("dsn"), out / "dsn.safetensors")
    assert loaded.trained
    with_vgg: Any = get_spec("dsn").build(vgg=data / "vgg" / "vgg16_conv1_to_conv3.npz", unit_gain=True)
    frozen = loaded.network.state_dict()["encode1.weight"]
    assert torch.allclose(frozen, with_vgg.encode1.weight, rtol=1e-3, atol=1e-5)
    assert "VGG-16" in json.loads((out / "dsn.json").read_text())["attribution"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_trains_and_resumes(pairs_folder: Path, small_recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(small_recipe, precision="mixed")
    spec, pairs = get_spec("msrnet"), (find_pairs(pairs_folder, "train"), find_pairs(pairs_folder, "val"))
    for limits, step in ((Limits(minutes=0.0), 1), (Limits(), 8)):
        run = Trainer(spec, weights.build_seeded(spec), recipe, *pairs, tmp_path, torch.device("cuda"), limits)
        if step == 8:
            run.resume()
        run.run()
        assert run.step == step
    assert run.best is not None and math.isfinite(run.best.psnr)


def test_statistics_are_frozen(small_recipe: Recipe) -> None:
    network: Any = get_spec("sri").build()
    recipe = replace(small_recipe, freeze_statistics_after=1)
    for step, frozen in ((0, False), (1, True)):
        set_training(network, recipe, step)
        before = network.head[1].running_mean.clone()
        network(torch.rand(2, 3, 8, 8))
        assert torch.equal(network.head[1].running_mean, before) == frozen
        assert network.training and network.head[1].training != frozen
