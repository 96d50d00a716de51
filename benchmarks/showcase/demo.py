"""`make demo`: from a network to a brightened photograph, and one page that shows what was done."""

from __future__ import annotations

import argparse
import base64
import html
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from benchmarks.harness.timing import Spread, spread, timed
from runtime import command_line
from runtime import page as shared_page
from runtime.errors import BackendError, RetinexError
from runtime.options import DEFAULT_NETWORK

if TYPE_CHECKING:
    from benchmarks.parity import Measurement
    from runtime import Enhancer
    from runtime.images import Images

_TEMPLATE = Path(__file__).with_name("demo.html")
_TIMED = (400, 600)
_WARMUP, _ROUNDS = 3, 15


@dataclass(frozen=True)
class Picture:
    """A dark photograph and what became of it, RGB."""

    title: str
    dark: Images
    bright: Images


@dataclass(frozen=True)
class Ability:
    """Something that this machine could or could not do, and what it said."""

    what: str
    done: bool
    words: str


@dataclass(frozen=True)
class Timing:
    """How long an artifact took for a picture of 400x600."""

    artifact: str
    backend: str
    milliseconds: Spread


def own_photograph(path: Path) -> tuple[str, Images]:
    """A photograph that was named on the command line."""
    from runtime.media.pictures import read, to_8_bits

    return path.name, to_8_bits(read(path).rgb)


def build_plan(onnx: Path) -> tuple[Path | None, Ability]:
    """Build a plan if TensorRT of either flavour is here; say why not if it is not."""
    what = "Build a FP16 TensorRT plan"
    try:
        from engines.builder import BuildOptions, build

        built = build(onnx, onnx.parent, BuildOptions())
    except ImportError as error:
        return None, Ability(what, False, f"{error.name} is missing")
    except RetinexError as error:
        return None, Ability(what, False, str(error))
    plan = built.info.plan
    assert plan is not None
    words = f"{built.plan.name}, {plan.plan_bytes / 1e6:.1f} MB in {plan.build_seconds:.1f} s, for SM {', '.join(plan.sms)}"
    return built.plan, Ability(what, True, words)


def open_artifact(path: Path) -> tuple[Enhancer | None, Ability]:
    """Open an artifact on the best backend for it, or keep what the runtime says."""
    from runtime import Enhancer

    what = f"Run {path.name}"
    try:
        enhancer = Enhancer(path)
    except RetinexError as error:
        return None, Ability(what, False, str(error))
    return enhancer, Ability(what, True, f"{enhancer.backend} on {enhancer.device}")


def time_enhancer(enhancer: Enhancer, artifact: str, image: Images) -> Timing:
    import numpy as np

    out = np.empty_like(image)
    run = timed(lambda: enhancer(image, out=out))
    return Timing(artifact, enhancer.backend, spread([run().total for _ in range(_WARMUP + _ROUNDS)][_WARMUP:]))


def _data_uri(image: Images) -> str:
    from runtime.media import pictures

    return f"data:image/jpeg;base64,{base64.b64encode(pictures.encode(pictures.Picture(image), '.jpg')).decode()}"


