"""`retinexrt triton`: artifacts become a model repository of Triton Inference Server.

    REPOSITORY/pdn/config.pbtxt
    REPOSITORY/pdn/1/model.onnx

An artifact that differs from the newest version becomes the next one; one that is there already changes nothing. Plans of
one network for several GPUs become one model, of which each server takes the plan for its compute capability.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import command_line, shapes
from runtime.artifact import ArtifactInfo, locate, read_info, remedies
from runtime.errors import ArtifactError, IncompatiblePlanError, InputError, ManifestError, OutputError
from runtime.files import sha256, write_atomically
from runtime.tiling import limits
from runtime.triton.pbtxt import Word, to_text

#: Pictures of one batch where nothing else bounds them.
MOST = 8
#: Microseconds that a picture waits for others of its size.
DELAY = 2000


@dataclass(frozen=True)
class Artifact:
    """A file and what it says about itself."""

    path: Path
    info: ArtifactInfo


@dataclass(frozen=True)
class Options:
    """Settings of a model that its files do not say."""

    #: Height and width of every picture; None: as the artifact allows.
    size: tuple[int, int] | None = None
    #: Most pictures of a batch; None: what the artifact allows, at most MOST.
    batch: int | None = None
    #: Copies of the model on each device.
    instances: int = 1
    #: "gpu", "cpu", or "auto": the GPU where there is one.
    kind: str = "auto"
    #: Microseconds that a picture waits for others.
    delay: int = DELAY


@dataclass(frozen=True)
class Written:
    """A model in the repository."""

    name: str
    version: int
    #: False: this very version was there already.
    new: bool


def write(sources: Sequence[str], repository: Path, options: Options | None = None) -> list[Written]:
    """Write models for `sources` (names of networks, .onnx and .plan files) into a repository."""
    options = options or Options()
    _check(options)
    models: dict[str, list[Artifact]] = {}
    for source in sources:
        found = _open(source)
        models.setdefault(model_name(found.info, options), []).append(found)
    # Everything is looked at before anything is written.
    planned = [(name, _ordered(name, artifacts), configuration(name, artifacts, options)) for name, artifacts in models.items()]
    return [_write_model(repository / name, artifacts, to_text(config)) for name, artifacts, config in planned]


def _check(options: Options) -> None:
    for what, value, least in (
        ("--batch", options.batch, 1),
        ("--instances", options.instances, 1),
        ("--delay", options.delay, 0),
    ):
        if value is not None and value < least:
            raise InputError(f"{what} is at least {least}, found {value}")
    if options.kind not in ("auto", "cpu", "gpu"):
        raise InputError(f"--kind is auto, cpu or gpu, found {options.kind!r}")


def _open(source: str) -> Artifact:
    """Read what an artifact says, and refuse what Triton could not run; a plan is hashed, not loaded."""
    path = locate.onnx_file(source)
    info = read_info(path)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", info.network):  # it names a folder
        raise ArtifactError(f"{path} is of a network {info.network!r}, expected a name of letters, digits, - and _")
    info.require_pictures(path)
    if info.plan is not None:
        if info.plan.flavour != "tensorrt":
            raise IncompatiblePlanError(
                f"{path} was built with {info.plan.flavour}, and Triton loads plans of tensorrt; give it {info.network}.onnx, "
                f"or build a plan in Triton's container with: {remedies.build(info.network, flavour='tensorrt')}"
            )
        if sha256(path) != info.plan.plan_sha256:
            raise ManifestError(f"{path} is not the plan that its manifest describes; build it again")
    return Artifact(path, info)


def model_name(info: ArtifactInfo, options: Options) -> str:
    """pdn, pdn_fp16, pdn_fp16_plan; with a size of its own pdn_400x600."""
    parts = [info.network, "fp16" if info.precision == "fp16" else "", "plan" if info.plan is not None else ""]
    size = f"{options.size[0]}x{options.size[1]}" if options.size else ""
    return "_".join(part for part in (*parts, size) if part)


def _ordered(name: str, artifacts: list[Artifact]) -> list[Artifact]:
    """The artifacts of one model; several only where each is for GPUs of its own."""
    first = artifacts[0]
    taken: dict[str, Path] = {}
    for one in artifacts:
        if one.info.plan is None or first.info.plan is None:
            if len(artifacts) > 1:
                raise InputError(f"{artifacts[0].path} and {artifacts[1].path} would both become the model {name}")
            return artifacts
        if one.info.weights_sha256 != first.info.weights_sha256:
            raise InputError(f"{first.path} and {one.path} hold other weights; a model has one")
        if one.info.plan.version != first.info.plan.version:
            versions = f"{first.info.plan.version} and {one.info.plan.version}"
            raise InputError(f"{first.path} and {one.path} were built with TensorRT {versions}; a server loads one of them")
        if one.info.plan.profile != first.info.plan.profile:
            raise InputError(f"{first.path} and {one.path} were built for other sizes; build them with the same profile")
        for sm in one.info.plan.sms:
            if sm in taken:
                raise InputError(f"{taken[sm]} and {one.path} are both for compute capability {sm}")
            taken[sm] = one.path
    return artifacts


def configuration(name: str, artifacts: Sequence[Artifact], options: Options) -> dict[str, Any]:
    """The content of config.pbtxt."""
    info = artifacts[0].info
    most, size = _bounds(info, options)
    dims = [size[0] if size else -1, size[1] if size else -1, 3]
    batched = most > 0
    shape = dims if batched else [1, *dims]
    example = size or _example(info)
    config: dict[str, Any] = {
        "name": name,
        "backend": "tensorrt" if info.plan is not None else "onnxruntime",
        "max_batch_size": most,
        "input": {"name": info.input.name, "data_type": Word("TYPE_UINT8"), "dims": shape},
        "output": {"name": info.output.name, "data_type": Word("TYPE_UINT8"), "dims": shape},
        "version_policy": {"latest": {"num_versions": 1}},
        "instance_group": {"count": options.instances, "kind": Word(_kind(info, options))},
        "model_warmup": [_warm_up(info, example, count, batched) for count in sorted({1, max(1, most)})],
    }
    if size and most > 1:
        preferred = sorted({max(2, most // 2), most})
        config["dynamic_batching"] = {"preferred_batch_size": preferred, "max_queue_delay_microseconds": options.delay}
    config["default_model_filename"] = file_name(artifacts[0]) if len(artifacts) == 1 else None
    if info.plan is not None:
        files = [(sm, file_name(one)) for one in artifacts if one.info.plan for sm in one.info.plan.sms]
        config["cc_model_filenames"] = [{"key": sm, "value": file} for sm, file in files]
    config["parameters"] = [{"key": key, "value": {"string_value": value}} for key, value in _origin(artifacts).items()]
    return config


def _bounds(info: ArtifactInfo, options: Options) -> tuple[int, tuple[int, int] | None]:
    """Triton's max_batch_size (0: one picture, and the shape names it), and the one size; None: many."""
    shapes_taken = limits(info)
    low, high = shapes_taken.smallest, shapes_taken.largest
    size = options.size
    if size is None and low[1:] == high[1:] and high[1] is not None and high[2] is not None:
        size = (high[1], high[2])
    for axis, what in ((1, "height"), (2, "width")):
        most = high[axis]
        if size is not None and (size[axis - 1] < low[axis] or (most is not None and size[axis - 1] > most)):
            raise InputError(f"--size: {info.network} takes a {what} of {low[axis]} to {most or 'any'}, found {size[axis - 1]}")
    if isinstance(info.input.shape[0], int):  # of a graph, or of the graph that a plan was built from
        if options.batch not in (None, 1) or info.input.shape[0] != 1:
            raise InputError(f"{info.network} was exported for batches of {info.input.shape[0]}; export it with a free N")
        return 0, size
    if low[0] > 1:
        raise InputError(f"the plan of {info.network} takes batches from {low[0]} up, and Triton sends single pictures too")
    if options.batch is not None and high[0] is not None and options.batch > high[0]:
        raise InputError(f"--batch: {info.network} takes at most {high[0]} pictures, found {options.batch}")
    return options.batch or min(high[0] or MOST, MOST), size


