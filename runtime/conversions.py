"""Pictures of every usual kind, as uint8 arrays for the network and back: the result is of the kind that came in.

Nothing here imports Pillow, torch or another library: whoever passes their objects has done so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.images import Enhance
from runtime.media import formats, pictures
from runtime.options import Color

KINDS = (
    "an array (uint8, or floats in [0, 1]; H x W x 3, N x H x W x 3, grey or with alpha), a path, a Pillow image, "
    "a tensor that speaks DLPack, or a list of these"
)

#: The device that DLPack calls the CPU.
_DL_CPU = 1

#: Modes of Pillow whose pixels are enhanced as they are, and those that are converted first, without loss.
_MODES = ("RGB", "RGBA", "L")
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "LA": "RGBA", "RGBX": "RGB"}

#: Floats closer to codes of 8 bits than this, in codes, are those codes: of 8-bit pictures divided by 255.
_ROUNDING = {"float16": 0.13, "float32": 1e-3, "float64": 1e-3}


def is_plain(image: Any) -> bool:
    """Whether the network takes an image as it is: uint8 with three channels last."""
    return isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim > 2 and image.shape[-1] == 3


def enhance(enhancer: Enhance, image: Any, color: Color) -> Any:
    """Enhance an image of another kind, or the images in a list; the result is of the same kind, a list's a list.

    `enhancer` enhances what is plain, and calls this for the rest.
    """
    if isinstance(image, list | tuple):
        return [enhancer(one) for one in image]
    if isinstance(image, str | os.PathLike):
        return _file(enhancer, Path(image), color)
    if isinstance(image, np.ndarray):
        return _array(enhancer, image, color)
    if _is_pillow(image):
        return _pillow(enhancer, image, color)
    if hasattr(image, "__dlpack_device__"):
        return _tensor(enhancer, image)
    raise InputError(f"expected {KINDS}; found {type(image).__name__}")


def fill(out: Any, result: Any) -> Any:
    """Put a result into the array that the caller brought for it."""
    if not isinstance(result, np.ndarray):
        raise InputError("out goes with numpy arrays and GPU memory; leave it away for lists, tensors and Pillow images")
    if not isinstance(out, np.ndarray) or (out.shape, out.dtype) != (result.shape, result.dtype):
        found = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"out must be {result.dtype} of shape {result.shape}, as the image is, found {found}")
    if not out.flags.writeable:
        raise InputError("out is read-only")
    np.copyto(out, result)
    return out


def _array(enhancer: Enhance, image: NDArray[Any], color: Color) -> NDArray[Any]:
    """Grey, alpha and floats."""
    _check_values(image)
    if image.size == 0:
        raise InputError(f"the image is empty: shape {image.shape}")
    if image.ndim == 2:
        return _grey(enhancer, image[..., None], color)[..., 0]
    channels = image.shape[-1]
    if image.ndim in (3, 4) and channels == 1:
        return _grey(enhancer, image, color)
    if image.ndim in (3, 4) and channels == 4:
        return np.concatenate([enhancer(image[..., :3]), image[..., 3:]], axis=-1)
    if image.ndim in (3, 4) and channels == 3:
        return _floats(enhancer, image)
    hint = _transposition(image.shape)
    raise InputError(f"the image must be H x W x 3 or N x H x W x 3, or have 1 or 4 channels, found shape {image.shape}{hint}")


def _transposition(shape: tuple[int, ...]) -> str:
    """The call that brings the channels to the end, if they look like being first."""
    if len(shape) not in (3, 4) or shape[-3] not in (1, 3, 4):
        return ""
    order = "1, 2, 0" if len(shape) == 3 else "0, 2, 3, 1"
    return f"; channels go last: image.transpose({order}), or image.permute({order}) in torch"


def _check_values(image: NDArray[Any]) -> None:
    if image.dtype == np.uint8:
        return
    if image.dtype == np.uint16:
        raise InputError("the image must be uint8 or floats in [0, 1], found uint16; of all 16 bits: pass image / 65535")
    if image.dtype.name not in _ROUNDING:
        raise InputError(f"the image must be uint8 or floats in [0, 1], found {image.dtype}")
    if image.size and not (image.min() >= 0 and image.max() <= 1):  # NaN is in no range
        found = f"{np.min(image):g} to {np.max(image):g}"
        hint = "; of 255 codes: pass image / 255" if 1 < np.max(image) <= 255 and np.min(image) >= 0 else ""
        raise InputError(f"floats lie in [0, 1], found {found}{hint}")


def _grey(enhancer: Enhance, image: NDArray[Any], color: Color) -> NDArray[Any]:
    """One channel last: three equal ones for the network, and the brightness of what it makes of them."""
    result = enhancer(np.repeat(image, 3, axis=-1))
    tall = np.ascontiguousarray(result.reshape(-1, *result.shape[-2:]))
    if tall.dtype != np.uint8:
        tall = tall.astype(np.float32)
    brightness = cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY if color == "rgb" else cv2.COLOR_BGR2GRAY)
    return brightness.reshape(image.shape).astype(image.dtype)


def _floats(enhancer: Enhance, image: NDArray[Any]) -> NDArray[Any]:
    """Networks see 8 bits. What lies between two codes is enhanced as both, and the results are mixed by how far it lies."""
    codes = np.asarray(image, np.float32) * np.float32(255)
    nearest = np.rint(codes)
    if np.abs(codes - nearest).max() <= _ROUNDING[image.dtype.name]:
        return (enhancer(nearest.astype(np.uint8)) / np.float32(255)).astype(image.dtype)
    below = np.floor(codes)
    above = np.minimum(below + 1, 255)
    dark, bright = enhancer(below.astype(np.uint8)), enhancer(above.astype(np.uint8))
    mixed = dark + (bright.astype(np.float32) - dark) * (codes - below)
    return (mixed / np.float32(255)).astype(image.dtype)


def _file(enhancer: Enhance, path: Path, color: Color) -> NDArray[Any]:
    """The pixels of a picture file, upright: H x W x 3, or x 4 where it has alpha; of 16 bits, 16 bits."""
    if formats.is_film(path):
        raise InputError(f"{path} is a film, and an Enhancer takes pictures; enhance it with: retinexrt enhance {path} -o OUT")
    picture = pictures.read(path)
    if color == "bgr":
        picture = replace(picture, rgb=np.ascontiguousarray(picture.rgb[..., ::-1]))
    done = pictures.enhance(enhancer, picture)
    return done.rgb if done.alpha is None else np.dstack([done.rgb, done.alpha])


def _is_pillow(image: Any) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def _pillow(enhancer: Enhance, image: Any, color: Color) -> Any:
    """A Pillow image of the same mode (of a palette's, RGB or RGBA) and with the same metadata."""
    if image.mode not in (*_MODES, *_CONVERTED):
        raise InputError(f'a Pillow image of mode {image.mode} is not enhanced; pass image.convert("RGB")')
    wanted = "RGBA" if image.has_transparency_data else _CONVERTED.get(image.mode, image.mode)
    plain = image if image.mode == wanted else image.convert(wanted)
    swap: Callable[[NDArray[Any]], NDArray[Any]] = _swapped if color == "bgr" and plain.mode != "L" else np.asarray
    result = sys.modules["PIL.Image"].fromarray(np.ascontiguousarray(swap(enhancer(swap(np.asarray(plain))))))
    if image.mode == "LA":
        result = result.convert("LA")
    result.info.update({name: value for name, value in image.info.items() if name != "transparency"})
    return result


def _swapped(pixels: NDArray[Any]) -> NDArray[Any]:
    """The first three channels in the other order."""
    return np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=-1)


def _tensor(enhancer: Enhance, image: Any) -> Any:
    """A tensor of another library in the CPU's memory, which is not copied on its way in."""
    kind = type(image).__module__.partition(".")[0]
    if int(image.__dlpack_device__()[0]) != _DL_CPU:
        raise InputError(f"a {kind} tensor on {getattr(image, 'device', 'its device')} is not taken; bring it to the CPU first")
    try:
        array = np.from_dlpack(image)
    except (BufferError, RuntimeError, TypeError) as error:
        hint = "; pass image.detach()" if getattr(image, "requires_grad", False) else ""
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"a {kind} tensor cannot be read: {reason}{hint}") from error
    library = image.__array_namespace__() if hasattr(image, "__array_namespace__") else sys.modules.get(kind)
    if not hasattr(library, "from_dlpack"):
        raise InputError(f"{kind} makes no tensors of numpy arrays by itself; pass numpy.from_dlpack(image)")
    return library.from_dlpack(enhancer(array))  # pyright: ignore[reportOptionalMemberAccess]
