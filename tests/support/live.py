"""Live sources on loopback: a server that speaks RTSP, one that speaks HTTP, and a camera that films a clock."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from runtime.images import Images
from tests.support.films import coded
from tests.support.servers import Server, free_port

#: Of the camera's frames, and how many there are in a second.
WIDTH, HEIGHT, RATE = 64, 48, 25


def dark(number: int) -> Images:
    """Frame `number` of the camera: even, darker than half."""
    return np.full((HEIGHT, WIDTH, 3), 20 + number % 80, np.uint8)


def until(happened: Callable[[], Any], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.01)


class RtspServer:
    """A relay in a process of its own: FFmpeg's handshake keeps the whole process waiting that it is called in."""

    def __init__(self, *command: str) -> None:
        self._command = command or (sys.executable, "-m", "tests.support.servers")
        self.port = free_port()
        self.start()

    def start(self) -> None:
        command = [*self._command, str(self.port)]
        self._process = subprocess.Popen(command, cwd=Path(__file__).resolve().parents[2], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


#: A Python that has GStreamer's RTSP server, and the program that runs it.
GSTREAMER = ("/usr/bin/python3", str(Path(__file__).with_name("gstreamer_server.py")))


def has_gstreamer() -> bool:
    """Whether Debian's gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and python3-gst-1.0 are there."""
    ask = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    try:
        return subprocess.run([GSTREAMER[0], "-c", ask], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _noise(number: int, samples: int) -> av.AudioFrame:
    """The sound of a frame."""
    noise = np.random.default_rng(number).normal(0, 0.1, (2, samples)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, number * samples, Fraction(1, 48000)
    return frame


class HttpServer(Server):
    """Answers every request with an endless film, as cameras do; with `sound` or without."""

    sound = False

    def serve(self, client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")
        with client.makefile("wb", buffering=0) as file:
            Camera(file, "mpegts", sound=self.sound).film(lambda: False)


class Camera:
    """Films `dark` frames at 25 pictures a second into a URL or a file, until it is stopped."""

    def __init__(self, target: Any, container: str, rate: int = RATE, sound: bool = False) -> None:
        self._target, self._container, self._rate, self._sound = target, container, rate, sound
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._again_and_again, daemon=True)

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _again_and_again(self) -> None:
        while not self._stop.wait(0.1):
            with contextlib.suppress(OSError, av.FFmpegError):
                self.film(self._stop.is_set)

    def film(self, done: Callable[[], bool]) -> None:
        options = {"rtsp_transport": "tcp"} if self._container == "rtsp" else {}
        output = av.open(self._target, "w", format=self._container, options=options, buffer_size=1316)
        video: Any = output.add_stream(
            "libx264", rate=self._rate, options={"tune": "zerolatency", "g": "12", "preset": "ultrafast"}
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio: Any = output.add_stream("aac", rate=48000) if self._sound else None
        begun = time.monotonic()
        try:
            for number in range(10**6):
                if done():
                    break
                frame = coded(dark(number), "yuv420p", None)
                frame.pts, frame.time_base = number, Fraction(1, self._rate)
                output.mux(video.encode(frame))
                if audio is not None:
                    output.mux(audio.encode(_noise(number, 48000 // self._rate)))
                time.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
        finally:
            with contextlib.suppress(OSError, av.FFmpegError):
                output.close()
