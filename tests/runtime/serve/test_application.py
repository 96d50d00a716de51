"""The API of `retinexrt serve`, as it is typed, on networks that a line of numpy can check."""

from __future__ import annotations

import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from runtime import page
from runtime.media import pictures
from runtime.media.pictures import Picture
from tests.runtime.conftest import double
from tests.support.server import ROOT, Answer, Running, serving

#: What no answer may hold.
_PATHS = re.compile("|".join(re.escape(path) for path in {str(ROOT), str(Path.home()), tempfile.gettempdir(), os.sys.prefix}))


@pytest.fixture(scope="module")
def server(artifacts: Path) -> Iterator[Running]:
    networks = [word for name in ("double", "blur", "whole") for word in ("--network", str(artifacts / f"{name}.onnx"))]
    with serving(*networks, "--max-upload", "2", "--max-pixels", "3", "--allow-host", "Night.example") as running:
        yield running


@pytest.fixture(autouse=True)
def no_path_in_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Running.ask

    def checked(self: Running, *words: Any, **named: Any) -> Answer:
        answer = ask(self, *words, **named)
        said = f"{answer.headers} {answer.content.decode('latin-1')}"
        assert not _PATHS.search(said), said
        return answer

    monkeypatch.setattr(Running, "ask", checked)


def _png(image: NDArray[Any]) -> bytes:
    return pictures.encode(Picture(image))


# What is answered


def test_a_picture_comes_back_as_the_network_makes_it(server: Running, dark: NDArray[np.uint8]) -> None:
    answer = server.enhance(_png(dark))
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["retinexrt-network"] == "double" and "retinexrt-note" not in answer.headers
    assert np.array_equal(pictures.decode(answer.content, "answer").rgb, double(dark))


def test_the_parameters_are_those_of_an_enhancer(server: Running, dark: NDArray[np.uint8]) -> None:
    def enhanced(query: str, image: NDArray[np.uint8] = dark) -> NDArray[np.uint8]:
        answer = server.enhance(_png(image), query)
        assert answer.status == 200, answer
        return pictures.decode(answer.content, "answer").rgb

    bright = np.full((20, 20, 3), 200, np.uint8)
    assert np.array_equal(enhanced("strength=0"), dark)
    assert np.array_equal(enhanced("gate=true", bright), bright)
    assert enhanced("gate=false", bright).min() == 255
    assert not np.array_equal(enhanced("network=whole"), double(dark))


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("kind", ["plain", "grey", "16 bits", "alpha"])
def test_what_is_kept_is_what_the_command_line_keeps(
    server: Running, artifacts: Path, dark: NDArray[np.uint8], kind: str, ending: str, capfdbinary: Any, monkeypatch: Any
) -> None:
    from io import BytesIO

    from PIL import Image, ImageCms

    from runtime.commands.main import main

    mode = {"grey": "L", "alpha": "RGBA"}.get(kind, "RGB")
    if (mode == "RGBA" and ending == ".jpg") or (kind == "16 bits" and ending in (".jpg", ".webp")):
        pytest.skip("there is no such file")
    held = BytesIO()
    profile = None if mode == "L" else ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    if kind == "16 bits":
        data = pictures.encode(Picture(dark.astype(np.uint16) * 199), ending)
    else:
        Image.fromarray(dark).convert(mode).save(held, ending[1:].replace("jpg", "jpeg"), icc_profile=profile, exif=exif)
        data = held.getvalue()
    answer = server.enhance(data, "strength=0.5")
    assert answer.status == 200, answer
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": BytesIO(data)}))
    assert main(["enhance", "-", "--engine", str(artifacts / "double.onnx"), "--strength", "0.5"]) == 0
    assert answer.content == capfdbinary.readouterr().out
    kept = pictures.decode(answer.content, "answer").metadata
    assert kept.icc == (None if kind == "16 bits" else profile)


def test_what_could_not_be_kept_is_said(server: Running, dark: NDArray[np.uint8]) -> None:
    from io import BytesIO

    from PIL import Image

    held = BytesIO()
    Image.fromarray(dark).save(held, "jpeg", icc_profile=b"no profile" * 20)
    answer = server.enhance(held.getvalue())
    assert answer.headers["retinexrt-note"] == "without%20its%20colour%20profile%2C%20which%20is%20damaged"


def test_the_networks_and_the_page(server: Running) -> None:
    listed = json.loads(server.ask("GET", "/networks").content)
    assert listed == [{"name": name, "title": "Doubles brightness"} for name in ("double", "blur", "whole")]
    for name, kind in (("", "text/html"), *((name, "text/") for name in (*page.FILES, "enhance.js"))):
        answer = server.ask("GET", f"/{name}")
        assert answer.status == 200 and answer.headers["content-type"].startswith(kind)
        assert "http" not in answer.content.decode(), "the page needs no network"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


