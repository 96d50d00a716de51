"""Servers on loopback that can be killed and brought back; as a program, a relay that speaks RTSP."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from abc import ABC, abstractmethod
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(ABC):
    """A TCP server on a port of loopback that can be killed, with all its connections, and brought back."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self._open: list[socket.socket] = []
        self.start()

    def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self._open = [listener]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def kill(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve_until_gone, args=(client,), daemon=True).start()

    def _serve_until_gone(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            self.serve(client)

    @abstractmethod
    def serve(self, client: socket.socket) -> None:
        """Speak with one client until it is done."""


class RtspRelay(Server):
    """What one client publishes (ANNOUNCE, RECORD), others may watch (DESCRIBE, PLAY): RTP within the connection."""

    def start(self) -> None:
        self._description = b""
        self._watchers: list[socket.socket] = []
        super().start()

    def serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as stream:
            self._converse(client, stream)

    def _converse(self, client: socket.socket, stream: Any) -> None:
        while True:
            first = _exactly(stream, 1)
            if first == b"$":  # RTP
                head = _exactly(stream, 3)
                self._hand_on(b"$" + head + _exactly(stream, int.from_bytes(head[1:])))
                continue
            request = (first + stream.readline()).decode()
            headers = dict(line.split(": ", 1) for line in iter(lambda: stream.readline().decode().strip(), ""))
            body = _exactly(stream, int(headers.get("Content-Length", 0)))
            client.sendall(self._answer(request, headers, body))
            if request.startswith("PLAY"):
                self._watchers.append(client)
            if request.startswith("TEARDOWN"):
                return

    def _answer(self, request: str, headers: dict[str, str], body: bytes) -> bytes:
        method, status, more, content = request.split()[0], "200 OK", "", b""
        if method == "OPTIONS":
            more = "Public: OPTIONS, ANNOUNCE, DESCRIBE, SETUP, PLAY, RECORD, TEARDOWN\r\n"
        elif method == "ANNOUNCE":
            self._description = body
        elif method == "DESCRIBE":
            status, content = ("200 OK" if self._description else "404 Not Found"), self._description
            more = "Content-Type: application/sdp\r\n"
        elif method == "SETUP":
            more = f"Transport: {headers['Transport']}\r\n"
        head = f"RTSP/1.0 {status}\r\nCSeq: {headers['CSeq']}\r\nSession: 1\r\n{more}Content-Length: {len(content)}\r\n\r\n"
        return head.encode() + content

    def _hand_on(self, packet: bytes) -> None:
        for watcher in [*self._watchers]:
            try:
                watcher.sendall(packet)
            except OSError:
                self._watchers.remove(watcher)


def _exactly(stream: Any, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return bytes(data)


if __name__ == "__main__":
    RtspRelay(int(sys.argv[1]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()
