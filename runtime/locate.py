"""Where artifacts are looked for when a network is named rather than a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runtime.errors import ArtifactError


def search_folders() -> list[Path]:
    """Shipped with the package first, then ./engines, then the project's engines folder; only those that exist."""
    package = Path(__file__).resolve().parent
    folders = [package / "models", Path.cwd() / "engines", package.parent / "engines"]
    return list(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def find(file_name: str) -> Path | None:
    """The first file of this name in the search folders."""
    return next((folder / file_name for folder in search_folders() if (folder / file_name).is_file()), None)


def available() -> Iterator[Path]:
    """Every artifact in the search folders; of two files of one name only the one that would be used."""
    seen: set[str] = set()
    for folder in search_folders():
        for path in sorted((*folder.glob("*.onnx"), *folder.glob("*.plan"))):
            if path.name not in seen:
                seen.add(path.name)
                yield path


def network_names() -> list[str]:
    """Networks that can be named here: those whose FP32 ONNX file, or anything made of it, was found."""
    return list(dict.fromkeys(path.stem.removesuffix("_fp16") for path in available()))


def as_file(source: str) -> Path | None:
    """The artifact that `source` is a path of; None where it is the name of a network."""
    path = Path(source)
    if path.suffix in (".onnx", ".plan"):
        if path.is_dir():
            raise ArtifactError(f"{path} is a folder, expected an .onnx or .plan file")
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist; make it with: {_command(path)}")
        return path.resolve()
    if path.suffix or len(path.parts) != 1:
        raise ArtifactError(f"{source!r} is neither the name of a network nor an .onnx or .plan file")
    return None


def absent(name: str, verb: str = "export") -> ArtifactError:
    """The error for a network of which no artifact was found; `verb` is the command that makes one."""
    known = ", ".join(network_names()) or "none"
    return ArtifactError(f"no artifact of a network {name!r} found (found: {known}); make it with: retinexrt {verb} {name}")


def _command(path: Path) -> str:
    network = path.stem.removesuffix("_fp16") or "NAME"
    return f"retinexrt {'build' if path.suffix == '.plan' else 'export'} {network}"
