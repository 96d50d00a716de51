"""One way for every command to run, to fail and to exit.

An error is one line on stderr and the exit code 2; so is a package that is not installed, with the extra that brings it.
"""

from __future__ import annotations

import sys
from argparse import Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Any, NoReturn

from runtime.artifact import remedies
from runtime.errors import InputError, RetinexError

OK, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Parser(ArgumentParser):
    """Refuses what it cannot parse in one line: the usage is what --help is for. To be run in `guarded`."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}{'' if message.endswith('?') else ';'} see: {self.prog} --help")

    def parse_known_args(self, *arguments: Any, **keywords: Any) -> Any:
        """As the base's, but refuses what is unknown, so that a subcommand does so in its own name."""
        found, unknown = super().parse_known_args(*arguments, **keywords)
        if unknown:
            word = unknown[0].partition("=")[0] if unknown[0].startswith("-") else unknown[0]
            self.error(f"{self.prog} knows no {word}" + _meant(word, self._option_string_actions))
        return found, unknown

    def _check_value(self, action: Action, value: Any) -> None:
        """As the base's, with what was meant where a choice is spelled much like it."""
        try:
            super()._check_value(action, value)
        except ArgumentError as error:
            if meant := _meant(str(value), map(str, action.choices or ())):
                raise ArgumentError(action, f"invalid choice: {value!r}{meant}") from None
            raise error


def _meant(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def run(
    work: Callable[[Namespace], int | None],
    parser: Parser,
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
