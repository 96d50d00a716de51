"""Enhancer: one object that enhances pictures with any artifact on any backend."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from runtime import backends, conversions, exposure, shapes, tiling
from runtime.artifact import ArtifactInfo, CpuPrecision
from runtime.backends.session import Session
from runtime.cuda.protocol import Gpu
from runtime.errors import ClosedError, InputError
from runtime.images import DeviceImages, Images
from runtime.options import DEFAULT_NETWORK, CallOptions, Color, OpenOptions, Tile


class Enhancer:
    """Enhances pictures, H and W from 16 up, and gives back what it is given. Safe to call from many threads at once.

        enhancer = Enhancer("dawn")
        bright = enhancer(dark)                 # an array, uint8 or floats in [0, 1]: H x W x 3, grey or with alpha
        bright = enhancer("night.jpg")          # a file: its pixels
        image = enhancer(Image.open("a.png"))   # a Pillow image; torch tensors too
        several = enhancer([one, another])      # of any sizes
        frames = enhancer(frames)               # a batch, N x H x W x 3

    `source` is the name of a network ("pdn") or the path of an artifact (.onnx, .plan). `backend` is "auto", the fastest
    that works here, or a name that `retinexrt doctor` shows. `device` is the number of the GPU, for backends that use
    one. `color` is the channel order of the pictures that come in and go out. `threads` limits the CPU threads of one
    call; None leaves it to the backend. `precision` is what convolutions are computed in on a CPU, "fp32" or "bf16", which
    is faster and a few codes off; None leaves it to the artifact.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] = DEFAULT_NETWORK,
        *,
        backend: str = "auto",
        device: int = 0,
        color: Color = "rgb",
        threads: int | None = None,
        precision: CpuPrecision | None = None,
    ) -> None:
        self._options = OpenOptions(backend, device, color, threads, precision)
        if not isinstance(source, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"source is the name of a network or the path of an artifact, found {source!r}")
        self._session: Session | None
        self._session, self._path = backends.open_session(os.fspath(source), self._options)
        self._info = self._session.info
        self._limits = tiling.limits(self._info)
        self._geometric = exposure.has_illumination(self._info)
        self._scratch = threading.local()
        self._backend, self._device = self._session.backend, self._session.device
        self._precision = self._session.precision

    @property
    def info(self) -> ArtifactInfo:
        """The artifact's description of itself."""
        return self._info

    @property
    def source(self) -> str:
        """The artifact's path."""
        return str(self._path)

    @property
    def backend(self) -> str:
        """The name of the backend in use."""
        return self._backend

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or "cuda:0"."""
        return self._device

    @property
    def precision(self) -> str:
        """Of convolutions: "bf16" where they are computed in it, else the artifact's own, "fp32" or "fp16"."""
        return self._precision

    @property
    def comes_apart(self) -> bool:
        """Whether it decides the light apart from the rest, so that the light of a film can be steadied."""
        return self._info.plan is None and self._open().open_parts() is not None

    @property
    def color(self) -> Color:
        """The channel order of pictures, in and out."""
        return self._options.color

    def __call__(
        self,
        image: Any,
        out: Any = None,
        *,
        strength: float = 1.0,
        gate: bool = False,
        tile: Tile = "auto",
        progress: tiling.Progress | None = None,
        steady: tiling.Steady | None = None,
    ) -> Any:
        """Enhance a picture, H x W x 3 and uint8, or a batch, N x H x W x 3. Returns `out`, or a new one of the same kind.

        `image` may also be grey, H x W or H x W x 1; have alpha, H x W x 4, which stays as it is; hold floats in [0, 1]; be
        the path of a picture, which gives an array; a Pillow image; a tensor on the CPU that speaks DLPack, as torch's do;
        or a list of any of these, of any sizes, which gives a list.

            enhancer("night.jpg", strength=0.6)
            enhancer(frame, out=frame)          # nothing of the picture's size is allocated

        `out` has the shape and the type of `image`. On GPU backends `image` may be anything on the GPU that speaks DLPack or
        the CUDA array interface; the result is then of the same kind and never leaves the GPU. `out` may be `image` itself,
        or overlap it, where they are numpy arrays; on the GPU they must lie apart.
        `strength` is 0 (the input, to the byte) to 1 (the network). `gate` leaves pictures alone that are bright enough.
        `tile`: "auto" cuts pictures that are too large into tiles where that gives the same result and refuses the
        others; "off" never cuts. `progress` is called after each tile with how many of how many are done. `steady` has a word
        on the light of each picture, where `comes_apart`: `Film` uses it.
        """
        session = self._open()
        options = CallOptions(strength, gate, tile)
        if progress is not None and not callable(progress):
            raise InputError(f"progress is a function of how many of how many tiles are done, found {progress!r}")
        if not conversions.is_plain(image):
            if _lies_on_gpu(image):
                if options.strength != 1.0 or options.gate:
                    raise InputError("strength and gate work on numpy arrays, not on GPU memory")
                return self._enhance_resident(session, image, out)
            result = conversions.enhance(partial(self, **asdict(options), progress=progress, steady=steady), image, self.color)
            return result if out is None else conversions.fill(out, result)
        images = _as_batch(image, "the image")
        self._check_size(images.shape)
        if out is None:
            out = np.empty(image.shape, np.uint8)
        elif not isinstance(out, np.ndarray) or out.shape != image.shape:
            raise InputError(f"out must be an array of the image's shape {image.shape}, found {_describe(out)}")
        elif not out.flags.writeable:
            raise InputError("out is read-only")
        self._enhance(session, images, _as_batch(out, "out"), options, progress or _silent, steady)
        return out

    def enhance_device(self, pointer: int, shape: tuple[int, ...], stream: int = 0, *, out: int | None = None) -> DeviceImages:
        """Enhance GPU memory into GPU memory, without a copy through the host; returns where the result will be.

        `pointer` addresses uint8 RGB, contiguous, of a `shape` H x W x 3 or N x H x W x 3; `out` addresses as much, which
        may not overlap it. None allocates it, and it is freed with the last reference to what is returned: in a loop bring
        your own. The work is enqueued on the CUDA stream whose raw handle is `stream` (0: the legacy default stream).
        """
        session = self._open()
        gpu = self._require_gpu(session, "GPU memory")
        batch = self._check_device(shape)
        if pointer < 1 or (out is not None and out < 1):
            raise InputError(f"{'the image' if pointer < 1 else 'out'} is a null pointer, expected an address in GPU memory")
        if out is None:
            from runtime.cuda.result_memory import allocate

            result = allocate(batch, gpu, stream)
        else:
            result = DeviceImages(out, batch)
            _check_apart(pointer, out, math.prod(batch))
        session.run_device(DeviceImages(pointer, batch), result, stream)
        return result

    def close(self) -> None:
        """Free the session; calling it again does nothing. Any call after it raises ClosedError."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __enter__(self) -> Enhancer:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.source, asdict(self._options))

    def __repr__(self) -> str:
        state = "closed" if self._session is None else f"{self._backend} on {self._device}"
        return f"<Enhancer {self._info.network} {self._precision}, {state}>"

    def _open(self) -> Session:
        if self._session is None:
            raise ClosedError("the enhancer is closed")
        return self._session

    def _check_size(self, shape: tuple[int, ...]) -> None:
        _, height, width = self._limits.smallest
        if shape[1] < height or shape[2] < width:
            least = f"{height}x{width}"
            raise InputError(f"the picture is {shape[1]}x{shape[2]} (HxW), {self._info.network} takes {least} and up")

    def _check_device(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        if len(shape) not in (3, 4) or shape[-1] != 3 or min(shape) < 1:
            raise InputError(f"expected a shape H x W x 3 or N x H x W x 3, found {shape}")
        if self.color == "bgr":
            raise InputError('GPU memory is RGB; make the enhancer with color="rgb"')
        batch = (*(1,) * (4 - len(shape)), *shape)
        if not self._limits.admit(batch[:3]):
            raise InputError(f"{shapes.to_text(batch)} is outside of {self._range()}, and GPU memory is not cut into tiles")
        return batch[0], batch[1], batch[2], batch[3]

    def _range(self) -> str:
        low, high = self._limits.smallest, self._limits.largest
        return f"{shapes.to_text(low)} to {shapes.to_text('any' if size is None else size for size in high)} (NxHxW)"

    def _require_gpu(self, session: Session, found: str) -> Gpu:
        if session.gpu is None:
            raise InputError(f"the backend {session.backend} runs on the CPU and takes numpy arrays only, found {found}")
        return session.gpu

    def _enhance_resident(self, session: Session, image: Any, out: Any) -> Any:
        """Enhance an array of another library that lies on the GPU."""
        from runtime.cuda import interop

        gpu = self._require_gpu(session, _describe(image))
        stream = interop.current_stream(image)
        source = interop.as_device_images(image, stream, gpu)
        self._check_device(source.shape)
        result = interop.allocate_like(image) if out is None else out
        target = interop.as_device_images(result, stream, gpu, writable=True)
        if target.shape != source.shape:
            raise InputError(f"out must have the image's shape {source.shape}, found {target.shape}")
        _check_apart(source.pointer, target.pointer, math.prod(source.shape))
        session.run_device(source, target, stream)
        return result

    def _enhance(
        self,
        session: Session,
        images: Images,
        out: Images,
        options: CallOptions,
        progress: tiling.Progress,
        steady: tiling.Steady | None,
    ) -> None:
        """Enhance a batch on the host; any strides."""
        strength = options.strength
        if strength == 0.0:
            np.copyto(out, images)
            return
        source = self._source(images)
        direct = self.color == "rgb" and out.flags.c_contiguous and not np.may_share_memory(source, out)
        target = out if direct else self._buffer("target", out.shape)
        strengths = [strength * exposure.gate(exposure.exposure(one)) if options.gate else strength for one in source]
        if all(strengths) or self._limits.smallest[0] > 1:
            self._run(session, source, target, options.tile, progress, steady)
        else:
            for number in np.flatnonzero(strengths):
                one = slice(number, number + 1)
                self._run(session, source[one], target[one], options.tile, progress, steady)
        for one, enhanced, share in zip(source, target, strengths, strict=True):
            exposure.blend(one, enhanced, share, self._geometric)
        if self.color == "bgr":
            _swap(target, out)
        elif not direct:
            np.copyto(out, target)

    def _source(self, images: Images) -> Images:
        """`images` as RGB and contiguous: themselves where they are, else a copy in a buffer of this thread."""
        if self.color == "rgb" and images.flags.c_contiguous:
            return images
        source = self._buffer("source", images.shape)
        if self.color == "bgr":
            _swap(images, source)
        else:
            np.copyto(source, images)
        return source

    def _run(
        self,
        session: Session,
        source: Images,
        target: Images,
        tile: Tile,
        progress: tiling.Progress,
        steady: tiling.Steady | None,
    ) -> None:
        """Enhance contiguous RGB, in as few runs as memory and the artifact's limits allow."""
        count, height, width, _ = source.shape
        whole = self._limits.admit((self._limits.smallest[0], height, width))
        if self._info.plan is None and height * width > tiling.whole_pixels(self._info) and tile != "off":
            whole = False
        if steady is not None and (whole or tile == "auto") and (parts := session.open_parts()) is not None:
            for one, enhanced in zip(source, target, strict=True):
                tiling.run_parts(parts, one, enhanced, self._info, progress, steady)
            return
        if not whole:
            self._run_tiles(session, source, target, tile, progress)
            return
        most = self._limits.largest[0] or count
        if session.device == "cpu":
            # A batch is no faster than its pictures one by one, and some processors round it otherwise.
            most = max(1, self._limits.smallest[0])
        elif self._info.plan is None:  # nothing else bounds the memory
            most = min(most, max(1, tiling.WHOLE_PIXELS // (height * width)))
        if most < self._limits.smallest[0] or 0 < count % most < self._limits.smallest[0]:
            raise InputError(f"a batch of {count} is outside of {self._range()}")
        for first in range(0, count, most):
            session.run(source[first : first + most], target[first : first + most])

    def _run_tiles(self, session: Session, source: Images, target: Images, tile: Tile, progress: tiling.Progress) -> None:
        """Enhance pictures that are too large for one run."""
        exact = self._info.halo is not None
        parts = session.open_parts() if tile == "auto" and not exact else None
        for one, enhanced in zip(source, target, strict=True):
            if tile == "auto" and exact:
                tiling.run_exact(session.run, one, enhanced, self._info, progress)
            elif parts is not None:
                tiling.run_parts(parts, one, enhanced, self._info, progress)
            else:
                raise InputError(self._too_large(tile, *source.shape[1:3]))

    def _too_large(self, tile: Tile, height: int, width: int) -> str:
        tallest, widest = self._limits.largest[1:]
        fits = (
            f"at most {tallest}x{widest} (HxW)" if tallest and widest else f"at most {tiling.whole_pixels(self._info):,} pixels"
        )
        if tile == "off":
            return f"the picture is {height}x{width} (HxW), without tiles {fits} fit"
        if self._info.parts is not None:
            return (
                f"the picture is {height}x{width} (HxW), and this plan has no halves for large ones: {fits} fit; build it with "
                f"--max 1x{height}x{width}, or open {self._info.network}.onnx, which takes any size"
            )
        return (
            f"the picture is {height}x{width} (HxW), and {self._info.network} looks at the whole picture, so that tiles would "
            f"change the result: {fits} fit; make it smaller, or use dawn, which takes any size"
        )

    def _buffer(self, name: str, shape: tuple[int, ...]) -> Images:
        """Working memory of this thread, kept from call to call."""
        size = math.prod(shape)
        flat: Images | None = getattr(self._scratch, name, None)
        if flat is None or flat.size < size:
            flat = np.empty(size, np.uint8)
            setattr(self._scratch, name, flat)
        return flat[:size].reshape(shape)


def _silent(done: int, total: int) -> None:
    """No progress is told."""


def _reopen(source: str, options: dict[str, Any]) -> Enhancer:
    return Enhancer(source, **options)


def _lies_on_gpu(image: Any) -> bool:
    if isinstance(image, np.ndarray):
        return False
    from runtime.cuda import interop

    return interop.is_device_array(image)


def _check_apart(image: int, out: int, size: int) -> None:
    """Refuse results on the GPU that would be written where the image is still read."""
    if image < out + size and out < image + size:
        raise InputError("out overlaps the image")


def _as_batch(array: np.ndarray[Any, Any], what: str) -> Images:
    """A view N x H x W x 3 of a picture or a batch, or InputError."""
    if array.dtype != np.uint8:
        raise InputError(f"{what} must be uint8, found {array.dtype}")
    if array.ndim not in (3, 4) or array.shape[-1] != 3:
        raise InputError(f"{what} must be H x W x 3 or N x H x W x 3, found shape {array.shape}")
    if array.size == 0:
        raise InputError(f"{what} is empty: shape {array.shape}")
    return array[None] if array.ndim == 3 else array


def _swap(images: Images, out: Images) -> None:
    """Exchange the first and the last channel of every picture."""
    for one, swapped in zip(images, out, strict=True):
        if swapped.flags.c_contiguous:
            cv2.cvtColor(one, cv2.COLOR_BGR2RGB, dst=swapped)
        else:
            swapped[...] = one[..., ::-1]


def _describe(thing: Any) -> str:
    shape = getattr(thing, "shape", None)
    return type(thing).__name__ if shape is None else f"{type(thing).__name__} of shape {tuple(shape)}"
