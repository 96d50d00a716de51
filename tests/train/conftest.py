"""A small folder of pairs, and a recipe that trains on it in a second."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from train.recipes import Recipe, Stage


@pytest.fixture
def pairs_folder(tmp_path: Path) -> Path:
    """Fourteen pairs: smooth bright pictures, and the same at a tenth of the light."""
    folder = tmp_path / "pairs"
    for side in ("low", "high"):
        (folder / side).mkdir(parents=True)
    for index in range(14):
        random = np.random.default_rng(index)
        high = cv2.resize(random.integers(60, 256, (6, 8, 3), dtype=np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "high" / f"{index}.png"), high)
        cv2.imwrite(str(folder / "low" / f"{index}.png"), high // 10)
    return folder


@pytest.fixture
def small_recipe() -> Recipe:
    """MSR-net, 8 steps in two stages."""
    first = Stage("msrnet", 4, {"enhanced": 1.0, "structure": 0.2}, train=("mix.*", "restore.*"))
    second = Stage("msrnet", 4, {"frobenius": 1.0})
    return Recipe(
        stages=(first, second), batch=2, crop=24, learning_rate=1e-3, exposure=(0.5, 2.0), ema=0.9, warmup=2, clip_norm=1.0,
        validate_every=4,
    )  # fmt: skip
