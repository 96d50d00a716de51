"""Where things lie: paths, lists, and an object store, here a small stand-in for S3 that speaks its protocol."""

from __future__ import annotations

import threading
from collections.abc import Generator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import cv2
import numpy as np
import pytest

from runtime.errors import InputError, OutputError
from runtime.scale import storage
from runtime.scale.ledger import Ledger, Note, Outcome, read_journal
from runtime.scale.tasks import find
from runtime.scale.worker import Settings, Worker, packed


def test_places() -> None:
    assert storage.is_url("s3://bucket/a.png") and not storage.is_url("/a/b.png") and not storage.is_url("a:b.png")
    assert storage.join("/out", "a/b.png") == "/out/a/b.png"
    assert storage.join("s3://bucket/out/?region=x", "a/b.png") == "s3://bucket/out/a/b.png?region=x"
    assert storage.suffix("s3://bucket/a.PNG?region=x.y") == ".png"


def test_a_list_keeps_the_structure_below_the_folder_that_it_shares(tmp_path: Path) -> None:
    for name in ("in/one/a.png", "in/two/a.png", "in/two/b.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    paths = [str(tmp_path / name) for name in ("in/one/a.png", "in/two/a.png", "in/two/b.gif")]
    (tmp_path / "list.txt").write_text("# of today\n" + "\n".join([*paths, paths[0]]) + "\n\n")
    out = tmp_path / "out"
    found = find([f"@{tmp_path / 'list.txt'}"], str(out))
    assert [pair.source for pair in found.pairs] == paths and not found.failures
    assert [pair.target for pair in found.pairs] == [str(out / name) for name in ("one/a.png", "two/a.png", "two/b.png")]
    over = find([f"@{tmp_path / 'list.txt'}"], str(tmp_path / "in"))
    assert [failure.reason.startswith("would write over the input") for failure in over.failures] == [True] * 2
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="lists nothing"):
        find([f"@{tmp_path / 'empty.txt'}"], str(out))


def test_stores_that_nobody_knows_are_named(tmp_path: Path) -> None:
    found = find(["nowhere://bucket/a"], str(tmp_path))
    assert found.failures[0].reason.startswith("nowhere://bucket/a is of no store")
    with pytest.raises(InputError, match="of no store"):
        storage.read("nowhere://bucket/a")
    assert storage.digest("nowhere://bucket/a") is None


def _joined(stream: Any) -> bytes:
    """Pieces, each after a line with its size; lines after the last, up to an empty one, are passed over."""
    whole = b""
    while size := int(stream.readline().split(b";")[0], 16):
        whole += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return whole


