"""`retinexrt serve`: a page in the browser and an HTTP API that enhance pictures on this machine."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address

from runtime import command_line
from runtime.commands.signals import stoppable
from runtime.errors import InputError
from runtime.media.formats import LIMIT_OF_OPENCV
from runtime.options import OpenOptions, add_open_arguments
from runtime.serve.limits import Limits, add_limit_arguments

_PORT = 8000


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = command_line.Parser(prog="serve.py", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 is all (default: %(default)s)")
    parser.add_argument("--port", type=int, default=_PORT, help="0 is any that is free (default: %(default)s)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name of this server, as browsers are given it"
    )
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="offer this one; the first is the default (default: all that are trained)",
    )
    parser.add_argument(
        "--live", metavar="SOURCE", help="show a camera or a stream at /live, before and after: camera:0, rtsp://HOST/PATH"
    )
    add_open_arguments(parser)
    add_limit_arguments(parser)
    return command_line.run(_run, parser, argv, "serve,cpu", prog)


def _run(arguments: argparse.Namespace) -> int:
    limits, options = Limits.of(arguments), OpenOptions.of(arguments)
    _prepare_opencv(limits)
    from runtime.serve.application import application
    from runtime.serve.connections import make_server
    from runtime.serve.live import Live
    from runtime.serve.networks import Networks

    exit_code = command_line.OK

    def end() -> None:
        nonlocal exit_code
        exit_code, server.should_exit = command_line.SOME_FAILED, True

    with _listen(arguments.host, arguments.port) as listening:
        _log_past_decoders()
        networks = Networks(arguments.network, options)
        hosts = [arguments.host, *arguments.allow_host]
        live = Live(arguments.live, networks.open(networks.of_films)) if arguments.live else None
        server = make_server(application(networks, limits, hosts, on_gpu_lost=end, live=live), limits)
        if live is not None:
            live.ending, live.on_gpu_lost = lambda: server.should_exit, end
        _say(f"Open {_address(listening)} in a browser; Ctrl-C ends it.")
        if not ip_address(listening.getsockname()[0]).is_loopback:
            _say("Whoever reaches this machine through the network can use it.")
        with contextlib.suppress(KeyboardInterrupt), stoppable():
            server.run([listening])
    return exit_code


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _prepare_opencv(limits: Limits) -> None:
    """Set what OpenCV reads when it is loaded, which it must not be before."""
    os.environ[LIMIT_OF_OPENCV] = str(limits.pixels)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise InputError(f"--port is 0 to 65535, found {port}")
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(where[:2], family=family, backlog=128)  # pyright: ignore[reportArgumentType]
    except OSError as error:
        raise InputError(
            f"cannot listen at {host}, port {port}: {error.strerror}; choose others with --host and --port"
        ) from error


def _address(listening: socket.socket) -> str:
    found, port = listening.getsockname()[:2]
    host = str({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(found, found))
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _log_past_decoders() -> None:
    """Log to a copy of standard error: what is written to that itself while a JPEG is decoded, counts as the decoder's word."""
    stream = os.fdopen(os.dup(2), "w", buffering=1)
    logging.basicConfig(format="retinexrt: %(asctime)s %(message)s", stream=stream, force=True)


if __name__ == "__main__":
    sys.exit(main())
