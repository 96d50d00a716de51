"""What each network is trained on: from a batch to named terms, which a recipe weighs.

An objective runs the network under the trainer's precision and computes its terms in FP32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from train import features, losses
from train.batches import Batch
from train.errors import RecipeError
from train.scenes import Group

Terms = Mapping[str, Callable[[], Tensor]]
Autocast = Callable[[], AbstractContextManager[Any]]
#: Takes the network, a batch and the context in which convolutions run; returns the terms, each computed when called.
Objective = Callable[[Any, Any, Autocast], Terms]


def weighted(terms: Terms, weights: Mapping[str, float], where: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum and the unweighted terms that `weights` names."""
    unknown = weights.keys() - terms.keys()
    if unknown:
        raise RecipeError(f"{where} has no term {min(unknown)!r}; it has: {', '.join(terms)}")
    values = {name: terms[name]() for name, weight in weights.items() if weight}
    if not values:
        raise RecipeError(f"{where}: every weight is 0; give at least one of {', '.join(terms)} a weight")
    return torch.stack([weights[name] * value for name, value in values.items()]).sum(), values


def find(name: str) -> Objective:
    """The objective of that name."""
    try:
        return OBJECTIVES[name]
    except KeyError:
        raise RecipeError(f"unknown objective {name!r}; known: {', '.join(OBJECTIVES)}") from None


