"""Command line: write the manifest for a plan that was made elsewhere, on your word that you trust who made it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from runtime import command_line
from runtime.artifact import PlanInfo, remedies
from runtime.errors import InputError
from runtime.files import sha256

#: The meaning of --trust.
MEANING = (
    "a plan is executable code: TensorRT runs what is in it, on the GPU and on the host, with your rights, and no check can "
    "tell a harmless plan from a harmful one. The manifest that this command writes makes retinexrt load the plan from now on. "
    "If you trust who made it and how it came here, say so with --trust; otherwise build your own with: "
    f"{remedies.build()}"
)


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python engines/trust.py",
        description="Write the manifest for a plan that was made elsewhere. The plan is hashed, not loaded.",
    )
    parser.add_argument("plan", type=Path, metavar="FILE.plan")
    parser.add_argument(
        "--onnx", type=Path, required=True, metavar="FILE.onnx", help="the exported graph that it was built from"
    )
    parser.add_argument("--flavour", choices=("tensorrt", "tensorrt_rtx"), required=True, help="what built it")
    parser.add_argument("--version", required=True, metavar="V", help="full version of what built it, e.g. 11.4.0.106")
    parser.add_argument("--sm", required=True, metavar="8.6,8.9", help="compute capabilities that it runs on")
    parser.add_argument("--min", required=True, metavar="NxHxW", help="smallest input of its profile")
    parser.add_argument("--opt", required=True, metavar="NxHxW", help="optimal input of its profile")
    parser.add_argument("--max", required=True, metavar="NxHxW", help="largest input of its profile")
    parser.add_argument(
        "--trust", action="store_true", help="I trust who made this plan; without it, this says what that means"
    )
    return parser


def trust(arguments: argparse.Namespace) -> Path:
    """Write the manifest beside the plan and return its path."""
    from engines.profiles import make_profile, parse_shape
    from runtime.artifact import manifest
    from runtime.artifact.onnx_metadata import read_info

    plan: Path = arguments.plan
    if not arguments.trust:
        raise InputError(f"{plan} was not trusted: {MEANING}")
    info = read_info(arguments.onnx)
    smallest, typical, largest = (parse_shape(text) for text in (arguments.min, arguments.opt, arguments.max))
    digest = sha256(plan)
    written = replace(
        info,
        parity=(),
        plan=PlanInfo(
            flavour=arguments.flavour,
            version=arguments.version,
            sms=tuple(sm.strip() for sm in arguments.sm.split(",")),
            gpu=None,
            cuda=None,
            driver=None,
            platform=manifest.this_platform(),
            profile=make_profile(info, smallest, typical, largest),
            digest=None,
            plan_sha256=digest,
            plan_bytes=plan.stat().st_size,
            onnx_sha256=sha256(arguments.onnx),
            level=None,
            workspace_bytes=None,
            tf32=None,
            build_seconds=None,
        ),
    )
    return manifest.write(written, plan)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    return command_line.run(lambda arguments: print(trust(arguments)), _parser(), argv, "cpu", prog)


if __name__ == "__main__":
    sys.exit(main())
