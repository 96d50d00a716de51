"""When tests of a real GPU are skipped."""

from __future__ import annotations

import pytest

from runtime.cuda import open_cuda
from runtime.errors import BackendUnavailableError


def problem() -> str | None:
    """Why no GPU can be used here. A driver's library alone is none: images for GPUs run on machines without one."""
    try:
        open_cuda()
    except BackendUnavailableError as error:
        return str(error)
    return None


_PROBLEM = problem()
needs_gpu = pytest.mark.skipif(_PROBLEM is not None, reason=_PROBLEM or "")
