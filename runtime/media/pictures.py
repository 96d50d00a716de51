"""Picture files: decoding what cameras and tools write, and writing it back whole or not at all."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.artifact import remedies
from runtime.errors import InputError, OutputError, PictureTooLargeError
from runtime.files import write_atomically
from runtime.images import Enhance, Images
from runtime.media import jpeg, metadata, tiff
from runtime.media.exif import orientation, turn_upright, upright
from runtime.media.formats import LIMIT_OF_OPENCV, MOST_PIXELS, RAW, WRITABLE
from runtime.media.metadata import NONE, Metadata

_WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")
_WITH_16_BITS = (".png", ".tif", ".tiff", ".ppm")
_JPEG_QUALITY, _WEBP_QUALITY = 95, 90

#: Values of 16 bits that are mixed at a time.
_STRIP = 1 << 20

#: The kinds of metadata that OpenCV knows, by number.
_EXIF, _XMP, _ICC = 0, 1, 2

#: The mark before XMP in a JPEG file. OpenCV looks for a zero at its end when it writes a PNG file.
_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"

#: Brands of HEIC files, beyond those of AVIF, which are alike.
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright."""

    #: H x W x 3, RGB; uint8 or uint16.
    rgb: NDArray[Any]
    #: H x W, of the same type; None: the file had none.
    alpha: NDArray[Any] | None = None
    #: The file had one channel of brightness; the three of `rgb` are equal.
    grey: bool = False
    #: The file was a WebP file that had lost something, and is written as one again.
    lossy: bool = False
    metadata: Metadata = NONE


def read(path: Path) -> Picture:
    """Read a picture file."""
    return decode(load(path), str(path))


def load(path: Path) -> bytes:
    """The bytes of a picture file."""
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, expected a picture") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def decode(data: bytes, name: str, most_pixels: int = MOST_PIXELS) -> Picture:
    """Decode an encoded picture; `name` stands for it in errors.

    More than `most_pixels` are refused: before memory for them is taken in JPEG files and by readers of photographs, and by
    OpenCV where `LIMIT_OF_OPENCV` says so too.
    """
    if not data:
        raise InputError(f"{name} is empty")
    if _is_cut_off(data):
        raise InputError(f"{name} is truncated: the file ends in the middle of the picture")
    if Path(name).suffix.lower() in RAW:
        return _decode_raw(data, name, most_pixels)
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return _decode_heic(data, name, most_pixels)
    if (count := metadata.frames(data)) > 1:
        raise InputError(f"{name} holds {count} {'pages' if tiff.is_tiff(data) else 'frames'}, {_SPLIT}")
    if jpeg.is_jpeg(data):
        _check_pixels(*jpeg.size(data), name, most_pixels)
    pixels, found = _decode(data, name)
    _check_pixels(pixels.shape[1], pixels.shape[0], name, most_pixels)
    picture = _to_picture(turn_upright(pixels, orientation(data)), name)
    return replace(picture, metadata=found, lossy=data[8:12] == b"WEBP" and b"VP8 " in data[12:4096])


def _check_pixels(width: int, height: int, name: str, most: int) -> None:
    if width * height > most:
        raise PictureTooLargeError(f"{name} has {width} x {height} pixels, {most:,} and fewer are read")


_SPLIT = "and one picture would be left of them: split it first (with ImageMagick: magick FILE PAGE-%d.png)"


