"""One way for every command to run, to fail and to exit.

An error is one line on stderr and the exit code 2; so is a package that is not installed, with the extra that brings it.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import NoReturn

from runtime.artifact import remedies
from runtime.errors import InputError, RetinexError

OK, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Parser(ArgumentParser):
    """Refuses what it cannot parse in one line: the usage is what --help is for. To be run in `guarded`."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see: {self.prog} --help")


def run(
    work: Callable[[Namespace], int | None],
    parser: ArgumentParser,
    argv: Sequence[str] | None,
    extras: str,
    prog: str | None = None,
) -> int:
    """Parse and work; return the exit code. `extras` install what cannot be imported; `prog` is what was typed instead of
    the parser's own name, such as "retinexrt latency".
    """
    if _asked.get():
        raise _AskedError(parser)
    parser.prog = prog or parser.prog
    return guarded(lambda: work(parser.parse_args(argv)), extras, "retinexrt: " if prog else "")


class _AskedError(Exception):
    """Carries a parser to `parser_of`."""

    def __init__(self, parser: ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


_asked = ContextVar("_asked", default=False)


def parser_of(main: Callable[[Sequence[str]], int]) -> ArgumentParser:
    """The parser that a command would `run` with; the command is not run."""
    token = _asked.set(True)
    try:
        main([])
    except _AskedError as asked:
        return asked.parser
    finally:
        _asked.reset(token)
    raise AssertionError(f"{main.__module__} does not use command_line.run")


def guarded(work: Callable[[], int | None], extras: str, prefix: str = "retinexrt: ") -> int:
    """Work, and turn what goes wrong into an exit code and one line that begins with `prefix`."""
    try:
        return work() or OK
    except RetinexError as error:
        sys.stderr.write(f"{prefix}{error}\n")
    except ImportError as error:
        sys.stderr.write(f"{prefix}{error.name or error} is missing; install it with: {remedies.install(extras)}\n")
    except BrokenPipeError:
        # Whoever read stdout has left; there is nobody to tell.
        sys.stdout = None
        return SOME_FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"{prefix}interrupted\n")
        return INTERRUPTED
    return USAGE
