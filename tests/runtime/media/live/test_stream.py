"""Streams of frames: over RTSP, UDP, HTTP and pipes, lost and found again, and never older than one call."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import runtime
from runtime import InputError
from runtime.images import Images
from runtime.media.live import address, source
from runtime.media.live.stream import Stream
from tests.support.films import write_film
from tests.support.live import GSTREAMER, HEIGHT, RATE, WIDTH, Camera, HttpServer, RtspServer, has_gstreamer
from tests.support.servers import free_port


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter waits than people have."""
    monkeypatch.setattr(source, "SILENCE", 1.0)
    monkeypatch.setattr(source, "FIRST_PAUSE", 0.1)


def double(image: Images, **options: object) -> Images:
    return image * 2


def opened(url: str, enhancer: Callable[..., Images] = double, **options: object) -> Stream:
    """A stream of a source that is about to begin."""
    for _ in range(100):
        try:
            return runtime.stream(url, enhancer, **options)  # pyright: ignore[reportArgumentType]
        except InputError:
            time.sleep(0.1)
    return runtime.stream(url, enhancer, **options)  # pyright: ignore[reportArgumentType]


def check(frames: Stream, count: int) -> list[float]:
    """Take frames; they are enhanced, and their times rise."""
    taken = list(islice(frames, count))
    assert len(taken) == count
    for frame in taken:
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        assert 36 <= frame.image.mean() <= 204
    seconds = [frame.seconds for frame in taken]
    assert seconds == sorted({*seconds})
    return seconds


@pytest.mark.slow
def test_rtsp_goes_on_when_the_server_is_back() -> None:
    with RtspServer() as server, Camera(url := f"rtsp://127.0.0.1:{server.port}/dark", "rtsp"), opened(url) as frames:
        before = check(frames, 20)
        assert 0.5 < before[-1] - before[0] < 5
        server.kill()
        server.start()
        while frames.reconnects == 0:
            next(frames)
        assert check(frames, 20)[0] > before[-1]


@pytest.mark.slow
@pytest.mark.skipif(not has_gstreamer(), reason="GStreamer's RTSP server is not installed")
def test_rtsp_of_gstreamer_goes_on_when_it_is_back() -> None:
    with RtspServer(*GSTREAMER) as server, opened(f"rtsp://127.0.0.1:{server.port}/dark") as frames:
        check(frames, 20)
        server.kill()
        server.start()
        while frames.reconnects == 0:
            next(frames)
        # GStreamer writes limited range into JPEG, which is full: 64 is 71.
        assert abs(float(next(frames).image.mean()) - 142) < 6


@pytest.mark.slow
def test_udp_goes_on_when_the_camera_is_back() -> None:
    url = f"udp://127.0.0.1:{free_port()}"
    with Camera(f"{url}?pkt_size=1316", "mpegts"):
        frames = opened(url)
        check(frames, 10)
    time.sleep(1.5)
    with Camera(f"{url}?pkt_size=1316", "mpegts"):
        while frames.reconnects == 0:
            next(frames)
        check(frames, 10)
    frames.close()


@pytest.mark.slow
def test_http_goes_on_when_the_server_is_back(caplog: pytest.LogCaptureFixture) -> None:
    with HttpServer() as server, opened(f"http://127.0.0.1:{server.port}/live.ts") as frames:
        check(frames, 10)
        server.kill()
        timer = threading.Timer(1.0, server.start)
        timer.start()
        while frames.reconnects == 0:
            next(frames)
        check(frames, 10)
    said = [record.getMessage() for record in caplog.records]
    assert any("lost (" in text for text in said) and any("connected again" in text for text in said)


def test_a_source_that_stays_away_is_given_up() -> None:
    with HttpServer() as server, opened(f"http://127.0.0.1:{server.port}/live.ts", patience=1.0) as frames:
        check(frames, 3)
        server.kill()
        with pytest.raises(InputError, match=r"live.ts: nothing came for 1 s; .*Connection refused"):
            list(frames)


