"""Guard: keeps other sites' pages out, which a browser on the same machine would run with access to its servers.

A page elsewhere may post here, and a name that is pointed at this machine for a moment (DNS rebinding) makes it the same
site. So the Host must be an address, `localhost` or a name that was allowed, and a post must come from this page, or from no
page at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Guard:
    """Middleware that refuses requests for other hosts and from other sites."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        app = self._app
        if not self._is_here(headers.get("host", "")):
            app = JSONResponse({"error": "the Host of the request is not a name of this server; see --allow-host"}, 421)
        elif scope["method"] not in ("GET", "HEAD") and not _from_this_page(headers):
            app = JSONResponse({"error": "a page of another site may not ask for this"}, 403)
        await app(scope, receive, guarded)

    def _is_here(self, host: str) -> bool:
        name = _name(host)
        return name in self._hosts or _is_address(name)


def _name(host: str) -> str:
    """Of a Host header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _host(origin: str) -> str:
    """Of an Origin header, with the port."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _from_this_page(headers: Headers) -> bool:
    """Browsers send both headers with a post; other programs send neither."""
    origin = headers.get("origin")
    same = origin is None or _host(origin) == headers["host"].lower()
    return same and headers.get("sec-fetch-site", "none") in ("same-origin", "none")
