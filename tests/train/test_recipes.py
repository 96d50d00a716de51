"""Recipes: those of the project, and what is said about wrong ones."""

from __future__ import annotations

import tomllib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from train import objectives
from train.batches import Batch
from train.errors import RecipeError
from train.loop import select_parameters
from train.networks import get_spec
from train.networks.dawn import Light
from train.recipes import FOLDER, load_recipe
from train.scenes import Group, Overviews

ALL = [(path.stem, table) for path in sorted(FOLDER.glob("*.toml")) for table in tomllib.loads(path.read_text())]
OURS = ("dawn", "dawn-live")  # there is no paper

VALID = (
    "[best]\nlearning_rate = 1e-3\nbatch = 2\ncrop = 16\n"
    '[[best.stages]]\nobjective = "sri"\nsteps = 2\nloss = { enhanced = 1 }\n'
)


def test_every_trained_network_has_a_recipe() -> None:
    assert {name for name, table in ALL if table == "best"} == {"pdn", "msrnet", "blnet", "sri", "dsn", *OURS}
    assert {name for name, table in ALL if table == "paper"} == {"pdn", "msrnet", "blnet", "sri", "dsn"}


@pytest.mark.parametrize(("name", "table"), ALL)
def test_recipes_name_what_exists(name: str, table: str) -> None:
    recipe = load_recipe(name, table)
    build = {key: value for key, value in recipe.build.items() if key != "vgg"}
    network = get_spec(name).build(**build)
    for stage in recipe.stages:
        objectives.find(stage.objective)
        assert select_parameters(network, stage)


@pytest.mark.parametrize(("name", "table"), [each for each in ALL if each[0] != "dsn"])
def test_every_stage_gives_every_parameter_a_gradient(name: str, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.features.perceptual", lambda x, y: (x - y).square().mean())
    recipe = load_recipe(name, table)
    side = 176 if any("structure" in s.loss or "removal" in s.loss for s in recipe.stages) and table == "paper" else 32
    torch.manual_seed(0)
    batch = Batch(torch.rand(2, 3, side, side) * 0.2, torch.rand(2, 3, side, side))
    overviews = tuple(Overviews(torch.rand(2, 3, *size) * 0.2, torch.rand(2, 3, *size)) for size in ((20, 24), (10, 12)))
    scenes = (Group(4, overviews, batch.low, batch.high, ((0, 1), (5, 9))),)
    network = get_spec(name).build()
    network.train()
    with torch.no_grad():
        for parameter in network.parameters():  # What starts at 0 would hold up the gradients of what lies before it.
            parameter.add_(0.01 * torch.randn_like(parameter))
    for stage in recipe.stages:
        parameters = select_parameters(network, stage)
        given = scenes if stage.data == "scenes" else batch
        terms = objectives.find(stage.objective)(network, given, lambda: torch.autocast("cpu", enabled=False))
        loss, _ = objectives.weighted(terms, stage.loss, stage.objective)
        loss.backward()
        assert torch.isfinite(loss)
        assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in parameters)
        without = [
            parameter_name
            for parameter_name, parameter in network.named_parameters()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
        ]
        assert not without, f"{stage.objective} gives {without} no gradient"
        network.zero_grad(set_to_none=True)


@pytest.mark.parametrize("objective", ["pdn-enhancement", "pdn-joint"])
def test_the_constraints_of_pdn_are_on_what_the_input_is_divided_by(objective: str) -> None:
    torch.manual_seed(0)
    batch = Batch(torch.rand(1, 3, 16, 16) * 0.2, torch.rand(1, 3, 16, 16))
    network: Any = get_spec("pdn").build(second_division="coarse")
    with torch.no_grad():
        coarse, _, fine, reflectance = network.brighten(batch.low)
        terms = objectives.find(objective)(network, batch, lambda: torch.autocast("cpu", enabled=False))
        assert torch.allclose(reflectance, batch.low / (coarse * fine), rtol=1e-4)
        expected = (batch.high * coarse * fine - batch.low).abs().mean()
        assert terms["backward"]().item() == pytest.approx(expected.item(), rel=1e-5)
        if "forward" in terms:
            assert terms["forward"]().item() == pytest.approx((reflectance - batch.high).abs().mean().item(), rel=1e-4)


@pytest.mark.slow
def test_dsn_trains_in_both_directions() -> None:
    torch.manual_seed(0)
    network: Any = get_spec("dsn").build()
    batch = Batch(torch.rand(1, 3, 16, 16) * 0.2, torch.rand(1, 3, 16, 16))
    parameters = select_parameters(network, load_recipe("dsn").stages[0])
    assert {id(network.encode1.weight), id(network.encode2.weight)}.isdisjoint(map(id, parameters))
    for table in ("paper", "best"):
        stage = load_recipe("dsn", table).stages[0]
        terms = objectives.find("dsn")(network, batch, lambda: torch.autocast("cpu", torch.bfloat16))
        loss, values = objectives.weighted(terms, stage.loss, "dsn")
        loss.backward()
        assert torch.isfinite(loss) and len(values) == len(stage.loss)


