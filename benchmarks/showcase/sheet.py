"""Sample photographs side by side, dark and through networks: `python -m benchmarks.showcase.sheet pdn --out sheet.jpg`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import command_line
from runtime.errors import InputError

if TYPE_CHECKING:
    from runtime.images import Images

_CAPTION, _GAP = 26, 6


def sheet(photographs: list[Images], networks: list[str], width: int) -> Images:
    """One row per photograph, the dark one first, then one column per network; RGB."""
    import cv2
    import numpy as np

    from runtime import Enhancer

    columns: list[list[Images]] = [photographs]
    for network in networks:
        with Enhancer(network) as enhancer:
            columns.append([enhancer(image) for image in photographs])
    height = round(width * 2 / 3)
    rows = len(photographs)
    canvas = np.full((_CAPTION + rows * (height + _GAP) - _GAP, len(columns) * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for column, (title, pictures) in enumerate(zip(["dark", *networks], columns, strict=True)):
        left = column * (width + _GAP)
        cv2.putText(canvas, title, (left, _CAPTION - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (60, 60, 60), 1, cv2.LINE_AA)
        for row, picture in enumerate(pictures):
            top = _CAPTION + row * (height + _GAP)
            canvas[top : top + height, left : left + width] = _fill(picture, height, width)
    return canvas


def _fill(picture: Images, height: int, width: int) -> Images:
    """Scale and crop about the centre to exactly this size."""
    import cv2
    import numpy as np

    scale = max(height / picture.shape[0], width / picture.shape[1])
    size = (max(round(picture.shape[1] * scale), width), max(round(picture.shape[0] * scale), height))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width], np.uint8)


def _photographs(folder: Path | None, count: int) -> list[Images]:
    from benchmarks.pictures.samples import sample_photographs
    from train.pairs import EXTENSIONS, read_picture

    if folder is None:
        return [image for _, image in sample_photographs()][:count]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise InputError(f"{folder} holds no pictures")
    return [read_picture(path) for path in paths[:: max(len(paths) // count, 1)]][:count]


def main(argv: list[str] | None = None) -> int:
    parser = command_line.Parser(
        prog="python -m benchmarks.showcase.sheet", description="Sample photographs side by side, dark and through networks."
    )
    parser.add_argument("networks", nargs="+", metavar="NAME")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".jpg or .png")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="dark photographs (default: darkened samples)")
    parser.add_argument("--count", type=int, default=4, help="how many photographs (default: %(default)s)")
    parser.add_argument("--width", type=int, default=360, help="of one picture, in pixels (default: %(default)s)")
    return command_line.run(_run, parser, argv, "cpu,quality")


def _run(arguments: argparse.Namespace) -> None:
    import cv2

    from runtime.files import write_atomically

    if arguments.out.suffix not in (".jpg", ".png"):
        raise InputError(f"{arguments.out}: expected a name that ends in .jpg or .png")
    made = sheet(_photographs(arguments.photographs, arguments.count), arguments.networks, arguments.width)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 88] if arguments.out.suffix == ".jpg" else []
    good, content = cv2.imencode(arguments.out.suffix, made[..., ::-1], quality)
    if not good:
        raise InputError("the sheet could not be encoded")
    write_atomically(arguments.out, content.tobytes())
    print(arguments.out)


if __name__ == "__main__":
    sys.exit(main())
