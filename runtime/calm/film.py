"""Film: the frames of one film, enhanced one after the other, calmer than each alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.calm import average, check, light
from runtime.calm.average import Average
from runtime.calm.light import LightWindow
from runtime.errors import InputError
from runtime.images import Enhance, Images
from runtime.tiling import Floats


class Film:
    """Enhances the frames of one film in their order, with what an Enhancer is called with; not for several threads at once.

        film = Film(enhancer)
        for dark in frames:
            bright = film(dark)     # uint8 H x W x 3, each a picture of its own

    The light of the last few frames is averaged, where the artifact comes apart into light and the rest, and so is what
    comes out wherever nothing moves. `calm` is 1 for as much as that can do, 0 for every frame alone. Nothing is delayed,
    nothing of what moved stays behind, and cuts are noticed; `reset` begins another film.
    """

    def __init__(self, enhancer: Enhance, calm: float = 1.0) -> None:
        """`enhancer`: an Enhancer, or what is called as one."""
        if not callable(enhancer):
            raise InputError(f"a Film is made of an Enhancer, as Film(Enhancer('dawn-live')), found {enhancer!r}")
        self._calm = check(calm)
        self._steady = SteadyEnhancer(enhancer, self._calm)
        self._average = Average(average.KEEP * self._calm)
        self.color: str = getattr(enhancer, "color", "rgb")

    def __call__(self, image: Images, **options: Any) -> Images:
        """Enhance the next frame, with the options of a call of the Enhancer."""
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError("a film's frame is an array of uint8, H x W x 3; other pictures are for the Enhancer")
        bright = self._steady(image, **options)
        if self._calm == 0.0 or options.get("strength", 1.0) == 0.0:
            return bright
        return self._average.add(image, bright)

    def reset(self) -> None:
        """Forget the frames so far."""
        self._steady.reset()
        self._average.reset()


class SteadyEnhancer:
    """An enhancer whose light is averaged over the last `frames` frames, and which knows nothing of any frame before them."""

    def __init__(self, enhancer: Enhance, calm: float = 1.0) -> None:
        self._enhancer = enhancer
        steady = calm > 0.0 and getattr(enhancer, "comes_apart", False)
        self._window = LightWindow(light.KEEP * calm) if steady else None
        #: How many frames, its own included, decide what becomes of one.
        self.frames = light.FRAMES if steady else 1

    def __call__(self, image: Images, **options: Any) -> Images:
        """Enhance the next frame."""
        return self._enhance(image, True, options)

    def look(self, image: Images, **options: Any) -> None:
        """Take note of a frame before the first one that is wanted."""
        if self._window is not None:
            self._enhance(image, False, options)

    def reset(self) -> None:
        """Forget the frames so far."""
        if self._window is not None:
            self._window.reset()

    def _enhance(self, image: Images, wanted: bool, options: dict[str, Any]) -> Images:
        window = self._window
        if window is None:
            return self._enhancer(image, **options)
        seen = False

        def steady(overview: Floats, decided: Any) -> Any:
            nonlocal seen
            seen = True
            averaged = window.add(overview, decided)
            return averaged if wanted else None

        bright = self._enhancer(image, steady=steady, **options)
        if not seen:  # `gate` let it pass as it is: what came before lies too far back
            window.reset()
        return bright
