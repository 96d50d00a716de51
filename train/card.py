"""The card beside a weights file: how the weights came to be, and what they scored."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from train.devices import device_name
from train.loop import Trainer
from train.networks import weights

#: The notice that goes with all weights trained on LOL.
LOL_NOTICE = (
    "LOL (Wei et al., Deep Retinex Decomposition, BMVC 2018): published for research; the dataset carries no licence text."
)
PHOTOGRAPHS_NOTICE = (
    "BSDS500 (Arbelaez et al., 2011) and a public sample of ImageNet (Deng et al., 2009), where the folder is the project's "
    "own: published for research; without a licence text of their own."
)
VGG_NOTICE = "VGG-16 features: Simonyan and Zisserman, CC BY 4.0 (torchvision's weights)."


def write_card(trainer: Trainer, table: str, data: Path, command: str) -> Path:
    """Write the best network of a run as NAME.safetensors, scored in FP32 as it is stored, and NAME.json beside it.

    `command` is the one that ended the run.
    """
    spec, out = trainer.spec, trainer.out
    path = out / f"{spec.weights}.safetensors"
    keywords = dict(trainer.recipe.build)
    vgg = "vgg" in keywords or any("perceptual" in stage.loss for stage in trainer.recipe.stages)
    for name in ("vgg", "unit_gain"):  # They only say where frozen values came from; the file holds them.
        keywords.pop(name, None)
    sha256 = weights.save(trainer.best_network(), spec, path, {"recipe": table}, **keywords)
    card: dict[str, Any] = {
        "network": spec.name,
        "trained": True,
        "sha256": sha256,
        "recipe": {"table": table, **trainer.recipe.document()},
        "command": command,
        "started_from": trainer.started_from,
        "earlier": trainer.earlier,
        "steps": trainer.step,
        "best_step": trainer.best_step if trainer.best is not None else trainer.step,
        "hours": round(trainer.seconds / 3600, 3),
        "hours_in_all": round(trainer.seconds / 3600 + hours_of(trainer.earlier), 3),
        "fitted_to_minutes": trainer.limits.fit_minutes,
        "device": device_name(trainer.device),
        "torch": torch.__version__,
        "data": {
            "folder": data.name,
            "training_pairs": len(trainer.train_store),
            "validation_pairs": len(trainer.val_store),
            **_photographs(trainer),
            "licence": LOL_NOTICE if (data / "pairs.csv").is_file() or (data / "our485").is_dir() else "that of the data used",
        },
        "validation": _final_scores(trainer, path, keywords),
    }
    if vgg:
        card["attribution"] = VGG_NOTICE
    target = path.with_suffix(".json")
    weights.write_atomically(target, (json.dumps(card, indent=2) + "\n").encode())
    return target


def _photographs(trainer: Trainer) -> dict[str, Any]:
    """The entries of a card about the photographs that were darkened."""
    if trainer.photographs is None or trainer.val_photographs is None:
        return {}
    return {
        "photographs": len(trainer.photographs),
        "photographs_kept_from_training": len(trainer.val_photographs),
        "photographs_licence": PHOTOGRAPHS_NOTICE,
    }


def read_card(path: Path) -> dict[str, Any] | None:
    """The card beside a weights file, if it is that of these very weights; what was exported of them is left out."""
    try:
        card = json.loads(path.with_suffix(".json").read_text())
        if not isinstance(card, dict) or card["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
            return None
    except (OSError, ValueError, KeyError):
        return None
    return {name: value for name, value in card.items() if name != "exported"}


def hours_of(card: dict[str, Any] | None) -> float:
    """Hours of training in these weights and in all that they were started from."""
    if card is None:
        return 0.0
    return float(card.get("hours_in_all") or card["hours"] + hours_of(card.get("earlier")))


def _final_scores(trainer: Trainer, path: Path, keywords: dict[str, Any]) -> dict[str, Any]:
    """Scores of the stored FP16 values in an FP32 network, over the whole validation split."""
    network = weights.load(trainer.spec, path, **keywords).network.to(trainer.device)
    scores = trainer.score(network, 1, nullcontext())
    return {name: round(value, 4) for name, value in scores.values().items()}