def _decode(data: bytes, name: str) -> tuple[NDArray[Any], Metadata]:
    """Pixels as OpenCV reads them, and the metadata."""
    if jpeg.is_jpeg(data) and jpeg.is_damaged(data):
        raise InputError(f"{name} is damaged; saved again by an image editor, what is left of it is read")
    pixels: Any
    buffer = np.frombuffer(data, np.uint8)
    try:
        pixels, kinds, blocks = cv2.imdecodeWithMetadata(buffer, flags=cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            most = int(os.environ.get(LIMIT_OF_OPENCV, MOST_PIXELS))
            raise PictureTooLargeError(f"{name} has more than {most:,} pixels, or a side of more than 2^20") from error
        raise InputError(f"{name} cannot be decoded: {_reason(error)}") from error
    if pixels is None:
        raise InputError(f"{name} is not a picture, is damaged, or is of a kind that OpenCV does not read")
    found = {int(kind): block.tobytes() for kind, block in zip(kinds, blocks, strict=True)}
    if tiff.is_tiff(data):
        found = {_ICC: tiff.block(data, tiff.PROFILE), _XMP: tiff.block(data, tiff.XMP)}
    return pixels, Metadata(found.get(_ICC), upright(data), _xmp(found.get(_XMP)))


def _xmp(packet: bytes | None) -> bytes | None:
    return metadata.upright_xmp(packet.removeprefix(_XMP_MARK).rstrip(b"\0")) if packet else None


def _decode_heic(data: bytes, name: str, most_pixels: int) -> Picture:
    """A photograph of a telephone, upright already."""
    try:
        heif: Any = import_module("pillow_heif")
    except ImportError:
        raise InputError(f"{name} is a HEIC photograph; to read it: {remedies.install('heic')}") from None
    try:
        image: Any = heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        _check_pixels(image.size[0], image.size[1], name, most_pixels)
        pixels = np.asarray(image)
    except PictureTooLargeError:
        raise
    except Exception as error:  # its errors share no base
        raise InputError(f"{name} cannot be decoded: {_reason(error)}") from error
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return Picture(
        np.ascontiguousarray(pixels[..., :3]),
        alpha,
        metadata=Metadata(image.info.get("icc_profile"), xmp=_xmp(image.info.get("xmp"))),
    )


def _decode_raw(data: bytes, name: str, most_pixels: int) -> Picture:
    """A photograph as the sensor saw it, with the white balance of the camera and not brightened; 16 bits."""
    try:
        rawpy: Any = import_module("rawpy")
    except ImportError:
        raise InputError(f"{name} is a raw photograph; to read it: {remedies.install('raw')}") from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            _check_pixels(raw.sizes.raw_width, raw.sizes.raw_height, name, most_pixels)
            return Picture(raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16))
    except PictureTooLargeError:
        raise
    except Exception as error:  # its errors share no base
        raise InputError(f"{name} cannot be decoded: {_reason(error)}") from error


def _to_picture(pixels: NDArray[Any], name: str) -> Picture:
    if pixels.dtype.name not in ("uint8", "uint16"):
        raise InputError(f"{name} holds {pixels.dtype} values, expected 8 or 16 bits per channel")
    if pixels.ndim == 2:
        return Picture(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), grey=True)
    channels = pixels.shape[2]
    if channels == 4:
        return Picture(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB), alpha=np.ascontiguousarray(pixels[..., 3]))
    if channels == 2:
        rgb = cv2.cvtColor(np.ascontiguousarray(pixels[..., 0]), cv2.COLOR_GRAY2RGB)
        return Picture(rgb, alpha=np.ascontiguousarray(pixels[..., 1]), grey=True)
    if channels != 3:
        raise InputError(f"{name} has {channels} channels, expected 1 (grey), 2, 3 or 4 (with alpha)")
    return Picture(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def write(path: Path, picture: Picture) -> str:
    """Write a picture in the format that the ending of `path` names; whole or not at all. Returns what could not be kept."""
    data, lost = encoded(picture, path.suffix.lower())
    write_atomically(path, data)
    return lost


def encode(picture: Picture, suffix: Literal[".png"] | str = ".png") -> bytes:
    """Encode a picture. Formats without 16 bits get 8; formats without alpha refuse a picture that has it."""
    return encoded(picture, suffix)[0]


def encoded(picture: Picture, suffix: str) -> tuple[bytes, str]:
    """Encode a picture, as `encode` does; returns what could not be kept, too."""
    if suffix not in WRITABLE:
        raise OutputError(f"cannot write {suffix or 'a file without an ending'}; known: {', '.join(WRITABLE)}")
    if picture.alpha is not None and suffix not in _WITH_ALPHA:
        raise OutputError(f"{suffix} holds no alpha channel, and the picture has one; use {', '.join(_WITH_ALPHA)}")
    pixels = _to_pixels(picture)
    kept, notes = picture.metadata.kept_in(suffix, grey=pixels.ndim == 2)
    if suffix not in _WITH_16_BITS and pixels.dtype != np.uint8:
        pixels = to_8_bits(pixels)
        notes.append(f"with 8 of its 16 bits, {suffix} holds no more")
    data = _with_metadata(pixels, suffix, kept, picture.lossy)
    return data, "; ".join(notes)


def _with_metadata(pixels: NDArray[Any], suffix: str, kept: Metadata, lossy: bool) -> bytes:
    parameters = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    if suffix == ".webp" and lossy:
        parameters = [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY]
    in_tiff = suffix in (".tif", ".tiff")
    xmp = kept.xmp and (_XMP_MARK if suffix in (".jpg", ".jpeg") else b"") + kept.xmp + (b"\0" if suffix == ".png" else b"")
    found = {_EXIF: kept.exif, **({} if in_tiff else {_ICC: kept.icc, _XMP: xmp})}
    blocks = {kind: np.frombuffer(block, np.uint8) for kind, block in found.items() if block}
    try:
        if blocks:
            done, data = cv2.imencodeWithMetadata(suffix, pixels, list(blocks), list(blocks.values()), parameters)
        else:
            done, data = cv2.imencode(suffix, pixels, parameters)
    except cv2.error as error:
        raise OutputError(f"cannot encode {suffix}: {_reason(error)}") from error
    if not done:
        raise OutputError(f"cannot encode {suffix}")
    encoded = data.tobytes()
    for tag, block in ((tiff.PROFILE, kept.icc), (tiff.XMP, kept.xmp)):
        encoded = tiff.with_block(encoded, tag, block) if in_tiff and block else encoded
    return encoded


def _to_pixels(picture: Picture) -> NDArray[Any]:
    """The channels in the order that OpenCV writes them."""
    if picture.alpha is not None:
        # There is no grey with alpha in OpenCV's encoders.
        return np.dstack([cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2BGR), picture.alpha])
    if picture.grey:
        return cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2BGR)


