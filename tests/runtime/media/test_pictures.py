"""Picture files: what comes in goes out, upright and whole, and what is damaged is named."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from runtime import Enhancer, InputError, OutputError, PictureTooLargeError, RetinexError
from runtime.media import jpeg, metadata, pictures
from runtime.media.exif import orientation, turn_upright
from runtime.media.pictures import Picture
from tests.runtime.conftest import double

LOSSLESS = (".png", ".webp", ".tif", ".bmp", ".ppm")


def _encoded(pixels: NDArray[Any], suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_colour_survives_a_round_trip(tmp_path: Path, dark: NDArray[np.uint8], suffix: str) -> None:
    pictures.write(tmp_path / f"a{suffix}", Picture(dark))
    again = pictures.read(tmp_path / f"a{suffix}")
    assert np.array_equal(again.rgb, dark) and again.alpha is None and not again.grey
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_jpeg_is_close(tmp_path: Path) -> None:
    smooth = np.full((64, 64, 3), (10, 60, 110), np.uint8)
    pictures.write(tmp_path / "a.jpg", Picture(smooth))
    assert np.abs(pictures.read(tmp_path / "a.jpg").rgb.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_is_kept_untouched(enhancer: Enhancer, dark: NDArray[np.uint8], suffix: str) -> None:
    alpha = np.arange(33 * 47, dtype=np.uint8).reshape(33, 47)
    alpha[0] = 255
    data = _encoded(np.dstack([dark[..., ::-1], alpha]), suffix)
    done = pictures.decode(pictures.encode(pictures.enhance(enhancer, pictures.decode(data, "x")), suffix), "y")
    assert done.alpha is not None
    assert np.array_equal(done.alpha, alpha)
    seen = alpha > 0  # WebP stores no colour where nothing is seen
    assert np.array_equal(done.rgb[seen], double(dark)[seen])


def test_grey_comes_back_as_grey(enhancer: Enhancer, dark: NDArray[np.uint8]) -> None:
    grey = np.ascontiguousarray(dark[..., 0])
    picture = pictures.decode(_encoded(grey, ".png"), "x")
    assert picture.grey
    pixels = cv2.imdecode(
        np.frombuffer(pictures.encode(pictures.enhance(enhancer, picture), ".png"), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert pixels is not None and pixels.shape == grey.shape
    assert np.array_equal(pixels, double(grey))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_keep_their_depth(enhancer: Enhancer, channels: int, suffix: str) -> None:
    """A ramp over 16 codes of 8 bits holds 4,113 values of 16 bits, and twice as bright it still does."""
    ramp = np.broadcast_to(np.arange(4112, dtype=np.uint16)[None, :, None], (16, 4112, channels)).copy()
    if channels == 4:
        ramp[..., 3] = 65535 - ramp[..., 3]
    done = pictures.decode(
        pictures.encode(pictures.enhance(enhancer, pictures.decode(_encoded(ramp, suffix), "x")), suffix), "y"
    )
    assert done.rgb.dtype == np.uint16
    assert np.abs(done.rgb[..., 0].astype(int) - 2 * np.arange(4112)).max() <= 1
    if channels == 4:
        assert done.alpha is not None and np.array_equal(done.alpha, ramp[..., 3])


def test_16_bits_become_8_where_the_format_has_no_more() -> None:
    picture = Picture(np.full((20, 20, 3), 257 * 40, np.uint16))
    assert pictures.decode(pictures.encode(picture, ".bmp"), "x").rgb[0, 0, 0] == 40


def test_alpha_is_not_dropped_silently() -> None:
    picture = Picture(np.zeros((20, 20, 3), np.uint8), alpha=np.zeros((20, 20), np.uint8))
    with pytest.raises(OutputError, match=r"\.jpg holds no alpha channel.*\.png"):
        pictures.encode(picture, ".jpg")


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(OutputError, match=r"cannot write \.xyz; known: \.jpg"):
        pictures.encode(Picture(np.zeros((20, 20, 3), np.uint8)), ".xyz")


def _exif(value: int, order: str) -> bytes:
    """A TIFF structure with the one tag that matters, after another one."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tags = struct.pack(order + "HHIHH", 0x0100, 3, 1, 7, 0) + struct.pack(order + "HHIHH", 0x0112, 3, 1, value, 0)
    return mark + struct.pack(order + "IH", 8, 2) + tags + b"\0\0\0\0"