def _example(info: ArtifactInfo) -> tuple[int, int]:
    """A size to warm up with: the one that a plan was tuned for, else that of the networks' papers."""
    return (info.plan.profile.opt[1], info.plan.profile.opt[2]) if info.plan is not None else (400, 600)


def _kind(info: ArtifactInfo, options: Options) -> str:
    if info.plan is not None:
        if options.kind == "cpu":
            raise InputError("--kind cpu: a plan runs on a GPU")
        return "KIND_GPU"
    return {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}[options.kind]


def _warm_up(info: ArtifactInfo, size: tuple[int, int], count: int, batched: bool) -> dict[str, Any]:
    """Black pictures, run when the model is loaded and before the first request."""
    dims = [*size, 3] if batched else [1, *size, 3]
    value = {"data_type": Word("TYPE_UINT8"), "dims": dims, "zero_data": True}
    name = f"{count} of {size[0]}x{size[1]}"
    return {"name": name, "batch_size": count, "inputs": {"key": info.input.name, "value": value}}


def _origin(artifacts: Sequence[Artifact]) -> dict[str, str]:
    """The artifact's origin, for whoever looks at the server."""
    info = artifacts[0].info
    origin = {"retinexrt.title": info.title, "retinexrt.trained": str(info.trained).lower()}
    if info.weights_sha256:
        origin["retinexrt.weights_sha256"] = info.weights_sha256
    if info.plan is not None:
        origin["retinexrt.tensorrt"] = info.plan.version
    return origin


