"""`retinexrt web`: a static page that enhances pictures inside the browser."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime import command_line
from runtime.browser import onnxruntime_web, site
from runtime.options import DEFAULT_NETWORK, FILM_NETWORK


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = command_line.Parser(description="Write a static page that enhances pictures inside the browser.")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="where the page is written")
    parser.add_argument(
        "--network",
        action="append",
        metavar="NAME",
        help=f"a network of the page, or an .onnx file; may be repeated (default: {DEFAULT_NETWORK} and {FILM_NETWORK})",
    )
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="FOLDER",
        help=f"the folder dist of the npm package onnxruntime-web (default: {onnxruntime_web.VERSION}, fetched from npm)",
    )
    return command_line.run(_run, parser, argv, "cpu", prog)


def _run(arguments: argparse.Namespace) -> int:
    names = arguments.network or [DEFAULT_NETWORK, FILM_NETWORK]
    size = site.build(arguments.out, names, arguments.runtime)
    sys.stdout.write(
        f"{arguments.out}: {', '.join(names)}, {size / 1e6:.0f} MB; any web server can serve it: "
        f"python -m http.server -d {arguments.out}\n"
    )
    return command_line.OK
