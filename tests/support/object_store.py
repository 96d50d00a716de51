"""A small stand-in for S3, which speaks as much of its protocol as one reader and one writer need."""

from __future__ import annotations

from html import escape
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


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
    """Keeps objects in memory, by bucket and key."""

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
        """The body of a request: chunks of HTTP, which for S3 hold chunks with checksums."""
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
