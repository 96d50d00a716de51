"""The networks are the ones that the papers and the specification describe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from tests.support.weights import randomise
from train.errors import UnknownNetworkError
from train.networks import NETWORKS, get_spec
from train.networks.blnet import BLNet
from train.networks.dsn import DSN, ExponentialSigmoid
from train.networks.msr import SIGMAS, MultiScaleRetinex
from train.networks.msrnet import MSRNet, MultiScaleLog
from train.networks.pdn import PDN
from train.networks.sri import SRI
from train.networks.weights import build_seeded
from train.strips import illumination


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_count_is_the_one_declared(name: str) -> None:
    spec = get_spec(name)
    assert _parameters(spec.build()) == spec.parameters
    assert spec.name == name


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("pdn", 492_396),
        ("dsn", 4_483_176),
        ("dsn-reverse", 4_483_176),
        ("blnet", 7_665_605),
        ("sri", 891_459),
        ("msrnet", 86_386),
        ("msr", 0),
        ("msrcr", 0),
    ],
)
def test_parameter_count_is_the_papers(name: str, count: int) -> None:
    assert get_spec(name).parameters == count


def test_other_readings_have_their_own_counts() -> None:
    assert _parameters(DSN(share_recurrent=False)) == 11_559_624 + 38_592
    assert _parameters(MSRNet(log_width=3)) == 85_226
    assert _parameters(BLNet(base=16)) == 1_917_925


def test_convolution_counts() -> None:
    def convolutions(network: nn.Module) -> int:
        return sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in network.modules())

    assert convolutions(PDN()) == 24
    assert convolutions(SRI()) == 26
    assert convolutions(BLNet()) == 28
    assert convolutions(MSRNet()) == 14


def test_unknown_network_lists_the_known() -> None:
    with pytest.raises(UnknownNetworkError, match="known: dawn, "):
        get_spec("retinexnet")


@pytest.mark.parametrize("name", NETWORKS)
def test_shape_is_kept(name: str) -> None:
    spec = get_spec(name)
    side = 16 if spec.multiple > 1 else 17
    image = torch.rand(2, 3, side, 2 * side)
    with torch.inference_mode():
        assert build_seeded(spec)(image).shape == image.shape


def test_pdn_stages_are_the_retinex_steps() -> None:
    network = randomise(PDN())
    image = torch.rand(1, 3, 24, 32) * 0.2
    with torch.inference_mode():
        stages = network.stages(image)  # pyright: ignore[reportCallIssue]
        for light in (stages.coarse_illumination, stages.illumination):
            assert float(light.min()) >= 1 / 255 - 1e-7
            assert float(light.max()) <= 1.0
        torch.testing.assert_close(stages.reflectance * stages.illumination, image)
        noise = network.coarse_noise(stages.reflectance)  # pyright: ignore[reportCallIssue]
        torch.testing.assert_close(stages.coarse_clean, stages.reflectance - noise)
        torch.testing.assert_close(network(image), stages.enhanced)


def test_pdn_second_division_can_divide_the_first_result() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16) * 0.1
    stages = PDN(second_division="coarse").stages(image)
    torch.testing.assert_close(stages.reflectance * stages.illumination, stages.coarse_reflectance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 21, 34), (1, 40, 19)])
@pytest.mark.parametrize("share", [True, False])
def test_dsn_is_invertible(dtype: torch.dtype, shape: tuple[int, int, int], share: bool) -> None:
    torch.manual_seed(3)
    network = randomise(DSN(share_recurrent=share)).to(dtype)
    count, height, width = shape
    features = [torch.randn(count, 32, height, width, dtype=dtype) * 0.3 for _ in range(2)]
    with torch.inference_mode():
        there = network.transform(*features)  # pyright: ignore[reportCallIssue]
        back = network.transform_back(*there)  # pyright: ignore[reportCallIssue]
    moved = max(float((a - b).abs().max()) for a, b in zip(there, features, strict=True))
    assert moved > 0.05, "the blocks did nothing, so the test says nothing"
    tolerance = 2e-4 if dtype == torch.float32 else 1e-12
    for found, wanted in zip(back, features, strict=True):
        assert float((found - wanted).abs().max()) < tolerance


def test_dsn_starts_as_the_identity() -> None:
    network = build_seeded(get_spec("dsn"))
    first, second = torch.randn(1, 32, 16, 16), torch.randn(1, 32, 16, 16)
    with torch.inference_mode():
        found = network.transform(first, second)  # pyright: ignore[reportCallIssue]
    torch.testing.assert_close(found, (first, second))


def test_dsn_grown_half_way_is_the_whole_network() -> None:
    network: Any = build_seeded(get_spec("dsn"))
    for block in network.blocks[:2]:
        for layer in (block.scale, block.update, block.shift):
            nn.init.normal_(layer.narrow.weight, std=0.1)
    image = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        found = [(network.enhance(image), network.darken(image)) for network.active in (8, 2, 1)]
    torch.testing.assert_close(found[1], found[0])
    assert not torch.allclose(found[2][0], found[0][0], atol=1e-3)


def test_dsn_decoder_is_the_adjoint_of_the_encoder() -> None:
    network = build_seeded(get_spec("dsn")).double()
    image, features = torch.randn(1, 3, 12, 15).double(), torch.randn(1, 64, 12, 15).double()
    with torch.inference_mode():
        encoded = torch.cat(network.encode(image), dim=1)  # pyright: ignore[reportCallIssue]
        decoded = network.decode(*features.chunk(2, dim=1))  # pyright: ignore[reportCallIssue]
        by_transpose = nn.functional.conv_transpose2d(
            nn.functional.conv_transpose2d(features, network.encode2.weight, padding=1),  # pyright: ignore
            network.encode1.weight,  # pyright: ignore
            padding=1,
        )
    assert float((encoded * features).sum()) == pytest.approx(float((image * decoded).sum()), rel=1e-9)
    torch.testing.assert_close(decoded, by_transpose)


def test_dsn_exponential_sigmoid_range() -> None:
    z = torch.linspace(-60, 60, 301)
    found = ExponentialSigmoid()(z)
    torch.testing.assert_close(found, torch.exp(2 * torch.sigmoid(z) - 1))
    assert float(found.min()) == pytest.approx(np.exp(-1), rel=1e-5)
    assert float(found.max()) == pytest.approx(np.e, rel=1e-5)


def test_blnet_output_is_reflectance_times_light() -> None:
    network = build_seeded(get_spec("blnet"))
    image = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        stages = network.stages(image)  # pyright: ignore[reportCallIssue]
    assert stages.reflectance.shape[1] == 3 and stages.bright_illumination.shape[1] == 1
    torch.testing.assert_close(stages.enhanced, stages.reflectance * stages.bright_illumination)


def test_msrnet_logarithms_keep_black_and_white() -> None:
    image = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    logs = MultiScaleLog()(image)
    torch.testing.assert_close(logs, torch.stack([torch.zeros(12, 4, 4), torch.ones(12, 4, 4)]))


@pytest.mark.parametrize("size", [(96, 128), (400, 600), (33, 47)])
def test_msr_equals_direct_gaussians(size: tuple[int, int]) -> None:
    """The truncated cosine basis against scipy's Gaussians with the edge pixel repeated."""
    random = np.random.default_rng(5)
    coarse = random.uniform(1.0, 60.0, (3, *size))
    intensity = np.stack([gaussian_filter(plane, 2.0) for plane in coarse]) + random.uniform(0, 2, (3, *size))
    wanted = np.mean(
        [np.log(intensity) - np.log([gaussian_filter(p, s, mode="reflect", truncate=6.0) for p in intensity]) for s in SIGMAS],
        axis=0,
    )
    found = MultiScaleRetinex().retinex(torch.from_numpy(intensity[None]).float())[0].numpy()
    assert np.abs(found - wanted).max() < 1e-3


