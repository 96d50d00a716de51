"""Live sources on the command line, in processes of their own where signals, pipes and servers matter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.error import FFmpegError

from runtime import OutputError
from runtime.commands.main import main
from runtime.media.film_options import FilmOptions
from runtime.media.live import address, sinks
from runtime.media.live.source import LiveFrame, LiveSource
from tests.support.films import STEADY, grey, mean, shown, write_film
from tests.support.live import HEIGHT, WIDTH, Camera, HttpServer, RtspServer, until
from tests.support.processes import start
from tests.support.servers import Server, free_port


def _ended(process: subprocess.Popen[Any], number: signal.Signals) -> str:
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return error.decode()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_recording_is_whole_when_it_is_ended(engine: list[str], tmp_path: Path, number: signal.Signals, suffix: str) -> None:
    out, growing = tmp_path / "out" / f"night{suffix}", tmp_path / "out" / f"night.partial{suffix}"
    with HttpServer() as server:
        process = start(["enhance", f"http://127.0.0.1:{server.port}/live.ts", "-o", str(out), *engine])
        until(lambda: growing.exists() and process.poll() is None, 60)
        time.sleep(2)
        said = _ended(process, number)
    assert " dropped" in said and "ms from decoding to output" in said
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    found = shown(out)
    assert len(found.frames) > 20 and min(mean(found.frames)) >= 36 and max(mean(found.frames)) <= 204
    assert found.times == sorted({*found.times})


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_recording_has_the_sound_of_its_source(engine: list[str], tmp_path: Path, suffix: str) -> None:
    film, pipe, out = write_film(tmp_path / "in.ts", sound=True), tmp_path / "pipe", tmp_path / f"out{suffix}"
    os.mkfifo(pipe)
    process = start(["enhance", str(pipe), "-o", str(out), *engine])
    threading.Thread(target=lambda: pipe.write_bytes(film.read_bytes())).start()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    before, after = _sound(film), _sound(out)
    # What lies before the first picture, and the packets of the last one, are left out.
    assert len(before) - 12 <= len(after) <= len(before) and after[0] < 0.1
    steps = np.diff(after[1:])  # a film that grows begins all its streams at 0
    assert steps.min() > 0.015 and steps.max() < 0.03  # 1,024 samples of 48,000 a second


@pytest.mark.slow
def test_frames_that_are_dropped_leave_their_sound(engine: list[str]) -> None:
    with HttpServer() as server:
        server.sound = True
        with LiveSource(address.find(f"http://127.0.0.1:{server.port}/live.ts"), sound=True) as source:
            times: list[float] = []
            for _ in range(5):
                time.sleep(0.4)
                frame = source.read()
                assert frame is not None
                times += [float(packet.pts * packet.time_base) for packet in frame.sound]
        assert source.dropped > 10
    assert len(times) > 50 and np.diff(times).max() < 0.03


def _sound(path: Path) -> list[float]:
    """The times of the packets of a film's first sound, in seconds."""
    with av.open(str(path)) as film:
        return [float(packet.pts * packet.time_base) for packet in film.demux(film.streams.audio[0]) if packet.pts is not None]


@pytest.mark.slow
def test_a_recording_that_is_killed_can_be_seen(engine: list[str], tmp_path: Path) -> None:
    growing = tmp_path / "night.partial.mp4"
    with HttpServer() as server:
        process = start(["enhance", f"http://127.0.0.1:{server.port}/live.ts", "-o", str(tmp_path / "night.mp4"), *engine])
        until(growing.exists, 60)
        time.sleep(7)
        process.kill()
        process.communicate()
    assert len(shown(growing).frames) > 40


@pytest.mark.slow
def test_from_server_to_server_while_both_are_lost_and_found(engine: list[str], tmp_path: Path) -> None:
    with RtspServer() as one, RtspServer() as other, Camera(url := f"rtsp://127.0.0.1:{one.port}/dark", "rtsp"):
        time.sleep(1)
        bright = f"rtsp://127.0.0.1:{other.port}/bright"
        process = start(["enhance", url, "-o", bright, *engine])
        assert _watched(bright) == (HEIGHT, WIDTH)
        other.kill()
        time.sleep(0.5)
        other.start()
        assert _watched(bright) == (HEIGHT, WIDTH)
        one.kill()
        time.sleep(0.5)
        one.start()
        time.sleep(4)
        assert _watched(bright) == (HEIGHT, WIDTH)
        said = _ended(process, signal.SIGTERM)
    assert "connected anew 1 time" in said and "lost (" in said
    assert "/bright: connected again" in said and "frames were lost" in said


def _watched(url: str) -> tuple[int, int]:
    """The size of what a server shows, when it shows something bright."""
    for _ in range(200):
        try:
            with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(5, 5)) as film:
                for frame in film.decode(video=0):
                    if frame.to_ndarray(format="rgb24").mean() > 36:
                        return frame.height, frame.width
        except (FFmpegError, OSError):
            time.sleep(0.1)
    raise AssertionError("nothing is shown")


def test_to_udp(engine: list[str], tmp_path: Path) -> None:
    url = f"udp://127.0.0.1:{free_port()}"
    with HttpServer() as server:
        process = start(["enhance", f"http://127.0.0.1:{server.port}/live.ts", "-o", url, *engine])
        assert _watched(url) == (HEIGHT, WIDTH)
        _ended(process, signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["rtmp", "tcp"])