# What is refused


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("strenght=0.5", "did you mean strength?"),
        ("colour=rgb", "known: network, strength"),
        ("strength=2", "between 0 and 1"),
        ("strength=nan", "between 0 and 1"),
        ("strength=high", "between 0 and 1, found 'high'"),
        ("strength=0&strength=1", "twice"),
        ("gate=perhaps", "true or false"),
        ("network=../../etc/passwd", "there are: double, blur, whole"),
        ("network=", "there are: double"),
    ],
)
def test_wrong_parameters(server: Running, dark: NDArray[np.uint8], query: str, words: str) -> None:
    answer = server.enhance(_png(dark), query)
    assert answer.status == 400 and words in answer.error


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"no picture at all", 415, "the picture is not a picture"),
        (b"\xff\xd8\xff\xe0 begins like a JPEG", 415, "truncated"),
        (b"GIF89a", 415, ""),
        (_png(np.zeros((20, 20, 3), np.uint8))[:-30], 415, "truncated"),
        (_png(np.zeros((9, 9, 3), np.uint8)), 422, "takes 16x16 and up"),
    ],
)
def test_what_is_no_picture(server: Running, data: bytes, status: int, words: str) -> None:
    answer = server.enhance(data)
    assert answer.status == status and words in answer.error


def test_the_file_name_is_used_without_folders(server: Running) -> None:
    assert "night.jpg is not a picture" in server.enhance(b"text", "name=C:%5CUsers%5Cme%5Cnight.jpg").error
    assert "night.nef cannot be decoded" in server.enhance(b"text", "name=/home/me/night.nef").error
    assert "the picture is not" in server.enhance(b"text", "name=a%0Ab").error


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
def test_nothing_that_is_damaged_gets_past(server: Running, dark: NDArray[np.uint8], ending: str) -> None:
    whole = pictures.encode(Picture(dark), ending)
    random = np.random.default_rng(3)
    for _ in range(40):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        answer = server.enhance(bytes(data[: random.integers(len(data) // 2, len(data) + 1)]))
        assert answer.status in (200, 413, 415, 422), answer
        assert answer.status == 200 or answer.error


def test_long_uploads(server: Running) -> None:
    assert "2,000,000 bytes" in server.enhance(bytes(2_000_001)).error
    chunks = (bytes(100_000) for _ in range(21))
    answer = server.enhance(chunks)
    assert answer.status == 413 and "2,000,000 bytes" in answer.error


def test_a_small_file_of_many_pixels_takes_no_memory(server: Running) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    side = 20_000
    head = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    lines = zlib.compress(bytes((side + 1) * side), 1)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    before = _most_memory(server)
    answer = server.enhance(bomb)
    assert answer.status == 413 and "pixels" in answer.error
    assert _most_memory(server) < before + side * side / 4
    assert server.enhance(_png(np.zeros((1800, 1800, 3), np.uint8))).status == 413


def _most_memory(server: Running) -> float:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return psutil.Process(server.process.pid).memory_info().rss
    return next(float(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/none", 404), ("GET", "/enhance", 405), ("POST", "/", 405), ("GET", "/../x", 404)]
)
def test_other_paths_and_methods(server: Running, method: str, path: str, status: int) -> None:
    answer = server.ask(method, path)
    assert answer.status == status and answer.error


# Who is let in


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "192.168.7.7:8000", "night.example:443"])
def test_names_of_this_server(server: Running, dark: NDArray[np.uint8], host: str) -> None:
    assert server.enhance(_png(dark), headers={"Host": host, "Origin": f"http://{host}"}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "", "[::1", "a b"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_names_that_are_pointed_at_it(server: Running, host: str, method: str) -> None:
    answer = server.ask(method, "/networks", headers={"Host": host})
    assert answer.status == 421 and "--allow-host" in answer.error


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites(server: Running, dark: NDArray[np.uint8], headers: dict[str, str]) -> None:
    answer = server.enhance(_png(dark), headers=headers)
    assert answer.status == 403 and "another site" in answer.error
    assert "access-control-allow-origin" not in answer.headers


# The description


def test_the_description_is_that_of_the_server(server: Running) -> None:
    document = json.loads(server.ask("GET", "/openapi.json").content)
    assert document["openapi"].startswith("3.1")
    assert {*document["paths"]} == {"/enhance", "/networks"}
    post = document["paths"]["/enhance"]["post"]
    parameters = {parameter["name"]: parameter["schema"] for parameter in post["parameters"]}
    assert parameters["network"]["enum"] == ["double", "blur", "whole"] and parameters["network"]["default"] == "double"
    assert {*post["responses"]} == {"200", *map(str, (400, 403, 408, 413, 415, 421, 422, 429, 500, 503))}
    text = (ROOT / "docs" / "serve.md").read_text()
    assert {"200", *re.findall(r"(?<=[|,] )[45]\d\d(?=[,| ].*\|)", text)} == {*post["responses"]}
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [*parameters]
    for name in parameters:
        assert "there is no parameter" not in server.enhance(b"x", f"{name}=1").error
    assert "2,000,000 bytes, or 3,000,000 pixels" in post["responses"]["413"]["description"]
