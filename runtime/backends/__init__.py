"""Backends: what runs an artifact, and the choice between them."""

from runtime.backends.registry import BACKENDS, CPU_PRECISIONS, Backend, Choice, choices, get_backend, open_session

__all__ = ["BACKENDS", "CPU_PRECISIONS", "Backend", "Choice", "choices", "get_backend", "open_session"]