def file_name(artifact: Artifact) -> str:
    """model.onnx, or model_sm86_89.plan."""
    if artifact.info.plan is None:
        return "model.onnx"
    return f"model_sm{'_'.join(sm.replace('.', '') for sm in artifact.info.plan.sms)}.plan"


def _write_model(folder: Path, artifacts: Sequence[Artifact], config: str) -> Written:
    """Write the files of a model; its version appears last, and whole, to a server that polls."""
    newest = max(_versions(folder), default=0)
    same = newest > 0 and _holds(folder / str(newest), artifacts)
    version = newest if same else newest + 1
    try:
        if not same:
            # A version that is being written has no number yet, and Triton passes over what has none.
            waiting = folder / f".{version}"
            shutil.rmtree(waiting, ignore_errors=True)
            waiting.mkdir(parents=True)
            for one in artifacts:
                shutil.copyfile(one.path, waiting / file_name(one))
        write_atomically(folder / "config.pbtxt", config.encode())
        if not same:
            (folder / f".{version}").rename(folder / str(version))
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return Written(folder.name, version, not same)


def _versions(folder: Path) -> list[int]:
    """Folders that Triton takes for versions: numbers that do not begin with 0."""
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.is_dir() and re.fullmatch(r"[1-9]\d*", path.name)]


def _holds(version: Path, artifacts: Sequence[Artifact]) -> bool:
    """Whether a version is made of these very files."""
    names = {file_name(one): one for one in artifacts}
    if {path.name for path in version.iterdir()} != set(names):
        return False
    return all(sha256(version / name) == sha256(one.path) for name, one in names.items())


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """`retinexrt triton`; returns the exit code."""
    parser = command_line.Parser(prog="retinexrt triton", description="Write a model repository for Triton.")
    parser.add_argument("sources", nargs="+", metavar="NAME|FILE", help="networks, .onnx files, plans of tensorrt")
    parser.add_argument("--repository", required=True, type=Path, metavar="DIR", help="the repository; made where absent")
    parser.add_argument("--size", metavar="HxW", help="every picture has this size: requests are then batched")
    parser.add_argument("--batch", type=int, metavar="N", help=f"most pictures of a batch (default: at most {MOST})")
    parser.add_argument("--instances", type=int, default=1, metavar="N", help="copies of the model on each device")
    parser.add_argument("--kind", default="auto", choices=("auto", "cpu", "gpu"), help="where ONNX files run")
    parser.add_argument("--delay", type=int, default=DELAY, metavar="US", help="microseconds to wait for a batch")
    return command_line.run(_run, parser, argv, "cpu", prog)


def _run(arguments: argparse.Namespace) -> None:
    size = shapes.parse(arguments.size, 2) if arguments.size else None
    if arguments.size and size is None:
        raise InputError(f"--size takes HxW, for example 400x600, found {arguments.size!r}")
    options = Options(
        (size[0], size[1]) if size else None, arguments.batch, arguments.instances, arguments.kind, arguments.delay
    )
    for model in write(arguments.sources, arguments.repository, options):
        state = "written" if model.new else "was there already"
        sys.stderr.write(f"retinexrt: {arguments.repository / model.name}: version {model.version} {state}\n")
