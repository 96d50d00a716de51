"""Scores on the validation split, at full size and in 8 bits, as a deployed network would reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from train.darkening import darken
from train.networks.overview import pad_to
from train.nights import darken_plainly
from train.pairs import PairStore, Picture
from train.ssim import ssim


@dataclass(frozen=True)
class Scores:
    """Means over pictures. PSNR over RGB in dB; SSIM with an 11x11 Gaussian window of sigma 1.5, RGB, without padding."""

    psnr: float
    ssim: float
    #: PSNR after the output's mean level is multiplied to the truth's: what is left besides overall brightness.
    psnr_equal_mean: float
    pictures: int
    #: PSNR of photographs that were darkened, and of photographs that need nothing; None: not looked at.
    nights: float | None = None
    plain: float | None = None

    def values(self) -> dict[str, float]:
        """The scores that were taken, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def quality(self) -> float:
        """The score by which the best network is chosen: 0.01 of SSIM counts as much as 0.1 dB."""
        return self.psnr + 10 * self.ssim + (self.nights or 0.0)


def to_tensor(image: Picture, device: torch.device) -> Tensor:
    """H x W x 3 codes to 1 x 3 x H x W in [0, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255


def run_padded(network: nn.Module, image: Tensor, multiple: int) -> Tensor:
    """Pad by repeating the last row and column up to the network's multiple, run, crop, clip and round to 8-bit codes."""
    height, width = image.shape[2:]
    output = network(pad_to(image, multiple))[..., :height, :width].float()
    return (output.clamp(0.0, 1.0) * 255).round() / 255


def score(output: Tensor, truth: Tensor) -> tuple[float, float, float]:
    """PSNR, SSIM and PSNR at equal means of one picture."""
    levelled = (output * (truth.mean() / output.mean().clamp(min=1e-6))).clamp(0.0, 1.0)
    return _psnr(output, truth), float(ssim(output, truth)), _psnr(levelled, truth)


def validate(
    network: nn.Module,
    pairs: PairStore,
    photographs: PairStore | None,
    every_nth: int,
    multiple: int,
    device: torch.device,
    autocast: AbstractContextManager[Any],
) -> Scores:
    """Mean scores of a network, which is in eval mode, over every n-th pair and a third as many photographs."""

    def run(low: Picture) -> Tensor:
        with torch.inference_mode(), autocast:
            return run_padded(network, to_tensor(low, device), multiple)

    found: list[tuple[float, float, float]] = []
    for index in range(0, len(pairs), every_nth):
        low, high = validation_pair(pairs, index)
        found.append(score(run(low), to_tensor(high, device)))
    psnr, similarity, levelled = np.mean(found, axis=0).tolist()
    scores = Scores(psnr, similarity, levelled, len(found))
    if photographs is None:
        return scores
    nights, plain = _validate_nights(run, photographs, range(0, len(photographs), 3 * every_nth), device)
    return replace(scores, nights=nights, plain=plain)


def _validate_nights(
    run: Callable[[Picture], Tensor], store: PairStore, indices: Iterable[int], device: torch.device
) -> tuple[float, float]:
    """Mean PSNR of photographs darkened to 0.02, 0.08 and 0.25 of their light, and of the photographs as they are."""
    dark: list[float] = []
    plain: list[float] = []
    for index in indices:
        truth = store[index][1]
        for factor, read, shot in ((0.02, 5e-4, 5e-5), (0.08, 1e-3, 2e-4), (0.25, 2e-3, 5e-4)):
            low = darken_plainly(truth, factor, read, shot, np.random.default_rng([2, index]))
            dark.append(_psnr(run(low), to_tensor(truth, device)))
        plain.append(_psnr(run(truth), to_tensor(truth, device)))
    return float(np.mean(dark)), float(np.mean(plain))


def validation_pair(store: PairStore, index: int) -> tuple[Picture, Picture]:
    """A pair of the store; a dark picture that must be synthesised is the same one every time."""
    low, high = store[index]
    return (darken(high, np.random.default_rng([1, index])) if low is None else low), high


def _psnr(output: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((output - truth).square().mean().clamp(min=1e-10)))
