"""Backends: what runs an artifact, and the choice between them."""

from runtime.backends.backend import BACKENDS, Backend, get_backend
from runtime.backends.registry import Choice, choices, open_session

__all__ = ["BACKENDS", "Backend", "Choice", "choices", "get_backend", "open_session"]
