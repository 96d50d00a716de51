"""What bounds the server: places, time, connections, and what it does when something breaks; with an enhancer that waits."""

from __future__ import annotations

import gc
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from runtime.errors import GpuLostError, GpuMemoryError, InputError
from runtime.media import pictures
from runtime.media.pictures import Picture
from runtime.serve.application import application
from runtime.serve.limits import Limits
from tests.support.server import Answer, Running, serving_here

PICTURE = pictures.encode(Picture(np.full((20, 20, 3), 60, np.uint8)))


class Waiting:
    """Stands for the networks, and for the one enhancer: it answers when it is let go."""

    default = "waiting"

    def __init__(self, error: Exception | None = None) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.calls = 0
        self.closed = False
        self._error = error

    def listed(self) -> list[dict[str, str]]:
        return [{"name": "waiting", "title": ""}]

    def check(self, name: str) -> None:
        pass

    def open(self, name: str) -> Callable[..., Any]:
        return self._enhance

    def close(self) -> None:
        self.closed = True

    def _enhance(self, image: Any, **options: Any) -> Any:
        self.calls += 1
        self.begun.release()
        assert self.go.wait(60)
        if self._error:
            raise self._error
        return image


@contextmanager
def _serving(networks: Waiting, limits: Limits, **named: Any) -> Iterator[Running]:
    with serving_here(application(networks, limits, **named), limits) as running:  # pyright: ignore[reportArgumentType]
        try:
            yield running
        finally:
            networks.go.set()
    assert networks.closed


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)


def test_one_too_many_is_told_so_and_the_others_are_served() -> None:
    networks = Waiting()
    with _serving(networks, Limits(jobs=1, waiting=2)) as server, ThreadPoolExecutor(3) as clients:
        answers = [clients.submit(server.enhance, PICTURE) for _ in range(3)]
        assert networks.begun.acquire(timeout=20)
        refused = [server.enhance(PICTURE)]
        _until(lambda: refused.append(server.enhance(PICTURE)) or refused[-1].status == 429)
        assert refused[-1].headers["retry-after"] == "1" and "too many" in refused[-1].error
        assert server.ask("GET", "/networks").status == 200, "what costs nothing is still answered"
        networks.go.set()
        assert [answer.result().status for answer in answers] == [200] * 3
        assert server.enhance(PICTURE).status == 200


def test_a_client_that_leaves_gives_its_place_back() -> None:
    networks = Waiting()
    with _serving(networks, Limits(jobs=1, waiting=1)) as server, ThreadPoolExecutor(1) as clients:
        first = clients.submit(server.enhance, PICTURE)
        assert networks.begun.acquire(timeout=20)
        leaving = server.connect()
        leaving.request("POST", "/enhance", PICTURE)
        _until(lambda: server.enhance(b"x").status == 429)
        leaving.close()
        _until(lambda: server.enhance(b"").status == 400)
        networks.go.set()
        assert first.result().status == 200
        assert networks.calls == 1, "nothing was done for the one that left"


def test_what_takes_too_long_is_given_up_and_keeps_its_place_until_it_ends() -> None:
    networks = Waiting()
    with _serving(networks, Limits(jobs=1, waiting=0, seconds=0.3)) as server:
        answer = server.enhance(PICTURE)
        assert answer.status == 503 and "0.3 seconds" in answer.error
        assert server.enhance(PICTURE).status == 429
        networks.go.set()
        _until(lambda: server.enhance(PICTURE).status == 200)


def test_a_place_that_waits_in_vain_is_given_up() -> None:
    networks = Waiting()
    with _serving(networks, Limits(jobs=1, waiting=1, seconds=0.5)) as server, ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda _: server.enhance(PICTURE), range(2)))
        assert [answer.status for answer in answers] == [503, 503] and networks.calls == 1


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError(), 503, "memory"),
        (GpuMemoryError("/secret/path"), 503, "memory"),
        (RuntimeError("/secret/path"), 500, "its log says why"),
        (GpuLostError("/secret/path"), 500, "its log says why"),
        (InputError("too small"), 422, "too small"),
    ],
)
def test_what_goes_wrong_in_a_network(error: Exception, status: int, words: str) -> None:
    networks, lost = Waiting(error), threading.Event()
    networks.go.set()
    with _serving(networks, Limits(), on_gpu_lost=lost.set) as server:
        answer = server.enhance(PICTURE)
        assert answer.status == status and words in answer.error and b"secret" not in answer.content
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert lost.is_set() == isinstance(error, GpuLostError)
        assert server.ask("GET", "/networks").status == 200


def _socket(server: Running) -> socket.socket:
    where = urlsplit(server.address)
    return socket.create_connection((where.hostname, where.port), timeout=20)


HEAD = b"POST /enhance HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"


def test_a_slow_upload() -> None:
    with _serving(Waiting(), Limits(jobs=1, waiting=0, seconds=0.4)) as server, _socket(server) as client:
        client.sendall(HEAD + b"a little")
        _until(lambda: server.enhance(b"").status == 429)
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert server.enhance(b"").status == 400, "its place is free"


def test_an_upload_that_breaks_off() -> None:
    with _serving(Waiting(), Limits(jobs=1, waiting=0)) as server:
        with _socket(server) as client:
            client.sendall(HEAD + b"a little")
            _until(lambda: server.enhance(b"").status == 429)
        _until(lambda: server.enhance(b"").status == 400)


@pytest.mark.parametrize(("answered", "said"), [(0, b""), (0, b"GET / HTTP/1.1\r\nHost: local"), (1, b"GET /")])
def test_a_client_that_says_too_little_is_hung_up_on(answered: int, said: bytes) -> None:
    with _serving(Waiting(), Limits(head_seconds=0.4)) as server, _socket(server) as client:
        for _ in range(answered):
            client.sendall(b"GET /networks HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.1)
        client.sendall(said)
        begun = time.monotonic()
        while _received(client):
            pass
        assert 0.2 < time.monotonic() - begun < 4


def _received(client: socket.socket) -> bytes:
    try:
        return client.recv(4096)
    except ConnectionResetError:
        return b""


def test_a_client_that_takes_no_answer_keeps_its_place_until_it_is_hung_up_on() -> None:
    large = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    networks = Waiting()
    networks.go.set()
    data = pictures.encode(Picture(large))
    with _serving(networks, Limits(jobs=1, waiting=0, seconds=2)) as server, _socket(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(HEAD.replace(b"1000", str(len(data)).encode()) + data)
        assert client.recv(12) == b"HTTP/1.1 200"
        assert server.enhance(b"").status == 429, "the rest of the answer is in memory still"
        _until(lambda: server.enhance(b"").status == 400)


def test_memory_is_given_back() -> None:
    """Clients that leave while they wait hold nothing."""
    networks = Waiting()
    upload = bytes(1_000_000)
    with _serving(networks, Limits(jobs=1, waiting=1)) as server, ThreadPoolExecutor(1) as clients:
        first = clients.submit(server.enhance, PICTURE)
        assert networks.begun.acquire(timeout=20)
        tracemalloc.start()
        for _ in range(20):
            leaving = server.connect()
            leaving.request("POST", "/enhance", upload)
            _until(lambda: server.enhance(b"x").status == 429)
            leaving.close()
            _until(lambda: server.enhance(b"").status == 400)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 2 * len(upload)
        networks.go.set()
        assert isinstance(first.result(), Answer)