@pytest.mark.parametrize("color_restoration", [False, True])
def test_msr_of_a_flat_picture_is_finite(color_restoration: bool) -> None:
    network = MultiScaleRetinex(color_restoration)
    for value in (0.0, 0.5, 1.0):
        found: Tensor = network(torch.full((1, 3, 32, 40), value))
        assert bool(torch.isfinite(found).all())
        assert float(found.min()) >= -0.5 and float(found.max()) <= 1.5


def _reach(network: nn.Module, side: int, center: int) -> int:
    """How far away, at most, lies a pixel that an output pixel depends on."""
    # Dark enough that no network clips its output, which would hide everything.
    image = (torch.rand(1, 3, side, side, dtype=torch.float64) * 0.02 + 0.01).requires_grad_()
    network(image)[0, :, center, center].sum().backward()
    assert image.grad is not None
    return int((image.grad[0].abs().sum(dim=0).nonzero() - center).abs().max())


def _let_everything_through(network: nn.Module) -> None:
    """A ReLU or a maximum would hide from the gradient some of what a network looks at."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus())
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(2))


@pytest.mark.parametrize("name", [name for name in NETWORKS if get_spec(name).halo is not None])
def test_halo_is_honest(name: str) -> None:
    """No pixel beyond the declared halo matters, wherever on the network's grid the output pixel lies."""
    spec = get_spec(name)
    assert spec.halo is not None
    # Width does not change what is seen, but time.
    network = randomise(build_seeded(spec, **({"base": 4} if name == "blnet" else {})))
    _let_everything_through(network)
    network.double()
    step = spec.multiple
    side = -(-(2 * spec.halo + 6 * step + 1) // step) * step
    offsets = range(0, step, max(step // 4, 1))
    reach = max(_reach(network, side, side // 2 + offset) for offset in offsets)
    assert reach <= spec.halo
    assert reach > spec.halo * 0.8, "the halo is wastefully large"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_strips_of_a_training_find_the_illumination(name: str) -> None:
    spec = get_spec(name)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        light = illumination(build_seeded(spec), image)
    divides = any(rule.has_illumination for rule in spec.contract)
    assert (light is not None) == divides
    assert light is None or (light.shape[0], *light.shape[2:]) == (1, 64, 64)
