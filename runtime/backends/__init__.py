"""Backends: what runs an artifact, and the choice between them."""

from runtime.backends.backend import BACKENDS, Backend, get_backend, installed_version
from runtime.backends.registry import Choice, choices, open_session, usable_cpus

__all__ = ["BACKENDS", "Backend", "Choice", "choices", "get_backend", "installed_version", "open_session", "usable_cpus"]