class Handler(BaseHTTPRequestHandler):
    """As much of S3 as one reader and one writer need; objects are kept in memory."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def log_message(self, format: str, *args: object) -> None: ...

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def do_HEAD(self) -> None:
        data = self.objects.get(self._key)
        if data is None:
            self._answer(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            bucket = self._key.strip("/")
            prefix = query.get("prefix", [""])[0]
            keys = [key[len(bucket) + 1 :] for key in sorted(self.objects) if key.startswith(f"{bucket}/{prefix}")]
            rows = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[f'{bucket}/{key}'])}</Size></Contents>"
                for key in keys[: int(query.get("max-keys", ["1000"])[0])]
            )
            text = (
                f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
            )
            self._answer(200, text.encode(), Content_Type="application/xml")
            return
        data = self.objects.get(self._key)
        if data is None:
            self._answer(404)
            return
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        where = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        self._answer(206 if "Range" in self.headers else 200, part, Content_Range=where)

    def _body(self) -> bytes:
        """What was sent; in pieces for HTTP, and those again in pieces with their checksums for S3."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = _joined(self.rfile)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        return _joined(BytesIO(data)) if "aws-chunked" in self.headers.get("Content-Encoding", "") else data

    def do_PUT(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        body = self._body()
        if "readonly" in self._key:
            self._answer(403)
            return
        if "partNumber" in query:
            self.objects[f"{query['uploadId'][0]}#{int(query['partNumber'][0]):04d}"] = body
        else:
            self.objects[self._key] = body
        self._answer(200, ETag='"tag"')

    def do_POST(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        self._body()
        if "readonly" in self._key:
            self._answer(403)
            return
        if "uploads" in query:
            text = f"<InitiateMultipartUploadResult><UploadId>up {escape(self._key)}</UploadId></InitiateMultipartUploadResult>"
            self._answer(200, text.encode(), Content_Type="application/xml")
            return
        parts = [key for key in sorted(self.objects) if key.startswith(f"{query['uploadId'][0]}#")]
        self.objects[self._key] = b"".join(self.objects.pop(part) for part in parts)
        self._answer(200, b"<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[dict[str, bytes], str]]:
    """Objects by bucket and key, and the options of a URL that lead to them."""
    pytest.importorskip("pyarrow.fs", reason="Apache Arrow is not installed (extra ray)")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    handler = type("Store", (Handler,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    options = f"?endpoint_override=127.0.0.1:{server.server_address[1]}&scheme=http&region=us-east-1"
    yield handler.objects, options  # pyright: ignore
    server.shutdown()
    thread.join()
    server.server_close()


def _png(seed: int) -> bytes:
    return cv2.imencode(".png", np.random.default_rng(seed).integers(0, 90, (24, 32, 3), dtype=np.uint8))[1].tobytes()


def test_objects_are_read_and_written_whole(store: tuple[dict[str, bytes], str]) -> None:
    objects, options = store
    place = f"s3://key:secret@bucket/folder/a.bin{options}"
    data = np.random.default_rng(0).bytes(300_000)
    storage.write(place, data)
    assert objects["bucket/folder/a.bin"] == data and storage.read(place) == data
    assert storage.digest(place) is not None
    with pytest.raises(InputError, match="cannot read"):
        storage.read(f"s3://key:secret@bucket/absent{options}")
    with pytest.raises(OutputError, match="cannot write"):
        storage.write(f"s3://key:secret@bucket/readonly/a.png{options}", data)


def test_a_bucket_is_enhanced_into_another(store: tuple[dict[str, bytes], str], settings: Settings) -> None:
    objects, options = store
    for number, key in enumerate(
        ("in/a.png", "in/below/b.png", "in/below/c.gif", "in/.hidden.png", "in/notes.txt", "in/f.mp4")
    ):
        objects[f"bucket/{key}"] = _png(number)
    objects["bucket/in/broken.png"] = b"no picture"
    source, out = f"s3://key:secret@bucket/in{options}", f"s3://key:secret@other/out{options}"
    found = find([source], out)
    assert [storage.path_of(pair.target).partition("@")[2] for pair in found.pairs] == [
        "other/out/a.png", "other/out/below/b.png", "other/out/below/c.png", "other/out/broken.png"
    ]  # fmt: skip
    assert found.ignored == 1 and "films are read from and written to file systems" in found.failures[0].reason
    from runtime.scale.run import _tasks  # pyright: ignore[reportPrivateUsage]

    book = Ledger(out)
    Worker(settings, book)({"tasks": [packed(_tasks(found.pairs, {}, 8))]})
    account = book.account()
    assert account.enhanced == 3 and [Path(failure.name).name for failure in account.failures] == ["broken.png"]
    assert sorted(key for key in objects if key.startswith("other/out/") and key.endswith(".png")) == [
        "other/out/a.png", "other/out/below/b.png", "other/out/below/c.png"
    ]  # fmt: skip
    # The journal lies in the store too, and another run goes by it.
    again = Ledger(out)
    Worker(settings, again)({"tasks": [packed(_tasks(found.pairs, read_journal(out), 8))]})
    assert (again.account().enhanced, again.account().kept) == (0, 3)


def test_journals_in_a_store_are_written_in_pieces(store: tuple[dict[str, bytes], str]) -> None:
    objects, options = store
    out = f"s3://key:secret@bucket/out{options}"
    book = Ledger(out)
    for number in range(300):
        note = Note(storage.join(out, f"{number}.png"), "a", "b", "c")
        book.finish("w", Outcome(number, "picture", "x", "enhanced", note=note))
    assert sum(".retinexrt" in key for key in objects) == 1
    book.flush()
    assert sum(".retinexrt" in key for key in objects) == 2
    assert len(read_journal(out)) == 300