def test_a_slow_network_gets_the_newest_frame() -> None:
    """Four calls a second of a source with 25 frames: what is shown is not older than a call and a little."""
    ages: list[float] = []

    def slow(image: Images, **options: object) -> Images:
        time.sleep(0.25)
        return image

    with HttpServer() as server, opened(f"http://127.0.0.1:{server.port}/live.ts", slow) as frames:
        for frame in islice(frames, 12):
            ages.append(time.monotonic() - frame.arrived)
        assert frames.dropped > 20
    assert max(ages[2:]) < 0.25 + 10 / RATE


def test_no_frame_is_dropped_where_all_are_wanted() -> None:
    with HttpServer() as server, opened(f"http://127.0.0.1:{server.port}/live.ts", newest=False) as frames:
        next(frames)
        time.sleep(1)
        steps = np.diff(check(frames, 20))
        assert frames.dropped == 0
        assert np.allclose(steps, 1 / RATE, atol=0.002)


def test_a_named_pipe_and_a_film_end_and_drop_nothing(tmp_path: Path) -> None:
    film = write_film(tmp_path / "in.ts")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(film.read_bytes()))
    writer.start()
    frames = runtime.stream(pipe, double)
    time.sleep(0.5)
    assert len(list(frames)) == 30
    writer.join()
    assert frames.dropped == 0 and frames.reconnects == 0
    assert len(list(runtime.stream(film, double))) == 30


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_a_pipe_that_is_gone_or_holds_no_film(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    with pytest.raises(InputError, match=r"pipe cannot be opened \(No such file"):
        source.LiveSource(address.Address("it", str(pipe), is_pipe=True))
    os.mkfifo(pipe)
    before = len(list(Path("/proc/self/fd").iterdir()))
    writer = threading.Thread(target=lambda: pipe.write_bytes(bytes(100)))
    writer.start()
    with pytest.raises(InputError, match="is not a video"):
        runtime.stream(pipe, double)
    writer.join()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_channels_come_as_the_enhancer_takes_them(tmp_path: Path) -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 200
    film = write_film(tmp_path / "in.mp4", [red] * 30)

    class Bgr:
        color = "bgr"

        def __call__(self, image: Images, **options: object) -> Images:
            return image

    assert next(runtime.stream(film, Bgr())).image[0, 0].argmax() == 2
    assert next(runtime.stream(film, double)).image[0, 0].argmax() == 0


def test_async_and_a_wait_that_is_given_up(tmp_path: Path) -> None:
    async def watch(port: int) -> int:
        count = 0
        async with runtime.stream(f"http://127.0.0.1:{port}/live.ts", double) as frames:
            with pytest.raises(TimeoutError):
                while True:
                    await asyncio.wait_for(anext(frames), 0.005)
            async for frame in frames:
                count += frame.image.shape == (HEIGHT, WIDTH, 3)
                if count == 10:
                    return count
        return 0

    with HttpServer() as server:
        assert asyncio.run(watch(server.port)) == 10


def test_closing_ends_whoever_waits() -> None:
    url = f"udp://127.0.0.1:{free_port()}"
    with Camera(f"{url}?pkt_size=1316", "mpegts"):
        frames = opened(url)
    threading.Timer(0.5, frames.close).start()
    assert sum(1 for _ in frames) < 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://127.0.0.1:{port}/none", "cannot be opened (Connection refused)"),
        ("rtsp://user:secret@127.0.0.1:{port}/none", "rtsp://user:***@127.0.0.1"),
        ("/dev/video77", "/dev/video77 does not exist"),
        ("camera:x", "a camera is written camera:0, found 'camera:x'"),
        ("camera:0?colour=2", "a camera takes ?size=1280x720 and ?rate=30, joined by &; found colour=2"),
        ("nothing.mp4", "nothing.mp4 does not exist"),
    ],
)
def test_what_cannot_be_opened_is_said_at_once(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        runtime.stream(text.format(port=free_port()), double)
    assert said in str(error.value) and "secret" not in str(error.value)
