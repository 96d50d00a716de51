"""Logs of a run: CSV for scripts, TensorBoard for people."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO


class Records:
    """Appends to train.csv, validation.csv and a TensorBoard file in a run's folder."""

    def __init__(self, folder: Path, resumed_at: int = 0) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[Path, IO[str]] = {}
        for name in ("train.csv", "validation.csv"):
            _cut(folder / name, resumed_at)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed_at + 1)

    def train(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """One line of losses: long form, because the terms change from stage to stage."""
        rows = [(step, round(seconds, 1), name, value) for name, value in values.items()]
        self._append("train.csv", ("step", "seconds", "term", "value"), rows)
        for name, value in values.items():
            self._board.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """One line of scores."""
        self._append("validation.csv", ("step", "seconds", *values), [(step, round(seconds, 1), *values.values())])
        for name, value in values.items():
            self._board.add_scalar(f"validation/{name}", value, step)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._board.close()

    def _append(self, name: str, header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
        path = self._folder / name
        if path not in self._files:
            fresh = not path.exists() or path.stat().st_size == 0
            self._files[path] = path.open("a", newline="")
            if fresh:
                csv.writer(self._files[path]).writerow(header)
        csv.writer(self._files[path]).writerows(rows)
        self._files[path].flush()


def _cut(path: Path, last: int) -> None:
    """Drop the lines after the step from which a run is resumed."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(row for i, row in enumerate(rows) if i == 0 or int(row[0]) <= last)
