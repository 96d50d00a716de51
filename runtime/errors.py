"""Every error that retinexrt raises on purpose derives from `RetinexError`.

A message says what was expected, what was found and, where there is one, the command that mends it.
"""


class RetinexError(Exception):
    """Base of all errors of the runtime, export and engines packages."""


class InputError(RetinexError, ValueError):
    """An image, array or argument is not what the call accepts."""


class PictureTooLargeError(InputError):
    """A picture has more pixels than are read."""


class ArtifactError(RetinexError):
    """An ONNX file or a plan is missing, damaged or describes itself wrongly."""


class NewerSchemaError(ArtifactError):
    """An artifact was written by a newer retinexrt, in a schema that this one does not read."""


class ManifestError(ArtifactError):
    """A plan's manifest is missing, malformed, of a newer schema or belongs to another plan."""


class IncompatiblePlanError(ArtifactError):
    """A plan is intact, but was built for another flavour, version or GPU than the ones found here."""


class BackendError(RetinexError, RuntimeError):
    """A backend is missing, or failed while it ran."""


class BackendUnavailableError(BackendError):
    """The backend asked for cannot be used here; the message holds the command that installs it."""


class GpuMemoryError(BackendError):
    """A GPU has too little memory left for this; with some freed, the same may succeed."""


class GpuLostError(BackendError):
    """A GPU failed in a way that ends its use by this process: every later call fails. Another process may use it."""


class ClosedError(RetinexError, RuntimeError):
    """An enhancer or a session was used after close()."""


class OutputError(RetinexError, OSError):
    """A result could not be written."""


def first_line(error: Exception) -> str:
    """The first line of what another library says went wrong, or what it calls that."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def reason(error: BaseException) -> str:
    """One line for the summary, with what was noted about the error. Only what the project raises speaks for itself."""
    if isinstance(error, RetinexError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "out of memory"
    else:
        text = f"unexpected {type(error).__name__}: {error}"
    return "; ".join([text, *getattr(error, "__notes__", [])])
