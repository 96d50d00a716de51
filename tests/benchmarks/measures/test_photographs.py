"""Measures of photographs on pictures made up here, with networks whose figures are known: the identity and gamma."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import quality
from benchmarks.harness.record import Record, environment, make
from benchmarks.measures import photographs
from benchmarks.measures.plain_methods import METHODS, clahe, gamma
from benchmarks.pages import results
from benchmarks.pictures import nights
from runtime.errors import InputError
from train.pairs import Picture


def scene(seed: int = 0, height: int = 48, width: int = 64) -> Picture:
    """Coloured cells, with a black square of two areas in the corner."""
    cells = np.random.default_rng(seed).integers(60, 256, (6, 8, 3), dtype=np.uint8)
    picture = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    picture[:16, :32] = 10
    return picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty photographs, of which two are measured."""
    for index in range(40):
        cv2.imwrite(str(tmp_path / f"{index:02}.png"), scene(index))
    return tmp_path


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (nights, photographs):
        monkeypatch.setattr(module, "MEGAPIXELS", (0.003, 0.012, 0.027))


def measured(name: str, folder: Path) -> Record:
    found = photographs.measure(METHODS[name], [pair.high for pair in nights.kept_photographs(folder, None)])
    return make("photographs", {"network": name, "pictures": 2}, quality.finite(found), environment())


def test_every_twentieth_photograph_is_measured(folder: Path) -> None:
    assert [pair.name for pair in nights.kept_photographs(folder, None)] == ["00", "20"]
    assert [pair.name for pair in nights.kept_photographs(folder, 1)] == ["00"]


def test_nights_are_the_same_on_every_run_and_as_dark_as_named() -> None:
    photograph = np.full((64, 64, 3), 186, np.uint8)  # Half of full scale in linear light.
    for night in nights.NIGHTS:
        assert np.array_equal(night.of(photograph, 3), night.of(photograph, 3))
        if night.light is None:
            continue
        light = ((night.of(photograph, 3) / 255.0) ** 2.2).mean()
        assert light == pytest.approx(night.light / 2, rel=0.05), night.name
    assert {night.name for night in nights.NIGHTS} >= {"0.02 low", "0.25 high", "backlit"}


def test_high_noise_is_stronger_than_low_noise() -> None:
    photograph = np.full((64, 64, 3), 186, np.uint8)
    low, high = (nights.Night(0.08, noise).of(photograph, 0).std() for noise in ("low", "high"))
    assert high > 2 * low > 0


def test_the_identity_gives_well_lit_pictures_back_and_gamma_does_not(folder: Path) -> None:
    same, lifted = (measured(name, folder).results for name in ("input", "gamma"))
    assert same["well_lit"] == {"psnr": None, "least": None}  # Infinite, null in a record.
    assert lifted["well_lit"]["least"] < lifted["well_lit"]["psnr"] < 25


def test_gamma_is_never_better_than_itself_and_its_noise_is_its_own(folder: Path) -> None:
    found = measured("gamma", folder).results
    assert {night["better_than_gamma"] for night in found["nights"].values()} == {0.0}
    assert found["black"]["noise"] == pytest.approx(1.0)
    assert found["black"]["level"] == found["black"]["gamma_level"]
    assert found["black"]["areas"] == 2 * 2 * 6


def test_better_than_gamma_counts_a_higher_psnr() -> None:
    truth = scene()
    assert photographs.compare(truth, gamma(truth), truth).better_than_gamma
    assert not photographs.compare(gamma(truth), truth, truth).better_than_gamma


def test_colour_of_a_turned_and_paler_picture() -> None:
    truth = np.zeros((4, 5, 3))
    truth[..., 0], truth[..., 1] = 50.0, 40.0
    turned = truth.copy()
    turned[..., 1], turned[..., 2] = 20 * math.cos(math.radians(30)), -20 * math.sin(math.radians(30))
    assert photographs.colour(turned, truth) == pytest.approx((30.0, 0.5))
    assert photographs.colour(turned, truth * [1, 0.1, 0.1]) == (None, None)  # The truth is grey.


