"""What OpenVINO's session does when it is closed under way."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import ClosedError
from runtime.backends import ov
from tests.runtime.conftest import double

pytest.importorskip("openvino")


class Emptied(SimpleQueue[Any]):
    """A queue of which another thread takes the last entry after it was asked whether it is empty."""

    def empty(self) -> bool:
        return False


@pytest.fixture
def session(artifacts: Path) -> ov.OvSession:
    return ov.OvSession(artifacts / "double.onnx", 1)


def test_two_closes_at_once_do_not_wait_for_one_another(session: ov.OvSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_idle", Emptied())
    thread = threading.Thread(target=session.close, daemon=True)
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_a_run_that_outlives_its_session_leaves_no_request(
    session: ov.OvSession, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests keep the model in memory."""
    idle: SimpleQueue[Any] = SimpleQueue()
    monkeypatch.setattr(session, "_idle", idle)
    images, out = dark[None].copy(), np.empty_like(dark[None])
    session.run(images, out)
    assert idle.qsize() == 1
    request = idle.get()

    class Closing:
        """Closes the session while the request computes."""

        def infer(self, **options: Any) -> None:
            request.infer(**options)
            session.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(request, name)

    idle.put(Closing())
    out[:] = 0
    session.run(images, out)
    assert np.array_equal(out, double(images))
    assert idle.empty()
    with pytest.raises(ClosedError):
        session.run(images, out)
