"""The server as an ASGI application: the page, and the API behind it."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime import page
from runtime.errors import GpuLostError, GpuMemoryError, InputError, PictureTooLargeError
from runtime.media import pictures
from runtime.serve import openapi
from runtime.serve.guard import Guard
from runtime.serve.limits import Limits
from runtime.serve.networks import Networks
from runtime.serve.places import FullError, GoneError, LateError, Place, Places
from runtime.serve.query import Query

if TYPE_CHECKING:
    from runtime.serve.live import Live

_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_TRY_AGAIN = {"retry-after": "1"}
#: The link that the page gets below its first lines where there is a live view.
_ABOUT, _TO_LIVE = '<p id="about"></p>', '\n  <p><a href="live">Live</a></p>'

_log = logging.getLogger("retinexrt.serve")


def application(
    networks: Networks,
    limits: Limits,
    hosts: Iterable[str] = (),
    on_gpu_lost: Callable[[], None] = lambda: None,
    live: Live | None = None,
) -> ASGIApp:
    """The application; `hosts` are names of this server besides addresses and localhost. Closes the networks at its end.

    `on_gpu_lost` is called when the GPU can be used by another process only. `live` is shown at /live.
    """
    places = Places(limits)

    @asynccontextmanager
    async def closing(_: Starlette) -> AsyncGenerator[None]:
        if live is not None:
            live.start()
        yield
        if live is not None:
            live.close()
        places.close()
        networks.close()

    async def listed(_: Request) -> Response:
        return JSONResponse(networks.listed())

    async def described(_: Request) -> Response:
        return JSONResponse(openapi.document(networks, limits))

    async def failed(_: Request, error: Exception) -> Response:
        if isinstance(error, GpuLostError):
            on_gpu_lost()
        return _refusal(500, "the server failed; its log says why")

    app = Starlette(
        routes=[
            Route(
                "/", _file("index.html", None if live is None else page.read("index.html").replace(_ABOUT, _ABOUT + _TO_LIVE))
            ),
            *(Route(f"/{name}", _file(name)) for name in page.FILES),
            Route("/enhance.js", _file("enhance.js", _read("enhance.js"))),
            *([] if live is None else _live_routes(live)),
            Route("/networks", listed),
            Route("/openapi.json", described),
            Route("/enhance", _Enhance(networks, limits, places), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refused, Exception: failed},
        lifespan=closing,
    )
    return Guard(app, hosts)


def _live_routes(live: Live) -> list[Route]:
    return [
        Route("/live", _file("live.html", _read("live.html"))),
        Route("/live.js", _file("live.js", _read("live.js"))),
        Route("/live/before.mjpg", live.before),
        Route("/live/after.mjpg", live.after),
    ]


def _read(name: str) -> str:
    """The text of a file of this folder."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _file(name: str, text: str | None = None) -> Callable[[Request], Awaitable[Response]]:
    content = page.read(name) if text is None else text
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]

    async def respond(_: Request) -> Response:
        return Response(content, media_type=kind)

    return respond


def _refusal(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refusal(error.status_code, error.detail, dict(error.headers or {}))


@dataclass(frozen=True)
class _Answer:
    content: bytes
    suffix: str
    #: Names what could not be kept of the file.
    note: str


class _Enhance:
    """POST /enhance. An application of its own, so that the place is held until the answer is sent."""

    def __init__(self, networks: Networks, limits: Limits, places: Places) -> None:
        self._networks, self._limits, self._places = networks, limits, places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            with self._places.place() as place:
                response = await self._respond(request, place)
                await response(scope, receive, _until_taken(send))
        except FullError:
            raise HTTPException(429, "too many pictures wait already; try again later", _TRY_AGAIN) from None
        except (GoneError, ClientDisconnect):
            pass  # there is nobody to answer

    async def _respond(self, request: Request, place: Place) -> Response:
        query = _asked(request, self._networks)
        data = await _body(request, self._limits)
        try:
            answer = await place.run(lambda: self._enhance(data, query), _gone(request))
        except asyncio.CancelledError:
            raise HTTPException(503, "the server is being stopped", _TRY_AGAIN) from None
        except LateError:
            raise HTTPException(503, f"not done within {self._limits.seconds:g} seconds; try again later", _TRY_AGAIN) from None
        except (MemoryError, GpuMemoryError):
            _log.warning("too little memory for a picture of %d bytes", len(data))
            raise HTTPException(503, "the server has too little memory left; try again later", _TRY_AGAIN) from None
        headers = {"retinexrt-network": query.network, **({"retinexrt-note": quote(answer.note)} if answer.note else {})}
        return Response(answer.content, headers=headers, media_type=_TYPES[answer.suffix])

    def _enhance(self, data: bytes, query: Query) -> _Answer:
        """On a thread of the places."""
        try:
            picture = pictures.decode(data, query.name, self._limits.pixels)
        except PictureTooLargeError as error:
            raise HTTPException(413, str(error)) from error
        except InputError as error:
            raise HTTPException(415, str(error)) from error
        enhancer = self._networks.open(query.network)
        try:
            made = pictures.enhance(enhancer, picture, **asdict(query.options))
        except InputError as error:
            raise HTTPException(422, str(error)) from error
        suffix = pictures.format_of(data)
        content, note = pictures.encoded(made, suffix)
        return _Answer(content, suffix, note)


def _asked(request: Request, networks: Networks) -> Query:
    try:
        return Query.of(request.query_params.multi_items(), networks)
    except InputError as error:
        raise HTTPException(400, str(error)) from error


async def _body(request: Request, limits: Limits) -> bytes:
    """The upload, unless it is too long or takes too long."""
    too_long = HTTPException(413, f"the upload is longer than {limits.upload:,} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.upload:
        raise too_long
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.upload:
                    raise too_long
                chunks.append(chunk)
    except TimeoutError:
        raise HTTPException(408, f"the upload took longer than {limits.seconds:g} seconds") from None
    if not size:
        raise HTTPException(400, "the body of the request is empty, expected a picture")
    return b"".join(chunks)


def _until_taken(send: Send) -> Send:
    """A `send` that ends when the client has taken the answer: the message after a body waits until there is room for it."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            message = {"type": "http.response.body"}
        await send(message)

    return sent


async def _gone(request: Request) -> None:
    """Ends when whoever asked has left."""
    message: Any = None
    while message is None or message["type"] != "http.disconnect":
        message = await request.receive()
