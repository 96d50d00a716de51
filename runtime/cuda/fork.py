"""CUDA works only in the process that started it. What a forked child inherits must not be used there, nor be freed."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from runtime.errors import InputError

_guarded: weakref.WeakSet[Any] = weakref.WeakSet()


def guard(owner: Any) -> None:
    """In children that are forked from here on, let this object and what it holds live as long as the process.

    The destructors of TensorRT and ONNX Runtime call CUDA, which in a child hangs or crashes.
    """
    _guarded.add(owner)


def require_own_process(opener: int) -> None:
    """Refuse what another process, `opener`, has opened."""
    if os.getpid() != opener:
        raise InputError(
            f"this was opened in another process ({opener}), and a GPU can't be used across a fork; open it in each process, "
            'as multiprocessing does that starts them by "spawn"'
        )


def _keep_all() -> None:
    for owner in list(_guarded):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_all)
