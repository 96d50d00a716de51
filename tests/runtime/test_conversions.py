"""What comes in as a float, a path, an image of Pillow or a tensor goes out as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from runtime import Enhancer, InputError
from runtime.media import pictures
from runtime.media.pictures import Picture
from tests.runtime.conftest import double

Pixels = NDArray[np.uint8]


@pytest.fixture(params=["rgb", "bgr"])
def enhancer(artifacts: Path, request: pytest.FixtureRequest) -> Enhancer:
    return Enhancer(artifacts / "double.onnx", backend="onnxruntime", threads=1, color=request.param)


@pytest.fixture
def alpha() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (33, 47, 1), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(33, 47), (33, 47, 1), (2, 33, 47, 1)])
def test_grey_arrays(enhancer: Enhancer, shape: tuple[int, ...]) -> None:
    grey = np.random.default_rng(0).integers(0, 90, shape, dtype=np.uint8)
    result = enhancer(grey)
    assert result.shape == shape and np.array_equal(result, double(grey))


@pytest.mark.parametrize("count", [None, 2])
def test_alpha_stays(enhancer: Enhancer, dark: Pixels, alpha: Pixels, count: int | None) -> None:
    image = np.concatenate([dark, alpha], axis=-1)
    expected = np.concatenate([double(dark), alpha], axis=-1)
    if count:
        image, expected = np.stack([image] * count), np.stack([expected] * count)
    assert np.array_equal(enhancer(image), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_8_bits_are_what_bytes_are(enhancer: Enhancer, dark: Pixels, dtype: Any) -> None:
    result = enhancer((dark / 255).astype(dtype))
    assert result.dtype == dtype
    assert np.array_equal(result, (double(dark) / np.float32(255)).astype(dtype))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_floats_between_codes_keep_their_steps(enhancer: Enhancer, channels: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 0.3, 999, dtype=np.float32)[None, :, None], (16, 999, channels)).copy()
    result = enhancer(ramp)
    assert result.dtype == np.float32
    assert np.abs(result[..., :3] - 2 * ramp[..., :3]).max() < 1e-5
    if channels == 4:
        assert np.array_equal(result[..., 3], ramp[..., 3])


def test_out_of_every_array(enhancer: Enhancer, dark: Pixels) -> None:
    floats = (dark / 255).astype(np.float32)
    assert enhancer(floats, floats) is floats and floats.max() > dark.max() / 255
    with pytest.raises(InputError, match=r"out must be float32 of shape \(33, 47, 3\), .*found uint8"):
        enhancer(floats, dark.copy())
    with pytest.raises(InputError, match="out goes with numpy arrays"):
        enhancer([dark], [dark])


def test_a_path_gives_its_pixels(enhancer: Enhancer, dark: Pixels, alpha: Pixels, tmp_path: Path) -> None:
    order = slice(None) if enhancer.color == "rgb" else slice(None, None, -1)
    pictures.write(tmp_path / "a.png", Picture(dark))
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(enhancer(path), double(dark)[..., order])
    pictures.write(tmp_path / "b.png", Picture(dark, alpha[..., 0]))
    assert np.array_equal(enhancer(tmp_path / "b.png"), np.dstack([double(dark)[..., order], alpha]))
    pictures.write(tmp_path / "c.png", Picture(dark.astype(np.uint16) * 257))
    assert np.array_equal(enhancer(tmp_path / "c.png"), double(dark)[..., order].astype(np.uint16) * 257)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_images_of_pillow(enhancer: Enhancer, dark: Pixels, alpha: Pixels, mode: str) -> None:
    image = Image.fromarray(np.concatenate([dark, alpha], axis=-1)).convert(mode)
    image.info["icc_profile"] = b"profile"
    result = enhancer(image)
    assert isinstance(result, Image.Image) and result.size == image.size and result.info["icc_profile"] == b"profile"
    assert result.mode == {"P": "RGBA", "1": "L"}.get(mode, mode)
    before, after = np.asarray(image.convert("RGBA")), np.asarray(result.convert("RGBA"))
    assert np.array_equal(after[..., :3], double(before[..., :3])) and np.array_equal(after[..., 3], before[..., 3])


def test_pillow_takes_no_notice_of_the_order_of_channels(exported: Any, dark: Pixels) -> None:
    rgb, bgr = (Enhancer(exported("msrnet") / "msrnet.onnx", threads=1, color=color) for color in ("rgb", "bgr"))
    image = Image.fromarray(dark)
    assert np.array_equal(np.asarray(rgb(image)), rgb(dark)) and np.array_equal(np.asarray(bgr(image)), rgb(dark))


def test_other_modes_of_pillow_name_the_call(enhancer: Enhancer, dark: Pixels) -> None:
    with pytest.raises(InputError, match=r'mode CMYK is not enhanced; pass image.convert\("RGB"\)'):
        enhancer(Image.fromarray(dark).convert("CMYK"))


def test_lists_hold_pictures_of_any_size_and_kind(enhancer: Enhancer, dark: Pixels) -> None:
    images = [dark, dark[:20, :30], dark[..., 0], Image.fromarray(dark)]
    result = enhancer(images, strength=0.0)
    assert [type(one) for one in result[:3]] == [np.ndarray] * 3 and isinstance(result[3], Image.Image)
    assert all(np.array_equal(np.asarray(one), np.asarray(image)) for one, image in zip(result, images, strict=True))
    assert enhancer(tuple(images[:2]))[1].shape == (20, 30, 3)
    assert enhancer([]) == []


def test_tensors_of_torch(enhancer: Enhancer, dark: Pixels) -> None:
    result = enhancer(torch.from_numpy(dark))
    assert isinstance(result, torch.Tensor) and np.array_equal(result.numpy(), double(dark))
    result = enhancer(torch.from_numpy(dark)[..., 0] / 255, strength=1)
    assert result.dtype == torch.float32 and np.allclose(result.numpy() * 255, double(dark[..., 0]), atol=1e-3)
    with pytest.raises(InputError, match=r"pass image.detach\(\)"):
        enhancer(torch.zeros(20, 20, 3, requires_grad=True))
    with pytest.raises(InputError, match=r"image.permute\(1, 2, 0\) in torch"):
        enhancer(torch.zeros(3, 20, 20))
    with pytest.raises(InputError, match="a torch tensor cannot be read"):
        enhancer(torch.zeros(20, 20, 3, dtype=torch.bfloat16))


def test_what_opencv_reads_goes_in_as_bgr(artifacts: Path, dark: Pixels) -> None:
    """Grey is weighed by the channels' colours, whatever their order."""
    grey = cv2.cvtColor(dark, cv2.COLOR_RGB2GRAY)
    results = [Enhancer(artifacts / "double.onnx", backend="onnxruntime", color=color)(grey) for color in ("rgb", "bgr")]
    assert np.array_equal(*results)
