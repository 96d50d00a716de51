"""Films made for tests, and what a player would show of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from runtime.images import Images

#: Frames 0 to 29 at 25 pictures a second.
STEADY = tuple(Fraction(number, 25) for number in range(30))
#: 25 pictures a second, then 8: what a telephone does when it grows dark.
VARYING = (*STEADY[:20], *(Fraction(20, 25) + Fraction(number, 8) for number in range(10)))


def grey(number: int, size: tuple[int, int] = (64, 48)) -> Images:
    """Frame `number` of most films here: even, of brightness 20 + number."""
    return np.full((size[1], size[0], 3), 20 + number, np.uint8)


def write_film(
    path: Path,
    frames: Sequence[Images] | None = None,
    times: Sequence[Fraction] = STEADY,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    time_base: Fraction = Fraction(1, 12800),
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    sound: bool = False,
    aspect: Fraction | None = None,
    rotation: int = 0,
    tags: tuple[int, int, int, int] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A film of RGB frames, each shown at its time. `tags`: range, matrix, primaries, transfer."""
    shown = [grey(number) for number in range(len(times))] if frames is None else frames
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container or {}) as film:
        film.metadata.update(metadata or {})
        video: Any = film.add_stream(codec, rate=25, options=options or {})
        video.height, video.width = shown[0].shape[:2]
        video.pix_fmt = pixel_format
        video.codec_context.time_base = time_base
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        if tags is not None:
            context = video.codec_context
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = tags
        audio = [_sound(film, language) for language in ("eng", "deu")] if sound else []
        film.start_encoding()
        for pixels, time in zip(shown, times, strict=True):
            frame = coded(pixels, pixel_format, tags)
            frame.pts, frame.time_base = round(time / time_base), time_base
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        for stream in audio:
            _fill(film, stream, float(times[-1]))
    return path


def coded(pixels: Images, pixel_format: str, tags: tuple[int, int, int, int] | None) -> av.VideoFrame:
    """RGB as a frame for an encoder, by swscale."""
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    if tags is None:
        return frame.reformat(format=pixel_format)
    matrix = 5 if tags[1] in (5, 6) else tags[1]
    made = frame.reformat(format=pixel_format, src_color_range=2, dst_colorspace=matrix, dst_color_range=tags[0])
    made.color_range, made.colorspace, made.color_primaries, made.color_trc = tags
    return made


def _sound(film: Any, language: str) -> Any:
    stream = film.add_stream("aac", rate=48000)
    stream.metadata["language"] = language
    return stream


def _fill(film: Any, stream: Any, seconds: float) -> None:
    """Noise, for so many seconds."""
    for start in range(0, int(seconds * 48000), 1024):
        noise = np.random.default_rng(start).normal(0, 0.1, (2, 1024)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        film.mux(stream.encode(frame))
    film.mux(stream.encode(None))


@dataclass(frozen=True)
class Shown:
    """What a player shows of a film: RGB frames and the time of each, in seconds."""

    frames: list[Images]
    times: list[Fraction]


def shown(path: Path) -> Shown:
    """Decode a film by its own tags, with the matrix of its stream."""
    frames: list[Images] = []
    times: list[Fraction] = []
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            matrix = 5 if frame.colorspace in (2, 5, 6) else frame.colorspace
            rgb = frame.reformat(
                format="rgb24", src_colorspace=matrix, src_color_range=frame.color_range or 1, dst_color_range=2
            )
            frames.append(np.asarray(rgb.to_ndarray(), np.uint8))
            assert frame.pts is not None and frame.time_base is not None
            times.append(frame.pts * frame.time_base)
    return Shown(frames, times)


def packets(path: Path, kind: str) -> list[list[bytes]]:
    """The packets of each stream of a kind."""
    with av.open(str(path)) as film:
        streams = [stream for stream in film.streams if stream.type == kind]
        found: list[list[bytes]] = [[] for _ in streams]
        for packet in film.demux(streams):
            if packet.size:
                found[[stream.index for stream in streams].index(packet.stream.index)].append(bytes(packet))
        return found


def mean(images: Sequence[NDArray[np.uint8]]) -> list[float]:
    """The brightness of each picture."""
    return [float(image.mean()) for image in images]