def format_of(data: bytes) -> str:
    """The ending of the format to answer in: that of the data for JPEG and WebP, else .png."""
    if data[:2] == b"\xff\xd8":
        return ".jpg"
    return ".webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ".png"


def to_8_bits(pixels: NDArray[Any]) -> Images:
    """Round 16 bits to 8; 8 bits pass."""
    return pixels if pixels.dtype == np.uint8 else np.asarray(cv2.convertScaleAbs(pixels, alpha=1 / 257), np.uint8)


def enhance(enhancer: Enhance, picture: Picture, **options: Any) -> Picture:
    """Enhance a picture, keeping alpha, grey and depth; `options` are those of a call of the Enhancer (color "rgb").

    Networks see 8 bits. Of 16, a dark picture uses the lowest few thousand, so rounding them would waste what was paid
    for: the picture is enhanced rounded down and rounded up, and the result mixed by how far each value lay between.
    """
    if picture.rgb.dtype == np.uint8:
        return replace(picture, rgb=enhancer(picture.rgb, **options))
    code = np.uint16(257)
    rounded = np.empty(picture.rgb.shape, np.uint8)
    np.floor_divide(picture.rgb, code, out=rounded, casting="unsafe")
    dark = enhancer(rounded, **options)
    np.minimum(rounded, 254, out=rounded)
    rounded += 1
    bright = enhancer(rounded, **options)
    del rounded
    mixed = np.empty_like(picture.rgb)
    rows = max(1, _STRIP // picture.rgb[0].size)
    for top in range(0, len(mixed), rows):  # a large picture in floats would take more than all else together
        strip = slice(top, top + rows)
        share = (picture.rgb[strip] % code).astype(np.float32) / 257
        between = dark[strip] + (bright[strip].astype(np.float32) - dark[strip]) * share
        mixed[strip] = np.rint(between * 257)
    return replace(picture, rgb=mixed)


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG, PNG or WebP file lacks its end; decoders make grey of what is missing and say nothing."""
    if jpeg.is_jpeg(data):
        return not jpeg.ends(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" not in data
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    return False


def _reason(error: Exception) -> str:
    given = error.args[0] if error.args else None  # rawpy's are bytes
    said = given.decode(errors="replace") if isinstance(given, bytes) else str(getattr(error, "err", None) or error)
    return (said or type(error).__name__).strip().splitlines()[0]
