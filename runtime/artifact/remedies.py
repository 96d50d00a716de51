"""Remedies: the commands that messages name. Each is installed with the package, so it exists where the message appears."""

from __future__ import annotations

from pathlib import Path

from runtime.artifact.info import ArtifactInfo, Precision


def export(network: str = "NAME") -> str:
    """Export a network to ONNX."""
    return f"retinexrt export {network}"


def build(network: str = "NAME", precision: Precision = "fp16", flavour: str | None = None) -> str:
    """Build a plan of a network."""
    words = ["retinexrt build", network]
    if precision != "fp16":
        words += ["--precision", precision]
    if flavour is not None:
        words += ["--flavour", flavour]
    return " ".join(words)


def rebuild(info: ArtifactInfo, flavour: str | None = None) -> str:
    """Build the plan of an artifact again, here."""
    compatible = info.plan is not None and info.plan.version_compatible and flavour != "tensorrt_rtx"
    return build(info.network, info.precision, flavour) + (" --version-compatible" if compatible else "")


def make(path: Path) -> str:
    """Make an artifact of which only the file name is known."""
    network = path.stem.removesuffix("_fp16") or "NAME"
    if path.suffix != ".plan":
        return export(network)
    return build(network, "fp16" if path.stem.endswith("_fp16") else "fp32")


def train(weights: str) -> str:
    """Train the weights of this name."""
    return f"retinexrt train {weights}"


def install(extra: str) -> str:
    """Install one of the package's extras."""
    return f"pip install 'retinexrt[{extra}]'"


def install_tools() -> str:
    """Install what trains, exports, builds and measures: a package of its own."""
    return "pip install retinexrt-tools"