def test_black_areas_by_hand() -> None:
    truth = scene()
    board = (np.indices(truth.shape[:2]).sum(0) % 2)[..., None]
    output, by_gamma = (np.broadcast_to(30 + side * board, truth.shape).astype(np.uint8) for side in (2, 8))
    found = photographs.summarise_black([photographs.black_areas(output, by_gamma, truth)])
    assert found == pytest.approx({"areas": 2, "noise": 0.25, "level": 31.0, "gamma_level": 34.0, "true_level": 10.0})
    assert photographs.summarise_black([photographs.Areas()])["noise"] is None


def test_change_of_a_film_is_relative_and_follows_a_pan() -> None:
    flat = [np.full((8, 8, 3), level, np.uint8) for level in (90, 110, 90)]
    assert photographs.change(flat, 0) == pytest.approx(20 / (290 / 3))
    wide = scene()
    pan = [wide[:, start : start + 32] for start in (0, 3, 6)]
    assert photographs.change(pan, 3) == 0
    assert photographs.change(pan, 0) > 0.01


def test_flicker_of_the_identity_is_one_and_gammas_is_less(folder: Path) -> None:
    assert measured("input", folder).results["flicker"] == pytest.approx({"still": 1.0, "exposure": 1.0, "pan": 1.0})
    bright = folder / "00.png"  # Without the black areas, in which gamma amplifies most.
    cv2.imwrite(str(bright), np.maximum(scene(), 80))
    assert all(0.2 < value < 0.9 for value in photographs.measure(gamma, [bright])["flicker"].values())


def test_a_network_that_depends_on_the_size_is_found_out(folder: Path) -> None:
    photograph = scene()
    same = photographs.apart(gamma, photograph, 0)
    limit = max(nights.night_of_size(photograph, photographs.MEGAPIXELS[0], 0).shape)
    other = photographs.apart(lambda x: gamma(x) if max(x.shape) <= limit else x, photograph, 0)
    for name, value in same.items():
        worse = other[name]
        assert value is not None
        assert worse is not None
        assert value > worse + 10


def test_a_size_that_is_refused_is_none() -> None:
    def refuse(picture: Picture) -> Picture:
        if picture.shape[0] * picture.shape[1] > 20_000:
            raise InputError("too large")
        return picture

    found = photographs.apart(refuse, scene(), 0)
    assert found["0.012"] is not None
    assert found["0.027"] is None


def test_clahe_brightens_and_keeps_the_form() -> None:
    dark = scene() // 8
    assert clahe(dark).shape == dark.shape
    assert clahe(dark).mean() > dark.mean()


def test_a_network_of_another_size_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="expected uint8"):
        photographs.measure(lambda picture: picture[1:], [folder / "00.png"])


def test_the_command_and_its_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["gamma", "--photographs", str(folder)]
    assert quality.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["configuration"]["pictures"]) == ("photographs", 2)
    assert quality.main(command) == 0
    table = capsys.readouterr().out
    assert "CIEDE2000" in table and "well-lit" in table
    assert quality.main(["gamma"]) == 2
    assert "--photographs is required" in capsys.readouterr().err


def test_the_page_shows_methods_first_and_nothing_without_records(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # The page names the sizes as they are.
    records = {name: measured(name, folder) for name in ("gamma",)}
    one = records["gamma"]
    records["blnet"] = make("photographs", {**one.configuration, "network": "blnet"}, one.results, one.environment)
    page = results.generate(records)["RESULTS.md"]
    section = page[page.index("## Photographs") :]
    assert section.index("|gamma|") < section.index("|blnet|")
    assert f"{one.results['nights']['0.02 low']['psnr']:.2f}" in section
    assert "## Photographs" not in results.generate({})["RESULTS.md"]
