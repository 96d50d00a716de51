"""A picture before and after, as a notebook shows it: one over the other, with a slider between them."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from runtime import conversions
from runtime.errors import InputError
from runtime.images import Images

#: The longer side of what is shown: a notebook keeps its pictures in its file.
_LONGEST = 1024

_SEVERAL = "one picture is shown, found several or none; compare them one by one"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two pictures of one size, H x W x 3 RGB; the value of a notebook's cell that shows them."""

    before: Images
    after: Images
    #: Said below the pictures.
    caption: str = ""

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return _PAGE.format(
            width=min(self.before.shape[1], _LONGEST), before=_source(self.before), after=_source(self.after), caption=caption
        )

    def __repr__(self) -> str:
        height, width = self.before.shape[:2]
        return f"<Comparison {height}x{width}{', ' if self.caption else ''}{self.caption}>"


def compare(before: Any, after: Any, caption: str = "") -> Comparison:
    """Show two pictures in a notebook, as arrays, paths or whatever else an Enhancer takes; RGB.

    compare("night.jpg", enhancer("night.jpg"))
    """
    first, second = _pixels(before), _pixels(after)
    if first.shape != second.shape:
        raise InputError(
            f"the pictures have the shapes {first.shape} and {second.shape}; one picture before and after is shown"
        )
    return Comparison(first, second, caption)


def _pixels(image: Any) -> Images:
    """The picture that a network would be given."""
    if isinstance(image, list | tuple):
        raise InputError(_SEVERAL)
    seen: list[Images] = []

    def look(one: Any) -> Any:
        if not conversions.is_plain(one):
            return conversions.enhance(look, one, "rgb")
        seen.append(one)
        return one

    look(image)
    if len(seen[0].shape) != 3:
        raise InputError(_SEVERAL)
    if seen[0].size == 0:
        raise InputError(f"the picture is empty: shape {seen[0].shape}")
    return seen[0]


def _source(image: Images) -> str:
    """A picture as the text that an <img> takes in the place of an address."""
    scale = _LONGEST / max(image.shape[:2])
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


# Where scripts are off, as in a notebook that is not trusted, the border stays in the middle.
_PAGE = """\
<figure style="max-width: {width}px; margin: 0">
<div style="position: relative; line-height: 0; --split: 50%">
<img alt="after" src="{after}" style="width: 100%; margin: 0">
<img alt="before" src="{before}" style="position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; \
clip-path: inset(0 calc(100% - var(--split)) 0 0)">
<input type="range" aria-label="how much is shown as it was before, in percent" value="50" \
oninput="this.parentNode.style.setProperty('--split', this.value + '%')" \
style="position: absolute; bottom: 0; left: 0; width: 100%; margin: 0">
</div>
{caption}
</figure>
"""
