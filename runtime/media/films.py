"""Films: frame by frame through the network, with the sound of the original where ffmpeg is at hand."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from runtime.errors import InputError, OutputError
from runtime.files import TEMPORARY
from runtime.images import Enhance, Images
from runtime.media import pipeline

_CODECS = {".avi": "MJPG", ".webm": "VP80", ".wmv": "WMV2", ".mpg": "MPG2", ".mpeg": "MPG2", ".ts": "MPG2", ".mts": "MPG2"}
_CODEC = "mp4v"
_FRAME_RATE = 25.0

#: Containers whose header holds the number of frames; that of others is an estimate.
_COUNTED = (".mp4", ".m4v", ".mov", ".avi")

#: A film is whole with this share of the frames that its header promises: the last few are often not decodable.
_ENOUGH, _SLACK = 0.98, 3


def enhance(enhancer: Enhance, source: Path, target: Path, *, hidden: bool | None = True, **options: Any) -> str:
    """Enhance a film; returns what there is to say about its sound. `hidden`: no progress bar (None: on terminals only).

    If the film breaks off, what could be decoded is written beside `target` as NAME.partial.SUFFIX, and InputError says
    so. `target` itself is written whole or not at all.
    """
    capture = cv2.VideoCapture(str(source))
    if not capture.isOpened():
        capture.release()
        raise InputError(f"{source} is not a video that OpenCV opens, or it is damaged")
    try:
        return _enhance(enhancer, capture, source, target, hidden, options)
    finally:
        capture.release()


def _enhance(
    enhancer: Enhance, capture: cv2.VideoCapture, source: Path, target: Path, hidden: bool | None, options: dict[str, Any]
) -> str:
    rate = capture.get(cv2.CAP_PROP_FPS)
    rate = rate if math.isfinite(rate) and rate > 0 else _FRAME_RATE
    promised = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    with _workspace(target) as folder:
        silent = Path(folder) / f"silent{target.suffix}"
        written = _write_frames(enhancer, capture, silent, rate, promised, hidden, options)
        if not written:
            raise InputError(f"{source} holds no frame that can be decoded")
        _verify(silent, written, target)
        if written >= promised * _ENOUGH - _SLACK or source.suffix.lower() not in _COUNTED:
            result, note = _with_sound(silent, source, Path(folder) / f"sound{target.suffix}")
            _move(result, target)
            return note
        partial = target.with_name(f"{target.stem}.partial{target.suffix}")
        _move(silent, partial)
        raise InputError(f"it breaks off after {written} of {promised} frames; those are in {partial}, without sound")


def _workspace(target: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder beside the target, so that moving the result into place is a rename."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=TEMPORARY)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error


def _write_frames(
    enhancer: Enhance,
    capture: cv2.VideoCapture,
    path: Path,
    rate: float,
    promised: int,
    hidden: bool | None,
    options: dict[str, Any],
) -> int:
    """Enhance every frame into `path`; returns how many there were."""
    writer: cv2.VideoWriter | None = None

    def read() -> Images | None:
        found, frame = capture.read()
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8) if found else None

    def write(frame: Images) -> None:
        nonlocal writer
        if writer is None:
            writer = _open_writer(path, rate, frame.shape[1], frame.shape[0])
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    count = 0
    try:
        with tqdm(total=promised or None, unit="frame", leave=False, disable=hidden) as progress:
            for _ in pipeline.stream(read, lambda frame: enhancer(frame, **options), write):
                count += 1
                progress.update()
    finally:
        if writer is not None:
            writer.release()
    return count


def _open_writer(path: Path, rate: float, width: int, height: int) -> cv2.VideoWriter:
    codec = _CODECS.get(path.suffix.lower(), _CODEC)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (width, height))
    if not writer.isOpened():
        raise OutputError(f"OpenCV cannot write {path.suffix} videos of {width}x{height}; try .mp4 or .avi")
    return writer


def _verify(path: Path, written: int, target: Path) -> None:
    """OpenCV says nothing when a frame could not be written: look whether they are all there."""
    enough = written * _ENOUGH - _SLACK
    capture = cv2.VideoCapture(str(path))
    found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    if found < enough:
        found = 0
        while capture.grab():
            found += 1
    capture.release()
    if found < enough:
        free = shutil.disk_usage(path.parent).free // 2**20
        raise OutputError(f"cannot write {target}: {found} of {written} frames arrived ({free} MiB are free)")


def _with_sound(silent: Path, source: Path, result: Path) -> tuple[Path, str]:
    """Put the sound of `source` to the pictures of `silent`; the file to keep, and what there is to say."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return silent, "without sound: ffmpeg is not on the PATH"
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", "-i", str(silent), "-i", str(source)]
    command += ["-map", "0:v:0", "-map", "1:a?", "-c", "copy", str(result)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return silent, f"without sound: ffmpeg could not copy it ({why})"
    return result, ""


def _move(path: Path, target: Path) -> None:
    try:
        path.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error
