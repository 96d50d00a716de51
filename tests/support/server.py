"""Servers for tests: `retinexrt serve` as it is typed, or an application in a thread; and requests as plain as they get."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runtime.serve.connections import make_server
from runtime.serve.limits import Limits

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def error(self) -> str:
        """What an answer that refuses says; in JSON, and nothing else."""
        assert self.headers["content-type"] == "application/json", self
        (text,) = json.loads(self.content).values()
        return text


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    address: str
    process: subprocess.Popen[str] | None = None

    def connect(self, timeout: float = 60) -> http.client.HTTPConnection:
        where = urlsplit(self.address)
        assert where.hostname is not None
        return http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            got = connection.getresponse()
            return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()

    def enhance(self, data: Any, query: str = "", headers: dict[str, str] | None = None) -> Answer:
        return self.ask("POST", f"/enhance?{query}", data, headers)


def start(*words: str, port: int = 0) -> Running:
    """Type `retinexrt serve`; whoever calls ends the process."""
    command = [sys.executable, "-m", "runtime", "serve", "--port", str(port), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    assert line.startswith("Open http://"), process.stderr.read()
    return Running(line.split()[1], process)


@contextmanager
def serving(*words: str) -> Iterator[Running]:
    """`retinexrt serve` with these options, at any port."""
    running = start(*words)
    assert running.process is not None
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.communicate(timeout=60)


@contextmanager
def serving_here(app: Any, limits: Limits) -> Iterator[Running]:
    """An application on a thread of this process."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(app, limits)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