def test_to_whoever_listens(engine: list[str], tmp_path: Path, protocol: str) -> None:
    """FFmpeg in its listen mode takes one connection and ends with it."""
    url = f"{protocol}://127.0.0.1:{free_port()}/live/x"
    seen: list[float] = []

    def listen() -> None:
        # RTMP calls it an error that the sender leaves.
        with suppress(OSError), av.open(url, options={"listen": "1"}, timeout=(60, 20)) as film:
            seen.extend(float(frame.to_ndarray(format="rgb24").mean()) for frame in film.decode(video=0))

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(1)
    process = start(["enhance", str(write_film(tmp_path / "in.ts")), "-o", url, *engine])
    _, error = process.communicate(timeout=60)
    listener.join(60)
    assert process.returncode == 0, error
    assert len(seen) >= 29 and abs(seen[0] - 40) < 4


def test_raw_frames_of_a_pipe(engine: list[str], tmp_path: Path) -> None:
    film, pipe = write_film(tmp_path / "in.ts"), tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start(["enhance", str(pipe), "-o", "-", *engine], stdout=subprocess.PIPE)
    threading.Thread(target=lambda: pipe.write_bytes(film.read_bytes())).start()
    data, error = process.communicate(timeout=60)
    assert process.returncode == 0 and "raw RGB frames of 64x48 on stdout" in error.decode()
    frames = np.frombuffer(data, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    assert len(frames) == 30
    assert abs(float(frames[0].mean()) - 40) < 3


class _HalfAFilm(Server):
    """Promises a film over HTTP, and leaves in the middle."""

    film, share = b"", 2 / 3

    def serve(self, client: socket.socket) -> None:
        client.recv(4096)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.film)}\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode() + self.film[: int(len(self.film) * self.share)])


def test_a_film_that_breaks_off_on_its_way_is_partial(
    engine: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [np.random.default_rng(at).integers(0, 90, (HEIGHT, WIDTH, 3), np.uint8) for at in range(30)]
    _HalfAFilm.film = write_film(tmp_path / "in.ts", frames).read_bytes()
    with _HalfAFilm() as server:
        url = f"http://127.0.0.1:{server.port}/in.ts"
        assert main(["enhance", url, "-o", str(tmp_path / "out.mp4"), *engine]) == 2
    said = capsys.readouterr().err
    assert "in.ts breaks off (" in said and f"what was done is in {tmp_path / 'out.partial.mp4'}" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ts", "out.partial.mp4"]
    assert 5 < len(shown(tmp_path / "out.partial.mp4").frames) < 30
    _HalfAFilm.share = 1
    with _HalfAFilm() as server:
        assert main(["enhance", f"http://127.0.0.1:{server.port}/in.ts", "-o", str(tmp_path / "out.mp4"), *engine]) == 0
    assert len(shown(tmp_path / "out.mp4").frames) == 30


def test_a_film_is_sent_at_its_own_pace(engine: list[str], tmp_path: Path) -> None:
    film = write_film(tmp_path / "in.mp4")
    begun = time.monotonic()
    assert main(["enhance", str(film), "-o", f"udp://127.0.0.1:{free_port()}", *engine]) == 0
    assert time.monotonic() - begun > float(STEADY[-1])


def test_a_window_shows_every_frame_until_it_is_closed(
    engine: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_film(tmp_path / "in.ts", [grey(0) for _ in range(30)])
    seen: list[float] = []
    monkeypatch.setattr(sinks, "cv2", _Screen(seen))
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(["enhance", str(film), "--show", *engine]) == 0
    assert 3 <= len(seen) < 30 and abs(seen[0] - 40) < 3
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["enhance", str(film), "--show", *engine]) == 2
    assert "--show needs a display, and there is none here" in capsys.readouterr().err


class _Screen:
    """OpenCV's windows; q is pressed at the third frame."""

    error = RuntimeError
    WINDOW_NORMAL = WINDOW_KEEPRATIO = WND_PROP_VISIBLE = 0

    def __init__(self, seen: list[float]) -> None:
        self._seen = seen

    def namedWindow(self, *_: Any) -> None: ...  # noqa: N802
    def resizeWindow(self, *_: Any) -> None: ...  # noqa: N802
    def destroyWindow(self, *_: Any) -> None: ...  # noqa: N802

    def imshow(self, _: str, image: Any) -> None:
        self._seen.append(float(image.mean()))

    def waitKey(self, _: int) -> int:  # noqa: N802
        return ord("q") if len(self._seen) == 3 else -1

    def getWindowProperty(self, *_: Any) -> float:  # noqa: N802
        return 1.0


def test_a_stream_that_nobody_takes_is_said_at_once(tmp_path: Path) -> None:
    with LiveSource(address.find(str(write_film(tmp_path / "in.ts")))) as source:
        frame = source.read()
        assert isinstance(frame, LiveFrame)
        for protocol in ("rtsp", "rtmp", "tcp"):
            sink = sinks.Broadcast(source, f"{protocol}://127.0.0.1:{free_port()}/x", FilmOptions(), print)
            with pytest.raises(OutputError, match=r"cannot write .*/x: Connection refused"):
                sink.write(frame)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["camera:0", "in.png", "-o", "out"], "a live source is read alone; name one INPUT"),
        (["camera:0"], "where to? name a film, a URL or - (stdout) with -o, or --show a window"),
        (["camera:0", "-o", "out"], "camera:0 becomes a film, and out is not named like one; known: .mp4"),
        (["in.mp4", "-o", "out", "--every-frame"], "--every-frame and --patience are for cameras and streams"),
        (["camera:0", "-o", "out.mp4", "--ray"], "a live source cannot be shared out: leave --ray"),
    ],
)
def test_what_cannot_be_done_is_said(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", *argv]) == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_sent_is_said(tmp_path: Path, engine: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", str(write_film(tmp_path / "in.ts")), "-o", "ftp://here/x", *engine]) == 2
    assert "cannot send to ftp://; known: rtsp://, rtmp://, udp://, tcp://, srt://" in capsys.readouterr().err