def test_a_recipe_knows_itself_from_before_a_value_was_there() -> None:
    recipe = load_recipe("msrnet", "paper")
    document = recipe.document()
    del document["level"], document["stages"][0]["blocks"]
    assert recipe.says(document)
    assert not replace(recipe, level=0.5).says(document)
    assert not recipe.says({**document, "batch": recipe.batch + 1})
    assert not recipe.says({**document, "stages": ()})


@pytest.mark.slow
def test_the_way_back_of_a_quarter_is_that_of_its_pictures() -> None:
    torch.manual_seed(0)
    network: Any = get_spec("dsn").build()
    torch.nn.init.normal_(network.blocks[0].shift.narrow.weight, std=0.1)
    low, high = torch.rand(8, 3, 16, 16) * 0.2, torch.rand(8, 3, 16, 16)
    values: list[float] = []
    for count, term in ((8, "backward_quarter"), (2, "backward_l1"), (8, "backward_l1")):
        batch = Batch(low[:count], high[:count])
        values.append(objectives.find("dsn")(network, batch, nullcontext)[term]().item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert values[0] != pytest.approx(values[2], rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("batch = 2", "batch = 2.5"), r"batch: expected int, found 2\.5"),
        (("batch = 2", "bach = 2"), "unknown field 'bach'; known: stages, batch"),
        (("crop = 16\n", ""), "field 'crop' is missing"),
        (("crop = 16", 'crop = 16\nschedule = "sine"'), "expected one of cosine, steps, constant, found 'sine'"),
        (("crop = 16", "crop = 16\nexposure = [1.0]"), "exposure: expected 2 values, found 1"),
        (("steps = 2", "steps = 0"), "at least one step"),
        (("[best]", "[best"), "is not valid TOML"),
        (("enhanced = 1", 'enhanced = "much"'), "stages.*enhanced: expected float, found 'much'"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(VALID)
    assert load_recipe("sri", "best", path).stages[0].loss == {"enhanced": 1.0}
    path.write_text(VALID.replace(*change))
    with pytest.raises(RecipeError, match=message):
        load_recipe("sri", "best", path)


def test_missing_files_tables_objectives_and_terms(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe("sri", "best", tmp_path / "none.toml")
    with pytest.raises(RecipeError, match=r"no recipe \[worst\]; it has: paper, best"):
        load_recipe("sri", "worst")
    with pytest.raises(RecipeError, match="unknown objective 'beauty'"):
        objectives.find("beauty")
    with pytest.raises(RecipeError, match="has no term 'beauty'; it has: a"):
        objectives.weighted({"a": lambda: torch.tensor(1.0)}, {"beauty": 1.0}, "it")


def test_terms_are_weighed() -> None:
    terms = {"a": lambda: torch.tensor(2.0), "b": lambda: torch.tensor(3.0), "c": lambda: pytest.fail("has no weight")}
    loss, values = objectives.weighted(terms, {"a": 0.5, "b": 10.0}, "it")
    assert loss.item() == 31 and {name: value.item() for name, value in values.items()} == {"a": 2, "b": 3}


def test_the_colour_bias_network_is_fixed_and_no_constant() -> None:
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    first = objectives.colour_bias_network(x)
    assert first.shape == x.shape and first.std() > 1e-3
    assert torch.equal(first, objectives.colour_bias_network(x))


def test_perceptual_features(data: Path) -> None:
    from train import features

    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert features.vgg(x).shape == (1, 256, 8, 8)
    assert features.perceptual(x, x).item() == 0
    assert features.perceptual(x, 1 - x).item() > features.perceptual(x, (x + 0.02).clamp(max=1)).item() > 0


def test_agreement_is_how_far_apart_two_overviews_of_a_scene_come_out() -> None:
    class Network:
        """Gives overviews back as they are, those of few points brighter by `apart`."""

        def __init__(self, apart: float) -> None:
            self.apart = apart

        def decide(self, grid: torch.Tensor) -> Light:
            return Light(grid, grid, grid)

        def divide_overview(self, grid: torch.Tensor, light: Light) -> torch.Tensor:
            return grid + (self.apart if grid.shape[2] == 10 else 0.0)

    fine = torch.rand(1, 3, 20, 24) * 0.5
    coarse = torch.nn.functional.avg_pool2d(fine, 2)
    scenes = (Group(4, (Overviews(fine, fine), Overviews(coarse, coarse)), fine, fine, ((0, 0),)),)
    for apart in (0.0, 0.25):
        terms = objectives.find("dawn-light")(Network(apart), scenes, lambda: torch.autocast("cpu", enabled=False))
        assert abs(float(terms["agreement"]()) - apart) < 1e-6


def test_agreement_needs_overviews_of_two_sides() -> None:
    overview = Overviews(torch.rand(1, 3, 20, 24) * 0.2, torch.rand(1, 3, 20, 24))
    scenes = (Group(4, (overview,), torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), ((0, 0),)),)
    terms = objectives.find("dawn-light")(get_spec("dawn").build(), scenes, lambda: torch.autocast("cpu", enabled=False))
    with pytest.raises(RecipeError, match="two sides"):
        terms["agreement"]()
