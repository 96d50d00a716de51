"""Dawn and dawn-live: what is decided on the overview, what is done around each pixel, and that the two meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from runtime import Enhancer, tiling
from tests.support.weights import randomise
from train.networks import dawn, dawn_live
from train.networks.dawn import Bright, Dawn
from train.networks.dawn_live import DawnLive
from train.networks.overview import enlarge, frame, overview, square_side

Exported = Callable[[str], Path]


@pytest.fixture(scope="module")
def network() -> Dawn:
    made = Dawn().eval()
    randomise(made)
    return made


@pytest.mark.parametrize("most", [dawn.POINTS, dawn_live.POINTS])
@pytest.mark.parametrize("size", [(16, 16), (400, 600), (97, 131), (1088, 1920), (3000, 4000), (8736, 11648)])
def test_the_overview_has_about_the_same_number_of_points_at_any_size(size: tuple[int, int], most: int) -> None:
    side = square_side(*size, most)
    points = sum(-(-extent // side) for extent in size)
    assert side == tiling.square_side(*size, points=most)
    assert side % 4 == 0 and points <= most + 2
    assert points >= 8 and (sum(size) < 2 * most or points >= most / 2)
    assert np.lcm(side, 8) <= 2 * max(side, 28)


def test_the_runtimes_overview_is_the_networks() -> None:
    image = np.random.default_rng(0).integers(0, 90, (408, 616, 3), dtype=np.uint8)
    expected, side = overview(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255, dawn.POINTS)
    found = tiling.overview(image[:403, :611], int(side), 408, 616)
    assert found.shape == expected.shape
    inner = np.s_[:, :, :-2, :-2]  # the last squares repeat an edge of another place
    assert np.abs(found[inner] - expected.numpy()[inner]).max() < 1e-6
    whole = tiling.overview(image, int(side), 408, 616)
    assert np.abs(whole - expected.numpy()).max() < 1e-6


def test_a_part_of_a_map_is_enlarged_as_in_the_whole() -> None:
    grid, image = torch.rand(1, 4, 20, 30), torch.zeros(1, 3, 80, 120)
    whole = enlarge(frame(grid), torch.tensor([4]), image)
    part = enlarge(frame(grid)[:, :, 5:13, 7:19], 4, image[:, :, 20:44, 28:68])
    assert torch.allclose(part, whole[:, :, 20:44, 28:68], atol=1e-6)
    for cell in (2, 4):
        assert enlarge(frame(grid), torch.tensor([4]), image, cell).shape == (1, 4, 80 // cell, 120 // cell)


@pytest.mark.parametrize("kind", [Dawn, DawnLive])
def test_untrained_it_brings_a_picture_to_a_usual_mean_and_keeps_its_colours(kind: type[Dawn | DawnLive]) -> None:
    image = torch.rand(1, 3, 64, 96) * torch.tensor([0.10, 0.05, 0.02]).view(1, 3, 1, 1)
    with torch.inference_mode():
        result = kind().eval()(image)
    assert 0.3 < float(result.mean()) < 0.6
    gain = (result / image)[:, :, (image[0].amin(0) > 1e-3) & (result[0].amax(0) < 1.4)]
    assert torch.allclose(gain[:, 0], gain[:, 2], rtol=1e-3)


def test_what_is_bright_comes_back_as_it_was() -> None:
    image = torch.rand(1, 3, 64, 96) * 0.2 + 0.8
    with torch.inference_mode():
        assert torch.equal(Dawn().eval()(image), image)


@pytest.mark.parametrize(("kind", "halo"), [(Dawn, dawn.HALO), (DawnLive, dawn_live.HALO)])
def test_the_noise_stage_looks_no_further_than_it_says(kind: type[Dawn | DawnLive], halo: int) -> None:
    double = kind().double().eval()
    randomise(double)
    cells = torch.rand(1, 3 * double.cell**2, 100, 100, dtype=torch.float64, requires_grad=True)
    curve, context, level = (torch.zeros(1, *shape, dtype=torch.float64) for shape in ((4, 100, 100), (8, 100, 100), (1, 1, 1)))
    reach = 0
    for offset in range(4):
        at = 48 + offset
        result = double.clean(Bright(cells, torch.zeros_like(cells), curve, context, level))[0, 0, at, at]
        seen = torch.autograd.grad(result, cells)[0].abs().sum((0, 1)).nonzero()
        reach = max(reach, at - int(seen.min()), int(seen.max()) - at)
    assert double.cell * reach + double.cell - 1 == halo


def test_gates_that_are_open_take_a_cell_away_and_closed_ones_leave_it() -> None:
    """The patterns turn a cell into others and back: with all gates open, all of it is noise."""
    network = DawnLive().eval()
    cells = torch.rand(1, 48, 6, 6)
    bright = Bright(cells, torch.zeros_like(cells), torch.zeros(1, 4, 6, 6), torch.zeros(1, 8, 6, 6), torch.zeros(1, 1, 1, 1))
    for bias, left in ((30.0, 0.0), (-30.0, 1.0)):
        torch.nn.init.constant_(network.gates.gates.bias, bias)  # pyright: ignore[reportArgumentType]
        with torch.inference_mode():
            assert torch.allclose(network.clean(bright), cells * left, atol=1e-5)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["dawn", "dawn_fp16", "dawn-live"])
@pytest.mark.parametrize("size", [(301, 403), (640, 264)])
def test_in_parts_it_is_as_in_one_piece(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, backend: str, name: str, size: tuple[int, int]
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    image = np.random.default_rng(1).integers(0, 60, (*size, 3), dtype=np.uint8)
    image[: size[0] // 3] //= 4
    with Enhancer(
        exported(name.removesuffix("_fp16")) / f"{name}.onnx",
        backend=backend,
        precision="fp32" if backend == "openvino" else None,
    ) as one:
        whole = one(image, tile="off")
        monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1)
        monkeypatch.setattr(tiling, "_CORE", 64)
        monkeypatch.setattr(tiling, "_CONTEXTS", 1)
        told: list[tuple[int, int]] = []
        parts = one(image, progress=lambda done, total: told.append((done, total)))
        batch = one(np.stack([image, image // 2]))
    assert told == [(done, len(told)) for done in range(1, len(told) + 1)] and len(told) > 4
    limit = 2 if "fp16" in name else 1
    assert np.abs(parts.astype(int) - whole).max() <= limit
    assert (parts != whole).mean() < 0.02
    assert np.array_equal(batch[0], parts)


def test_tiles_of_their_own_would_not_do(network: nn.Module) -> None:
    """The light of a part differs from that of the whole: the test above would see it."""
    image = torch.rand(1, 3, 128, 128) * 0.2
    image[:, :, :64] *= 0.1
    with torch.inference_mode():
        whole, alone = network(image), network(image[:, :, :64])
    assert float((whole[:, :, :32] - alone[:, :, :32]).abs().mean()) > 0.01
