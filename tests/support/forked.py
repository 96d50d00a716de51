"""Code that runs in a forked child."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator


def forked(child: Callable[[], Iterator[object]]) -> bool:
    """Whether a forked child comes to its end, and finds what it yields true."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            code = int(not all(child()))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(process, 0)[1] == 0
