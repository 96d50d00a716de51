"""Pictures as arrays, in host memory and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: uint8, H x W x 3 or N x H x W x 3.
Images = NDArray[np.uint8]

#: An Enhancer, or what is called as one: images and a call's options in, images out.
Enhance = Callable[..., Images]


@dataclass(frozen=True)
class DeviceImages:
    """Pictures on a GPU: uint8, N x H x W x 3, C-contiguous."""

    pointer: int
    shape: tuple[int, int, int, int]
    #: Kept alive as long as this object is; whatever owns the memory.
    owner: Any = None
