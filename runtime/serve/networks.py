"""The networks that a server offers: opened when they are first asked for, and kept open."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from runtime.artifact import locate, read_info
from runtime.enhancer import Enhancer
from runtime.errors import ArtifactError, InputError
from runtime.options import DEFAULT_NETWORK, FILM_NETWORK, OpenOptions


class Networks:
    """By name, the default first. `sources` are names and files, as an Enhancer takes them; none: all that are trained."""

    def __init__(self, sources: Sequence[str], options: OpenOptions) -> None:
        self._sources = _by_name(sources) if sources else _all()
        self._options = asdict(options)
        self._opened: dict[str, Enhancer] = {}
        self._lock = threading.Lock()
        self.default = next(iter(self._sources))
        self.open(self.default)

    @property
    def of_films(self) -> str:
        """The network that films get."""
        return FILM_NETWORK if FILM_NETWORK in self._sources else self.default

    def listed(self) -> list[dict[str, str]]:
        """Names and titles."""
        return [{"name": name, "title": title} for name, (_, title) in self._sources.items()]

    def check(self, name: str) -> None:
        """Refuse a network that is not offered."""
        if name not in self._sources:
            raise InputError(f"there is no network {name[:40]!r} here (there are: {', '.join(self._sources)})")

    def open(self, name: str) -> Enhancer:
        """The enhancer of a network that is offered."""
        with self._lock:
            if name not in self._opened:
                self._opened[name] = Enhancer(self._sources[name][0], **self._options)
            return self._opened[name]

    def close(self) -> None:
        with self._lock:
            while self._opened:
                self._opened.popitem()[1].close()


def _by_name(sources: Sequence[str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for source in sources:
        info = read_info(_artifact(source))
        if info.network in found:
            raise InputError(f"{source} is the network {info.network}, which was named before")
        found[info.network] = source, info.title
    return found


def _artifact(source: str) -> Path:
    """A file that describes the network: of one that is named, any."""
    named = (path for path in locate.available() if _network(path) == locate.spelled(source))
    path = locate.as_file(source) or next(named, None)
    if path is None:
        raise locate.absent(source)
    return path


def _all() -> dict[str, tuple[str, str]]:
    """The networks that can be named here, but for those that are damaged or not trained."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(locate.available(), key=lambda path: (_network(path) != DEFAULT_NETWORK, _network(path))):
        try:
            info = read_info(path)
        except ArtifactError:
            continue
        if info.trained:
            found[_network(path)] = _network(path), info.title
    if not found:
        raise locate.absent(DEFAULT_NETWORK)
    return found


def _network(path: Path) -> str:
    return path.stem.removesuffix("_fp16")
