"""SpecialisationPolicy: when a shape of pictures gets a compiled model of its own, beside the one for all shapes."""

from __future__ import annotations

#: Runs in a row of one shape before it gets a model of its own, where both compute the same.
PATIENCE = 2
#: Models of one shape are kept for so many pixels together: each holds its working memory, 0.6 to 2.8 KB for each pixel.
KEPT = 1 << 20

Shape = tuple[int, ...]


class SpecialisationPolicy:
    """The same picture must always produce the same bytes.

    Where a model of one shape is identical to the general one, to the bit, a shape gets its own only after it has come
    several times in a row. Where it is not, every shape gets one on its first run, and there is no general model.
    """

    def __init__(self, fixed: bool, identical: bool) -> None:
        """`fixed`: the graph takes one shape only. `identical`: models of one shape compute what the general one does."""
        self._fixed = fixed
        self.has_general_model = fixed or identical
        #: The shape of the last run, and how many runs in a row had it.
        self._recent: tuple[Shape, int] = ((), 0)

    def count(self, shape: Shape) -> bool:
        """Count a run of this shape; whether it is to have a model of its own from now on."""
        last, times = self._recent
        self._recent = (shape, times + 1 if shape == last else 1)
        if not self.has_general_model:
            return True
        return not self._fixed and self._recent[1] > PATIENCE and pixels(shape) <= KEPT


def pixels(shape: Shape) -> int:
    """Pixels of a batch N x H x W x 3."""
    return shape[0] * shape[1] * shape[2]
