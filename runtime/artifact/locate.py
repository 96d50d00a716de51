"""Search folders: the artifact of a network that is named rather than given as a file."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from runtime.artifact import remedies
from runtime.errors import ArtifactError

_PACKAGE = Path(__file__).resolve().parents[1]


def search_folders() -> list[Path]:
    """Shipped with the package first, then ./engines, then the project's engines folder; only those that exist."""
    folders = [_PACKAGE / "models", Path.cwd() / "engines", _PACKAGE.parent / "engines"]
    return list(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def plan_folders() -> list[Path]:
    """Where plans are looked for: the search folders without ./engines, unless that is the project's own.

    A plan is executable code, and the working folder may be a stranger's: a plan that lies there needs its path given.
    """
    own = (_PACKAGE / "models", _PACKAGE.parent / "engines")
    return [folder for folder in search_folders() if folder in own]


def find(file_name: str) -> Path | None:
    """The first file of this name in the folders for its kind."""
    folders = plan_folders() if file_name.endswith(".plan") else search_folders()
    return next((folder / file_name for folder in folders if (folder / file_name).is_file()), None)


def available() -> Iterator[Path]:
    """Every artifact that can be named here; of two files of one name only the one that would be used."""
    for folder in search_folders():
        for path in sorted((*folder.glob("*.onnx"), *folder.glob("*.plan"))):
            if find(path.name) == path:
                yield path


def passed_over(name: str) -> list[Path]:
    """Plans of a network in the search folders that are not used by name."""
    paths = (folder / f"{name}{end}.plan" for folder in search_folders() for end in ("_fp16", ""))
    return [path for path in paths if path.is_file() and path.parent not in plan_folders()]


def network_names() -> list[str]:
    """Networks that can be named here: those whose FP32 ONNX file, or anything made of it, was found."""
    return list(dict.fromkeys(path.stem.removesuffix("_fp16") for path in available()))


def spelled(name: str) -> str:
    """The name of a network as its files spell it, whatever the case it was typed in."""
    return next((known for known in network_names() if known.lower() == name.lower()), name)


def as_file(source: str) -> Path | None:
    """The artifact that `source` is a path of; None where it is the name of a network."""
    path = Path(source)
    if path.suffix in (".onnx", ".plan"):
        if path.is_dir():
            raise ArtifactError(f"{path} is a folder, expected an .onnx or .plan file")
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist; make it with: {remedies.make(path)}")
        return path.resolve()
    if path.suffix or len(path.parts) != 1:
        raise ArtifactError(f"{source!r} is neither the name of a network nor an .onnx or .plan file")
    return None


def onnx_file(source: str) -> Path:
    """The ONNX file of a network, or the artifact that `source` is a path of."""
    path = as_file(source) or find(f"{spelled(source)}.onnx")
    if path is None:
        raise absent(source)
    return path


def resembling(name: str) -> str | None:
    """The network whose name is spelled much like one that is none."""
    names = network_names()
    near = [] if name in names else get_close_matches(name.lower(), names, 1, 0.7)
    return near[0] if near else None


def absent(name: str, ending: str = ".onnx") -> ArtifactError:
    """The error for a network of which no artifact was found that ends so."""
    known = ", ".join(network_names()) or "none"
    if near := resembling(name):
        return ArtifactError(f"there is no network {name!r}; did you mean {near}? (found: {known})")
    if ending != ".plan":
        remedy = f"a network that is not in the package is made with: {remedies.export(name)}"
    elif plans := passed_over(name):
        remedy = f"a plan in the working folder is used only where its path is given: {plans[0]}"
    else:
        remedy = f"make it with: {remedies.build(name)}"
    return ArtifactError(f"no artifact of a network {name!r} found (found: {known}); {remedy}")
