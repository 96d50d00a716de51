"""Decoding, enhancing and encoding at the same time, a bounded number of pictures ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Made = TypeVar("Made")
Stored = TypeVar("Stored")
Given = TypeVar("Given")
Got = TypeVar("Got")


def overlap(
    items: Iterable[Item],
    load: Callable[[Item], Loaded],
    work: Callable[[Loaded], Made],
    store: Callable[[Item, Made], Stored],
    *,
    threads: int = 2,
    ahead: int = 2,
) -> Iterator[tuple[Item, Stored | Exception]]:
    """Yield each item with what `store` returned, or with the exception that stopped it, in the order of `items`.

    `load` and `store` run on `threads` threads each, `work` on the caller's. At most `ahead` items per thread wait on
    either side, so the memory in use does not depend on how many items there are. With one thread, `load` is called in
    order and never twice at a time, as a film needs.
    """
    limit = threads * ahead
    loading: deque[tuple[Item, Future[Loaded]]] = deque()
    storing: deque[tuple[Item, Future[Stored]]] = deque()
    source = iter(items)
    loaders, storers = ThreadPoolExecutor(threads, "load"), ThreadPoolExecutor(threads, "store")
    try:
        while True:
            for item in islice(source, limit - len(loading)):
                loading.append((item, loaders.submit(load, item)))
            if not loading:
                break
            item, loaded = loading.popleft()
            storing.append((item, _work(loaded, work, store, item, storers)))
            del loaded  # and with it what was loaded, before its result is stored
            while len(storing) > limit or (storing and storing[0][1].done()):
                yield _outcome(*storing.popleft())
        while storing:
            yield _outcome(*storing.popleft())
    finally:
        loaders.shutdown(cancel_futures=True)
        storers.shutdown(cancel_futures=True)


def stream(
    read: Callable[[], Loaded | None], work: Callable[[Loaded], Made], write: Callable[[Made], object], *, ahead: int = 4
) -> Iterator[None]:
    """Read frames until there are none, enhance each and write it, in order; yields once for each frame written.

    At most `ahead` frames wait on either side.
    What `read`, `work` or `write` raises is raised here, when all frames before have been written; none after it is.
    """

    def written(made: Made) -> bool:
        write(made)
        return True

    enhance, save = _until_failure(work), _until_failure(written)

    def made(loaded: Loaded | None) -> Made | None:
        return None if loaded is None else enhance(loaded)

    def stored(_: int, made: Made | None) -> bool:
        return made is not None and bool(save(made))

    for _, outcome in overlap(count(), _until_failure(lambda _: read()), made, stored, threads=1, ahead=ahead):
        if isinstance(outcome, Exception):
            raise outcome
        if not outcome:
            return
        yield


def _until_failure(step: Callable[[Given], Got | None]) -> Callable[[Given], Got | None]:
    """The same step, which does nothing more once it has failed. For steps that are done in order."""
    failed = False

    def guarded(given: Given) -> Got | None:
        nonlocal failed
        if failed:
            return None
        try:
            return step(given)
        except Exception:
            failed = True
            raise

    return guarded


def _work(
    loaded: Future[Loaded],
    work: Callable[[Loaded], Made],
    store: Callable[[Item, Made], Stored],
    item: Item,
    storers: ThreadPoolExecutor,
) -> Future[Stored]:
    """Do the caller's part for one item; whatever fails ends in the future."""
    try:
        made = work(loaded.result())
    except Exception as error:
        failed: Future[Stored] = Future()
        failed.set_exception(error)
        return failed
    return storers.submit(store, item, made)


def _outcome(item: Item, stored: Future[Stored]) -> tuple[Item, Stored | Exception]:
    try:
        return item, stored.result()
    except Exception as error:
        return item, error
