"""Films through a contender, each in a process of its own: how long that takes, and the memory at its peak.

Run as a program it reads a request as JSON from its only argument and prints the answer as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.harness.memory import peak_host, project_on_path
from benchmarks.pictures.samples import sample_photographs
from runtime.calm.film import Film
from runtime.enhancer import Enhancer
from runtime.errors import BackendError
from runtime.media import films
from runtime.media.film_options import FilmOptions
from runtime.media.films import encoding
from runtime.options import FILM_NETWORK

RATE = 25


@dataclass(frozen=True)
class Request:
    """One film through one contender: "floor", "opencv" or "retinexrt"."""

    contender: str
    source: str
    target: str
    network: str = FILM_NETWORK
    precision: str | None = None
    threads: int | None = None
    calm: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """From the first byte read to the last one written; networks were opened and called once before."""

    frames: int
    seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Pictures a second, all in."""
        return self.frames / self.seconds


def make_film(path: Path, height: int, width: int, frames: int) -> None:
    """A dark H.264 film: a photograph that the camera pans over, with a sensor's noise."""
    photograph = sample_photographs()[0][1]
    scale = 1.2 * max(height / photograph.shape[0], width / photograph.shape[1])
    wide = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    random = np.random.default_rng(0)
    noise = random.normal(0, 2, (8, height, width, 3)).astype(np.int16)
    with av.open(str(path), "w") as film:
        video: Any = film.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            share = 0.5 - 0.5 * np.cos(2 * np.pi * number / 200)
            top, left = (int(share * (size - wanted)) for size, wanted in zip(wide.shape, (height, width), strict=False))
            pixels = wide[top : top + height, left : left + width] + noise[number % len(noise)]
            frame = av.VideoFrame.from_ndarray(np.clip(pixels, 0, 255).astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))


def measure(request: Request, timeout: float = 3600.0) -> Outcome:
    """Do it in a fresh process."""
    words = [sys.executable, "-m", "benchmarks.harness.films", json.dumps(asdict(request))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, env=project_on_path())
    if done.returncode:
        raise BackendError(f"{request.contender} failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def _floor(request: Request) -> Callable[[], None]:
    """Decoding and encoding with nothing in between, by the encoder and the options that films get."""

    def run() -> None:
        chosen = encoding.choose(Path(request.target), FilmOptions())
        with av.open(request.source) as source, av.open(request.target, "w") as target:
            first = source.streams.video[0]
            first.thread_type = "AUTO"
            video: Any = target.add_stream(chosen.encoder, rate=RATE, options=dict(chosen.options))
            video.width, video.height, video.pix_fmt = first.width, first.height, "yuv420p"
            for frame in source.decode(first):
                target.mux(video.encode(frame))
            target.mux(video.encode(None))

    return run


def _opencv(request: Request) -> Callable[[], None]:
    """What is written around an Enhancer where nothing else is known: read, enhance, write, one after the other."""
    enhancer = _opened(request, color="bgr")

    def run() -> None:
        source = cv2.VideoCapture(request.source)
        size = int(source.get(cv2.CAP_PROP_FRAME_WIDTH)), int(source.get(cv2.CAP_PROP_FRAME_HEIGHT))
        target = cv2.VideoWriter(request.target, cv2.VideoWriter.fourcc(*"mp4v"), source.get(cv2.CAP_PROP_FPS), size)
        while True:
            more, frame = source.read()
            if not more:
                break
            target.write(enhancer(np.asarray(frame, np.uint8)))
        target.release()

    return run


def _retinexrt(request: Request) -> Callable[[], object]:
    enhancer = _opened(request, color="rgb")
    options = FilmOptions(calm=request.calm)
    return lambda: films.enhance(enhancer, Path(request.source), Path(request.target), film=options)


def _opened(request: Request, **options: Any) -> Enhancer:
    enhancer = Enhancer(request.network, threads=request.threads, precision=request.precision, **options)  # pyright: ignore[reportArgumentType]
    with av.open(request.source) as film:
        for frame in film.decode(video=0):
            Film(enhancer, request.calm)(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            break
    return enhancer


CONTENDERS: dict[str, Callable[[Request], Callable[[], object]]] = {"floor": _floor, "opencv": _opencv, "retinexrt": _retinexrt}


def main() -> int:
    """Entry point of the fresh process."""
    request = Request(**json.loads(sys.argv[1]))
    run = CONTENDERS[request.contender](request)
    begun = time.perf_counter()
    run()
    seconds = time.perf_counter() - begun
    with av.open(request.target) as film:
        frames = sum(1 for packet in film.demux(video=0) if packet.size)
    print(json.dumps(asdict(Outcome(frames, seconds, peak_host() or 0.0))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