def _jpeg_with(pixels: NDArray[np.uint8], exif: bytes) -> bytes:
    data = _encoded(pixels, ".jpg")
    payload = b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def _png_with(pixels: NDArray[np.uint8], exif: bytes) -> bytes:
    data = _encoded(pixels, ".png")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_is_what_opencv_makes_of_it(value: int, order: str) -> None:
    """OpenCV turns pictures without alpha by itself: the reference."""
    pixels = cv2.resize(np.random.default_rng(3).integers(0, 255, (4, 6, 3), dtype=np.uint8), (48, 32))
    data = _jpeg_with(np.asarray(pixels, np.uint8), _exif(value, order))
    reference = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert reference is not None
    assert orientation(data) == value
    assert np.array_equal(pictures.decode(data, "x").rgb[..., ::-1], reference)


@pytest.mark.parametrize("value", range(1, 9))
def test_alpha_is_turned_with_its_picture(dark: NDArray[np.uint8], value: int) -> None:
    alpha = np.arange(33 * 47, dtype=np.uint32).reshape(33, 47).astype(np.uint8)
    picture = pictures.decode(_png_with(np.dstack([dark[..., ::-1], alpha]), _exif(value, "<")), "x")
    assert np.array_equal(picture.rgb, turn_upright(dark, value))
    assert picture.alpha is not None and np.array_equal(picture.alpha, turn_upright(alpha, value))


def test_nonsense_orientations_mean_upright() -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    for exif in (_exif(0, "<"), _exif(9, ">"), b"", b"II*\0", b"II*\0\xff\xff\xff\xff", _exif(6, "<")[:20], b"garbage"):
        assert orientation(_jpeg_with(pixels, exif)) == 1