def page(
    network: str,
    trained: bool,
    pictures: list[Picture],
    parity: list[Measurement],
    timings: list[Timing],
    abilities: list[Ability],
) -> str:
    """The whole page as one HTML document that needs no network."""
    from benchmarks.harness.record import environment
    from benchmarks.parity import summarise

    escape = html.escape
    figures = "".join(
        f'<figure><label class="pair"><img src="{_data_uri(p.bright)}" alt="{escape(p.title)}, enhanced">'
        f'<img class="before" src="{_data_uri(p.dark)}" alt="{escape(p.title)}, dark">'
        f'<input type="range" min="0" max="100" value="50" aria-label="How much of the dark picture is shown"></label>'
        f"<figcaption>{escape(p.title)}</figcaption></figure>"
        for p in pictures
    )
    rows_parity = "".join(
        f"<tr><td>{escape(contender)}<td>{found.max_codes}<td>{found.p999_codes}<td>{found.psnr:.1f}</tr>"
        for contender, found in summarise(parity).items()
    )
    rows_latency = "".join(
        f"<tr><td>{escape(t.artifact)}<td>{escape(t.backend)}<td>{t.milliseconds.p50:.1f}<td>{t.milliseconds.p90:.1f}</tr>"
        for t in timings
    )
    rows_abilities = "".join(
        f"<tr><td>{escape(a.what)}<td{'' if a.done else ' class=no'}>{'yes' if a.done else 'no'}<td>{escape(a.words)}</tr>"
        for a in abilities
    )
    lead = f"Dark on the left of the line, enhanced by {escape(network)} on the right. Drag the line, or use the arrow keys."
    if not trained:
        lead += " <b class=no>This network has not been trained: the right side shows that it runs, not what it can do.</b>"
    here = environment()
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        style=shared_page.read("page.css"),
        slider=shared_page.read("slider.js"),
        lead=lead,
        pictures=figures,
        parity=rows_parity,
        latency=rows_latency,
        abilities=rows_abilities,
        rounds=_ROUNDS,
        warmup=_WARMUP,
        machine=escape(here.gpus[0]["name"] if here.gpus else f"{here.cpu}, {here.cores} cores"),
    )


def run(network: str, images: list[Path], out: Path) -> Path:
    """Do everything and return the path of the page."""
    import cv2
    import numpy as np

    from benchmarks.parity import measure
    from benchmarks.pictures.parity_set import Case
    from benchmarks.pictures.samples import sample_photographs
    from export.exporter import export_network, write
    from runtime.files import default_folder, write_atomically
    from runtime.media import pictures as media

    def say(what: str) -> None:
        print(what, flush=True)

    dark = [*(own_photograph(path) for path in images), *sample_photographs()]
    say(f"Exporting {network} to ONNX, FP32 and typed FP16, and checking both ...")
    exports = export_network(network)
    paths = write(exports, default_folder())
    abilities = [Ability("Export and verify", True, ", ".join(path.name for path in paths))]
    say("Building a FP16 plan ...")
    plan, built = build_plan(paths[1])
    abilities.append(built)
    say(f"Enhancing {len(dark)} photographs ...")
    timed = np.ascontiguousarray(cv2.resize(dark[-1][1], _TIMED[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    pictures: list[Picture] = []
    timings: list[Timing] = []
    runnable: list[Path] = []
    for path in [*paths, *([plan] if plan else [])]:
        enhancer, ability = open_artifact(path)
        abilities.append(ability)
        if enhancer is None:
            continue
        with enhancer:
            runnable.append(path)
            timings.append(time_enhancer(enhancer, path.name, timed))
            if not pictures:
                pictures = [Picture(title, image, enhancer(image)) for title, image in dark]
    if not pictures:
        raise BackendError("nothing here runs the network: pip install 'retinexrt[cpu]'")
    say("Comparing each artifact with PyTorch ...")
    parity = measure(network, engines=runnable, pictures=[Case(title, "photograph", image[None]) for title, image in dark])
    for number, picture in enumerate(pictures):
        for kind, image in (("dark", picture.dark), ("enhanced", picture.bright)):
            media.write(out / f"{number}_{kind}.png", media.Picture(image))
    written = out / "demo.html"
    write_atomically(written, page(network, exports[0].info.trained, pictures, parity, timings, abilities).encode())
    for ability in abilities:
        say(f"  {'yes' if ability.done else 'no '}  {ability.what}: {ability.words}")
    return written


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    parser = command_line.Parser(
        prog="python -m benchmarks.showcase.demo", description="Export a network, enhance photographs, write one page about it."
    )
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="photographs of yours")
    parser.add_argument("--network", default=DEFAULT_NETWORK, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="default: %(default)s/")
    return command_line.run(_run, parser, argv, "cpu,export,quality", prog)


def _run(arguments: argparse.Namespace) -> None:
    print(f"Open {run(arguments.network, arguments.images, arguments.out)} in a browser.")


if __name__ == "__main__":
    sys.exit(main())
