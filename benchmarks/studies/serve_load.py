"""`retinexrt serve` under load: whether an answer is lost or wrong, how long one takes, and whether memory stays flat.

Clients post photographs of several sizes one after the other, as fast as they are answered; whoever is refused because the
queue is full (429) waits and tries again. Every answer is compared with the first one of the same picture, byte by byte.
Memory is the server's resident set: the largest of the last third of the time against the largest of the second third.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from benchmarks.harness.command import parse_count
from benchmarks.harness.memory import project_on_path
from benchmarks.harness.record import ROOT, Record
from benchmarks.pictures.samples import sample_photographs
from benchmarks.studies.study import Study
from runtime.options import DEFAULT_NETWORK

#: H x W of the photographs, and how often memory is looked at, in seconds.
_SIZES = ((120, 160), (200, 301), (240, 320), (331, 247))
_EVERY = 0.25


@dataclass
class Tally:
    """What the clients saw; guarded by its lock."""

    answered: int = 0
    again: int = 0
    lost: list[str] = field(default_factory=lambda: [])
    seconds: list[float] = field(default_factory=lambda: [])
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Found:
    """Of the whole run; megabytes are 2**20 bytes."""

    answered: int
    refused_and_repeated: int
    lost: int
    median_ms: float
    p99_ms: float
    second_third_mb: float
    last_third_mb: float


def photographs() -> list[bytes]:
    """Dark photographs of several sizes, as PNG."""
    images = [image for _, image in sample_photographs()]
    resized = [cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA) for image, size in zip(images, _SIZES, strict=True)]
    return [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in resized]


def load(address: str, process: int, clients: int, seconds: float) -> tuple[Found, list[str]]:
    """Let so many clients post for so long; what was found, and what was lost, in words."""
    uploads = photographs()
    expected = [_post(address, upload) for upload in uploads]
    tally, memory = Tally(), list[float]()
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(_client, address, number, uploads, expected, end, tally) for number in range(clients)]
        while time.monotonic() < end:
            memory.append(_resident(process))
            time.sleep(_EVERY)
        for client in running:
            client.result()
    third = len(memory) // 3
    spent = np.array(tally.seconds or [0.0]) * 1000
    return Found(
        tally.answered,
        tally.again,
        len(tally.lost),
        float(np.median(spent)),
        float(np.percentile(spent, 99)),
        max(memory[third : 2 * third]),
        max(memory[2 * third :]),
    ), tally.lost


def _client(address: str, number: int, uploads: list[bytes], expected: list[bytes], end: float, tally: Tally) -> None:
    while time.monotonic() < end:
        which = number % len(uploads)
        number += 1
        begun = time.monotonic()
        try:
            good = _post(address, uploads[which], tally) == expected[which]
            said = "" if good else "another answer than the first"
        except (OSError, http.client.HTTPException) as error:
            said = f"{type(error).__name__}: {error}"
        with tally.lock:
            tally.answered += not said
            tally.lost += [said] if said else []
            tally.seconds.append(time.monotonic() - begun)


def _post(address: str, data: bytes, tally: Tally | None = None) -> bytes:
    """The enhanced picture; tried again as long as the queue is full."""
    while True:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        try:
            connection.request("POST", "/enhance", data)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status == 200:
            return content
        if answer.status != 429:
            raise http.client.HTTPException(f"{answer.status} {content.decode()}")
        if tally is not None:
            with tally.lock:
                tally.again += 1
        time.sleep(0.2)


def _resident(process: int) -> float:
    import psutil

    return psutil.Process(process).memory_info().rss / 2**20


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", default=DEFAULT_NETWORK, help="default: %(default)s")
    parser.add_argument("--clients", type=parse_count, default=16, metavar="N", help="default: %(default)s")
    parser.add_argument("--seconds", type=parse_count, default=60, metavar="S", help="default: %(default)s")


def _measure(arguments: argparse.Namespace) -> tuple[Mapping[str, Any], Any]:
    command = [sys.executable, "-m", "runtime", "serve", "--port", "0", "--network", arguments.network]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=project_on_path(), cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[1]
            found, lost = load(address, server.pid, arguments.clients, arguments.seconds)
        finally:
            server.terminate()
    for words in lost[:5]:
        print(f"lost: {words}", file=sys.stderr)
    chosen = {"network": arguments.network, "clients": arguments.clients, "seconds": arguments.seconds, "cores": os.cpu_count()}
    return chosen, found


def _figures(found: Record) -> str:
    chosen, results = found.configuration, Found(**found.results)
    return (
        f"{chosen['clients']} clients for {chosen['seconds']} seconds, `{chosen['network']}`, photographs of up to 331x247, "
        f"{chosen['cores']} cores: {results.answered:,} answered, {results.lost} lost or wrong, "
        f"{results.refused_and_repeated:,} refused by the full queue and repeated; an answer took {results.median_ms:.0f} ms "
        f"(median; 99th percentile {results.p99_ms:.0f} ms). The server held {results.second_third_mb:.0f} MB at most in the "
        f"second third of the time, {results.last_third_mb:.0f} MB in the last. "
        "Measured by `python -m benchmarks.studies.serve_load --record`."
    )


STUDY = Study("serve_load", ROOT / "docs" / "serve.md", __doc__, _arguments, _measure, _figures)

if __name__ == "__main__":
    sys.exit(STUDY.main())