def _truncated(suffix: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = _encoded(noise, suffix)
    return data[: len(data) // 2]


def test_the_end_of_a_thumbnail_is_not_that_of_its_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = _jpeg_with(noise, _exif(1, "<") + _encoded(noise[:16, :16], ".jpg"))
    for length in (2, 100, len(data) * 2 // 3, len(data) - 1):
        with pytest.raises(InputError, match="is truncated"):
            pictures.decode(data[:length], "x")


def test_what_is_whole_is_not_called_truncated() -> None:
    """Ends of other pictures, restarts, scans in a row, padding, and what cameras append."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    thumbnail = _encoded(noise[:16, :16], ".jpg")
    plain = _encoded(noise, ".jpg")
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    whole = [cv2.imencode(".jpg", noise, option)[1].tobytes() for option in options]
    whole += [_jpeg_with(noise, _exif(1, "<") + thumbnail), plain + b"ftypmp42" * 99, plain[:-2] + b"\xff\xff\xff\xd9"]
    for data in whole:
        assert pictures.decode(data, "x").rgb.shape == noise.shape
    for data in whole[:2]:
        for end in (2, 3, len(data) // 2, len(data) - 30):
            with pytest.raises(InputError, match="is truncated"):
                pictures.decode(data[:-end], "x")


def _animated(suffix: str) -> bytes:
    """Three pictures in one file."""
    first, *others = (Image.fromarray(np.full((20, 20, 3), value, np.uint8)) for value in (10, 20, 30))
    first.save(file := io.BytesIO(), suffix, save_all=True, append_images=others)
    return file.getvalue()


def _overwritten() -> bytes:
    """A JPEG with 60 other bytes in the middle, of which decoders make a half that is grey."""
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 90, (60, 80, 3), dtype=np.uint8), (800, 600))
    data = bytearray(_encoded(smooth, ".jpg"))
    middle = len(data) // 2
    data[middle : middle + 60] = np.random.default_rng(0).bytes(60)
    return bytes(data)


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"this is no picture", "is not a picture"),
    "truncated JPEG": (_truncated(".jpg"), "is truncated"),
    "truncated PNG": (_truncated(".png"), "is truncated"),
    "truncated WebP": (_truncated(".webp"), "is truncated"),
    "truncated TIFF": (_truncated(".tif"), "is not a picture|truncated"),
    "truncated BMP": (_truncated(".bmp"), "is not a picture|truncated"),
    "JPEG with bytes overwritten": (_overwritten(), "is damaged; saved again"),
    "animated GIF": (_animated("GIF"), "holds 3 frames.*split it"),
    "animated PNG": (_animated("PNG"), "holds 3 frames.*split it"),
    "animated WebP": (_animated("WEBP"), "holds 3 frames.*split it"),
    "TIFF of several pages": (_animated("TIFF"), "holds 3 pages.*split it"),
    "float TIFF": (_encoded(np.full((20, 20, 3), np.nan, np.float32), ".tif"), "float32 values, expected 8 or 16 bits"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_named(tmp_path: Path, case: str) -> None:
    data, message = BAD_FILES[case]
    path = tmp_path / "night.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        pictures.read(path)
    assert "night.jpg" in str(caught.value)


@pytest.mark.parametrize("suffix", ["GIF", "PNG", "WEBP", "TIFF"])
def test_one_frame_is_a_picture(suffix: str) -> None:
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(file := io.BytesIO(), suffix)
    assert metadata.frames(file.getvalue()) == 1
    assert pictures.decode(file.getvalue(), "x").rgb.shape == (20, 20, 3)


_NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def test_padding_before_the_end_is_no_damage() -> None:
    data = _encoded(_NOISE, ".jpg")
    assert pictures.decode(data[:-2] + bytes(8) + b"\xff\xd9", "x").rgb.shape == (64, 64, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        *({"quality": quality, "subsampling": kind} for quality in (1, 75, 100) for kind in (0, 1, 2)),
        *({"progressive": True, "optimize": True, "quality": quality} for quality in (1, 75, 100)),
        *({"restart_marker_blocks": count, "quality": quality} for count in (1, 7) for quality in (1, 75, 100)),
    ],
)
def test_no_whole_jpeg_is_called_damaged(options: dict[str, Any], mode: str) -> None:
    flat = np.full((1, 1, 3), 255, np.uint8)
    for pixels in (_NOISE, _NOISE[:33, :47] // 4, np.repeat(np.repeat(flat, 65, 0), 200, 1), flat):
        Image.fromarray(pixels).convert(mode).save(file := io.BytesIO(), "JPEG", **options)
        assert not jpeg.is_damaged(file.getvalue())


@pytest.mark.parametrize(
    "options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 10], [cv2.IMWRITE_JPEG_OPTIMIZE, 1]]
)
def test_most_damage_is_found(options: list[int]) -> None:
    """Of what is overwritten, lost and put in between, all over a picture, three in four: libjpeg warns of no more."""
    random = np.random.default_rng(0)
    picture = cv2.GaussianBlur(random.integers(0, 255, (400, 600, 3), dtype=np.uint8), (5, 5), 0)
    whole = cv2.imencode(".jpg", picture, options)[1].tobytes()
    start = whole.index(b"\xff\xda") + 20
    found = 0
    for place in np.linspace(start, len(whole) - 2000, 20).astype(int).tolist():
        before, after = whole[:place], whole[place:]
        damaged = (before + random.bytes(60) + after[60:], before + after[100:], before + random.bytes(30) + after)
        found += sum(jpeg.is_damaged(data) for data in damaged)
    assert found >= 45


def test_a_lost_piece_between_two_restarts_is_found() -> None:
    whole = cv2.imencode(".jpg", _NOISE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes()
    first, second = (whole.index(bytes([255, 0xD0 + number])) for number in range(2))
    assert not jpeg.is_damaged(whole) and jpeg.is_damaged(whole[:first] + whole[second:])


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]])
def test_channels_of_no_size_are_damage(options: list[int]) -> None:
    content = bytearray(cv2.imencode(".jpg", _NOISE, options)[1])
    frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    content[frame + 11 : frame + 20 : 3] = bytes(3)
    with pytest.raises(InputError, match="is damaged"):
        pictures.decode(bytes(content), "it.jpg")


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_file_of_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch, progressive: int) -> None:
    content = cv2.imencode(".jpg", _NOISE[:, :48], [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    assert pictures.decode(content, "it.jpg", 64 * 48).rgb.shape == (64, 48, 3)
    monkeypatch.setattr(jpeg, "is_damaged", lambda _: pytest.fail("decoded"))
    with pytest.raises(PictureTooLargeError, match="48 x 64 pixels"):
        pictures.decode(content, "it.jpg", 64 * 48 - 1)


_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _photograph(kind: str, icc: bytes = _ICC, **options: Any) -> bytes:
    """A picture of 20 x 30 with a colour profile, the name of a camera, and an orientation: lying on its side."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "Camera"
    image = Image.fromarray(np.full((20, 30, 3), 40, np.uint8))
    image.save(file := io.BytesIO(), kind, icc_profile=icc, exif=tags.tobytes(), **options)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_colour_profile_and_exif_are_kept(enhancer: Enhancer, tmp_path: Path, kind: str, suffix: str) -> None:
    done = pictures.enhance(enhancer, pictures.decode(_photograph(kind), "x"))
    note = pictures.write(tmp_path / f"a{suffix}", done)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.size == (20, 30) and image.info["icc_profile"] == _ICC
        if suffix != ".tif" and kind != "TIFF":
            assert image.getexif()[0x010F] == "Camera" and image.getexif()[0x0112] == 1 and note == ""
    again = pictures.read(tmp_path / f"a{suffix}")
    assert again.rgb.shape == (30, 20, 3) and again.metadata.icc == _ICC
    assert ("without its EXIF data" in note) == (suffix == ".tif" and kind != "TIFF")


_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" xmp:Rating="4"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_xmp_is_kept_and_upright(tmp_path: Path, kind: str, suffix: str) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    options = {"PNG": {"pnginfo": text}, "TIFF": {"tiffinfo": {700: _XMP}}}
    Image.fromarray(_NOISE).save(file := io.BytesIO(), kind, icc_profile=_ICC, **options.get(kind, {"xmp": _XMP}))
    assert pictures.write(tmp_path / f"a{suffix}", pictures.decode(file.getvalue(), "x")) == ""
    with Image.open(tmp_path / f"a{suffix}") as image:
        found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp", "").encode() or getattr(image, "tag_v2", {})[700]
        assert found == _XMP.replace(b'Orientation="6"', b'Orientation="1"') and image.info["icc_profile"] == _ICC
    assert pictures.read(tmp_path / f"a{suffix}").metadata.xmp == found


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_keep_their_colour_profile(tmp_path: Path, suffix: str) -> None:
    deep = Picture(np.full((20, 20, 3), 5000, np.uint16), metadata=metadata.Metadata(icc=_ICC))
    assert pictures.write(tmp_path / f"a{suffix}", deep) == ""
    again = pictures.read(tmp_path / f"a{suffix}")
    assert again.rgb.dtype == np.uint16 and again.metadata.icc == _ICC


def test_what_is_not_kept_is_said(tmp_path: Path) -> None:
    profile = bytearray(_ICC)
    grey = Picture(np.zeros((20, 20, 3), np.uint8), grey=True, metadata=metadata.Metadata(bytes(profile), b"II*\0", _XMP))
    assert pictures.write(tmp_path / "a.bmp", grey) == (
        "without its colour profile, which is for RGB pictures, and the result is grey; "
        "without its EXIF data, which .bmp does not hold; without its XMP data, which .bmp does not hold"
    )
    damaged = Picture(np.zeros((20, 20, 3), np.uint16), metadata=metadata.Metadata(_ICC[:-1]))
    assert pictures.write(tmp_path / "a.jpg", damaged) == (
        "without its colour profile, which is damaged; with 8 of its 16 bits, .jpg holds no more"
    )
    long = Picture(np.zeros((20, 20, 3), np.uint8), metadata=metadata.Metadata((70_000).to_bytes(4) + _ICC[4:].ljust(69_996)))
    assert pictures.write(tmp_path / "a.jpg", long) == "without its colour profile, which .jpg does not hold"


@pytest.mark.parametrize("lossless", [True, False])
def test_lossy_webp_stays_lossy(lossless: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 90, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file := io.BytesIO(), "WEBP", lossless=lossless)
    picture = pictures.decode(file.getvalue(), "x")
    assert picture.lossy != lossless
    again = pictures.decode(pictures.encode(picture, ".webp"), "y")
    assert again.lossy != lossless and np.array_equal(again.rgb, picture.rgb) == lossless


_PHOTOGRAPHS = {
    "heic": ("pillow_heif", b"\0\0\0\x18ftypheic" + bytes(100), "night.heic"),
    "raw": ("rawpy", b"II*\0" + bytes(100), "night.CR2"),
}


@pytest.mark.parametrize("extra", _PHOTOGRAPHS)
def test_photographs_without_their_extra_name_it(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, data, name = _PHOTOGRAPHS[extra]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        InputError, match=rf"^{name} is a (HEIC|raw) photograph; to read it: pip install 'retinexrt\[{extra}\]'"
    ):
        pictures.decode(data, name)


@pytest.mark.parametrize("extra", _PHOTOGRAPHS)
def test_damaged_photographs_are_named(extra: str) -> None:
    module, data, name = _PHOTOGRAPHS[extra]
    pytest.importorskip(module)
    with pytest.raises(InputError, match=rf"^{name} cannot be decoded: \w[^']+$"):
        pictures.decode(data, name)


def test_heic_is_read() -> None:
    heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(np.full((64, 48, 3), (20, 60, 100), np.uint8))
    heif.from_pillow(image).save(file := io.BytesIO(), quality=95)
    found = pictures.decode(file.getvalue(), "x").rgb
    assert found.shape == (64, 48, 3) and np.abs(found.astype(int) - (20, 60, 100)).max() < 5


def test_folders_and_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, expected a picture"):
        pictures.read(tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*absent\.png"):
        pictures.read(tmp_path / "absent.png")


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        pictures.write(tmp_path / "file" / "a.png", Picture(dark))
    with pytest.raises(OutputError, match="cannot write"):
        (tmp_path / "a.png").mkdir()
        pictures.write(tmp_path / "a.png", Picture(dark))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "file"]


@pytest.fixture
def full_disk(tmp_path: Path) -> Any:
    """A file system of 1 MB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_left_clean(full_disk: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (800, 800, 3), dtype=np.uint8)
    with pytest.raises(OutputError, match="No space left"):
        pictures.write(full_disk / "a.png", Picture(noise))
    assert list(full_disk.iterdir()) == []
    pictures.write(full_disk / "b.png", Picture(noise[:100, :100]))
    assert [path.name for path in full_disk.iterdir()] == ["b.png"]


def _mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Cut, insert, overwrite anywhere, or overwrite the header."""
    broken = bytearray(data)
    kind = random.integers(4)
    if kind == 0:
        return bytes(broken[: random.integers(len(broken))])
    if kind == 1:
        place = random.integers(len(broken))
        broken[place:place] = random.bytes(int(random.integers(1, 50)))
    reach = len(broken) if kind == 2 else 64
    for place in random.integers(0, reach, random.integers(1, 6)):
        broken[place] = random.integers(256)
    return bytes(broken)


def test_a_thousand_mutated_pictures(enhancer: Enhancer, tmp_path: Path) -> None:
    """Each is read or refused with a typed error; what is read is enhanced and written."""
    random = np.random.default_rng(11)
    image = cv2.resize(random.integers(0, 80, (12, 16, 3), dtype=np.uint8), (48, 36))
    whole = [_encoded(image, suffix) for suffix in (*LOSSLESS, ".jpg", ".jp2", ".gif")]
    whole += [_photograph(kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")] + [_animated("GIF"), _animated("TIFF")]
    outcomes = {"done": 0, "refused": 0}
    for number in range(1000):
        (tmp_path / "x").write_bytes(_mutated(whole[number % len(whole)], random))
        try:
            picture = pictures.read(tmp_path / "x")
            if picture.rgb.size < 10**7:
                pictures.write(tmp_path / "y.png", pictures.enhance(enhancer, picture))
            outcomes["done"] += 1
        except RetinexError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100