def _picture_terms(enhanced: Tensor, high: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Terms that any network's output can be judged by."""
    return {
        "enhanced": lambda: losses.l1(enhanced, high),
        "squared": lambda: losses.l2(enhanced, high),
        "mean": lambda: losses.mean_colour(enhanced, high),
        "structure": lambda: losses.structure(enhanced, high),
        "multi_scale": lambda: losses.multi_scale_structure(enhanced, high),
        "colour": lambda: losses.colour_angle(enhanced, high),
        "gradient": lambda: losses.gradient_difference(enhanced, high),
    }


def _pdn_enhancement(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    with autocast():
        maps = network.brighten(batch.low)
    illumination, reflectance = _divisor(network, maps[0].float(), maps[2].float()), maps[3].float()
    return {
        "structure": lambda: losses.multi_scale_structure(reflectance, batch.high),
        "forward": lambda: losses.forward_constraint(illumination, batch.low, batch.high),
        "backward": lambda: losses.backward_constraint(illumination, batch.low, batch.high),
    }


def _divisor(network: Any, coarse: Tensor, fine: Tensor) -> Tensor:
    """What the input is divided by in all: L2, or L1 L2 where the second division is of R1."""
    return fine if network.second_division == "input" else coarse * fine


def _pdn_denoising(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    noisy = losses.add_poisson_noise(batch.high)
    with autocast():
        clean = network.denoise(noisy)[1]
    noise = noisy - clean.float()
    return {
        "removal": lambda: losses.noise_removal(noise, noisy, batch.high),
        "addition": lambda: losses.noise_addition(noise, noisy, batch.high),
    }


def _pdn_joint(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    with autocast():
        stages = network.stages(batch.low)
    maps = type(stages)(*(each.float() for each in stages))
    illumination = _divisor(network, maps.coarse_illumination, maps.illumination)
    return {
        **_picture_terms(maps.enhanced, batch.high),
        "coarse": lambda: losses.l1(maps.coarse_reflectance, batch.high),
        "fine": lambda: losses.l1(maps.reflectance, batch.high),
        "clean": lambda: losses.l1(maps.coarse_clean, batch.high),
        "backward": lambda: losses.backward_constraint(illumination, batch.low, batch.high),
    }


def _msrnet(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    with autocast():
        flat, enhanced = network.stages(batch.low)
    difference = flat.float()
    return {
        **_picture_terms(enhanced.float(), batch.high),
        "frobenius": lambda: losses.frobenius(enhanced.float(), batch.high),
        "flat": lambda: losses.l1(difference, batch.high),
    }


def _sri(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    with autocast():
        light = network.illumination(batch.low)
    illumination = light.float()
    reflectance = batch.low / illumination
    return {
        **_picture_terms(reflectance, batch.high),
        "reconstruction": lambda: losses.l2(reflectance, batch.high),
        "backward": lambda: losses.backward_constraint(illumination, batch.low, batch.high),
    }


def _sri_synthetic(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    """A smooth map stands in for NYU's depth: the picture is dimmed by it, and it is what the network must find."""
    depth = smooth_maps(batch.high)
    with autocast():
        illumination = network.illumination(batch.high * depth)
    return {"illumination": lambda: losses.l2(illumination.float(), depth)}


def _dawn(network: Any, batch: tuple[Group, ...], autocast: Autocast) -> Terms:
    """The light is judged on whole overviews, the result on crops."""
    return _mean_over_groups([_dawn_group(network, group, autocast) for group in batch], batch)


def _dawn_light(network: Any, batch: tuple[Group, ...], autocast: Autocast) -> Terms:
    """The light alone, on whole overviews: a fraction of the work."""
    return _mean_over_groups([_overview_terms(network, group, autocast) for group in batch], batch)


def _mean_over_groups(parts: Sequence[Terms], batch: tuple[Group, ...]) -> Terms:
    """Each group of scenes weighs by its number."""
    counts = [len(group.corners) for group in batch]

    def mean(name: str) -> Callable[[], Tensor]:
        weighed = zip(parts, counts, strict=True)
        return lambda: torch.stack([part[name]() * (count / sum(counts)) for part, count in weighed]).sum()

    return {name: mean(name) for name in parts[0]}


def _decide(network: Any, overview: Tensor, autocast: Autocast) -> Any:
    with autocast():
        light = network.decide(overview)
    return type(light)(*(each.float() for each in light))


def _dawn_group(network: Any, group: Group, autocast: Autocast) -> Terms:
    light = _decide(network, group.overviews[0].dark, autocast)
    squares = group.low.shape[2] // group.side
    part = type(light)(*(_crops(each, group.corners, squares) if each.shape[2] > 1 else each for each in light))
    bright = network.brighten(group.low, part, group.side)
    with autocast():
        clean = network.clean(bright).float()
    result = network.to_pixels(clean)
    # A screen shows what is beyond white as white: half of the difference counts, so that it does not run away.
    enhanced, shown = losses.displayed(result, slope=0.5), losses.displayed(result, slope=0.05)
    return {
        **_picture_terms(enhanced, group.high),
        "structure": lambda: losses.structure(shown, group.high),
        "chroma": lambda: losses.chroma(enhanced, group.high),
        # Brightness is the light's to decide: noise has no mean.
        "noise_mean": lambda: nn.functional.avg_pool2d(bright.reflectance - clean, 8).abs().mean(),
        **_overview_terms(network, group, autocast, light),
    }


def _overview_terms(network: Any, group: Group, autocast: Autocast, light: Any = None) -> Terms:
    """What the light makes of whole scenes. `light` is that of the first overviews, where it is known."""

    @cache
    def seen() -> list[tuple[Tensor, Tensor]]:
        """Each overview divided by its illumination, and its truth."""
        lights = [_decide(network, group.overviews[0].dark, autocast) if light is None else light]
        lights += [_decide(network, each.dark, autocast) for each in group.overviews[1:]]
        return [
            (losses.displayed(network.divide_overview(each.dark, decided), slope=0.5), each.bright)
            for each, decided in zip(group.overviews, lights, strict=True)
        ]

    def mean(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], Tensor]:
        return lambda: torch.stack([loss(*pair) for pair in seen()]).mean()

    def agreement() -> Tensor:
        """How far apart the scenes are at two sizes of squares: a picture should look the same at any size."""
        if len(group.overviews) < 2:
            raise RecipeError("the term 'agreement' compares overviews of two sides; give the recipe's sides two values")
        coarse, fine = sorted((bright for bright, _ in seen()), key=lambda each: each.shape[2])
        return losses.l1(nn.functional.adaptive_avg_pool2d(fine, (coarse.shape[2], coarse.shape[3])), coarse)

    return {
        "overview": mean(losses.l1),
        "overview_mean": mean(losses.mean_colour),
        "overview_chroma": mean(losses.chroma),
        "agreement": agreement,
    }


def _crops(grid: Tensor, corners: tuple[tuple[int, int], ...], squares: int) -> Tensor:
    """The part of each crop in a map with a frame of one point, with such a frame of its own."""
    return torch.stack([one[:, y : y + squares + 2, x : x + squares + 2] for one, (y, x) in zip(grid, corners, strict=True)])


def smooth_maps(like: Tensor) -> Tensor:
    """One random smooth map per picture, N x 3 x H x W with equal channels, values in [0.02, 1]."""
    coarse = torch.rand(like.shape[0], 1, 4, 4, device=like.device) * torch.rand(like.shape[0], 1, 1, 1, device=like.device)
    smooth = nn.functional.interpolate(coarse, like.shape[2:], mode="bicubic", align_corners=False)
    return smooth.clamp(0.02, 1.0).expand(-1, 3, -1, -1)


def _blnet_decomposition(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    with autocast():
        parts = [network.decompose(image) for image in (batch.low, batch.high)]
    (r_low, i_low), (r_high, i_high) = [(reflectance.float(), light.float()) for reflectance, light in parts]
    return {
        "reconstruction": lambda: losses.cross_reconstruction((r_low, r_high), (i_low, i_high), (batch.low, batch.high)),
        "smooth": lambda: losses.smooth_illumination(i_low, r_low) + losses.smooth_illumination(i_high, r_high),
        "equal": lambda: losses.l1(r_low, r_high),
        "noise_variation": lambda: losses.total_variation(colour_bias_network(r_low)),
        "noise_squared": lambda: losses.l2(r_low, r_high),
        "noise_colour": lambda: losses.l1(colour_bias_network(r_low), colour_bias_network(r_high)),
    }


def _blnet_enhancement(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    with autocast():
        stages = network.stages(batch.low)
        light_high = network.decompose(batch.high)[1].float()
    maps = type(stages)(*(each.float() for each in stages))
    return {
        "reconstruction": lambda: losses.l1(maps.enhanced, batch.high),
        "brightness": lambda: losses.l1(maps.bright_illumination, light_high),
        "perceptual": lambda: features.perceptual(maps.enhanced, batch.high),
        "gradient": lambda: losses.gradient_difference(maps.enhanced, batch.high),
    }


def _blnet_joint(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    with autocast():
        stages = network.stages(batch.low)
    maps = type(stages)(*(each.float() for each in stages))
    return {
        **_picture_terms(maps.enhanced, batch.high),
        "reconstruction": lambda: losses.l1(maps.reflectance * maps.illumination, batch.low),
        # The brightest channel is the illumination that leaves a reflectance of at most 1.
        "brightness": lambda: losses.l1(maps.bright_illumination, batch.high.amax(dim=1, keepdim=True)),
        "smooth": lambda: losses.smooth_illumination(maps.illumination, maps.reflectance),
    }


def _dsn(network: Any, batch: Batch, autocast: Autocast) -> Terms:
    """Both directions. The frozen encoder and decoder amplify rounding and run in FP32, like the couplings."""

    def run(image: Tensor, transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        halves = network.encode(image)
        with autocast():
            halves = transform(*halves)
        return network.decode(*(half.float() for half in halves))

    def darkened(count: int) -> Tensor:
        return run(losses.quantise(batch.high[:count]), network.transform_back)

    enhanced = run(batch.low, network.transform)
    whole, quarter = len(batch.high), max(1, len(batch.high) // 4)
    return {
        **_picture_terms(enhanced, batch.high),
        "forward": lambda: losses.summed_l2(enhanced, batch.high),
        "backward": lambda: losses.summed_l2(darkened(whole), batch.low),
        "backward_l1": lambda: losses.l1(darkened(whole), batch.low),
        # Of a quarter of the batch: the way back at a quarter of its cost.
        "backward_quarter": lambda: losses.l1(darkened(quarter), batch.low[:quarter]),
    }


@lru_cache(maxsize=1)
def _colour_bias_layers() -> nn.Sequential:
    """BLNet's phi: four 3x3 convolutions, frozen at a seeded initialisation.

    Trained on its own losses, phi would become constant and the losses 0; frozen, it is a random but fixed view.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = (3, 16, 16, 16, 3)
        layers: list[nn.Module] = []
        for cin, cout in pairwise(widths):
            layers += [nn.Conv2d(cin, cout, 3, padding=1), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers[:-1]).requires_grad_(False)


def colour_bias_network(reflectance: Tensor) -> Tensor:
    """phi(R), N x 3 x H x W."""
    return _colour_bias_layers().to(reflectance.device)(reflectance)


OBJECTIVES: dict[str, Objective] = {
    "pdn-enhancement": _pdn_enhancement,
    "pdn-denoising": _pdn_denoising,
    "pdn-joint": _pdn_joint,
    "msrnet": _msrnet,
    "blnet-decomposition": _blnet_decomposition,
    "blnet-enhancement": _blnet_enhancement,
    "blnet-joint": _blnet_joint,
    "dsn": _dsn,
    "dawn": _dawn,
    "dawn-light": _dawn_light,
    "sri": _sri,
    "sri-synthetic": _sri_synthetic,
}
