"""The onnxruntime module with a CUDA provider: the real one on the CPU, enqueued on the fake CUDA's streams."""

from __future__ import annotations

from typing import Any

import onnxruntime

from runtime.backends.onnxruntime_cuda import PROVIDER
from runtime.images import Images
from tests.support.fake_cuda import FakeCuda


class FakeValue:
    """An OrtValue whose "cuda" memory is the host's."""

    def __init__(self, array: Images) -> None:
        self.array = array

    @classmethod
    def ortvalue_from_numpy(cls, array: Images, memory: str, index: int) -> FakeValue:
        assert (memory, index) == ("cuda", 0)
        return cls(array.copy())

    def data_ptr(self) -> int:
        return self.array.ctypes.data


class FakeBinding:
    """A real binding whose "cuda" memory is the host's."""

    def __init__(self, binding: Any) -> None:
        self.binding = binding

    def bind_input(self, name: str, memory: str, index: int, dtype: Any, shape: list[int], pointer: int) -> None:
        assert (memory, index) == ("cuda", 0)
        self.binding.bind_input(name, "cpu", 0, dtype, shape, pointer)

    def bind_output(self, name: str, memory: str, index: int, dtype: Any, shape: list[int], pointer: int) -> None:
        assert (memory, index) == ("cuda", 0)
        self.binding.bind_output(name, "cpu", 0, dtype, shape, pointer)


class FakeOrt:
    """The onnxruntime module with a CUDA provider that runs on the fake's streams."""

    __version__ = onnxruntime.__version__
    __file__ = str(onnxruntime.__file__)
    RunOptions = onnxruntime.RunOptions
    SessionOptions = onnxruntime.SessionOptions
    OrtValue = FakeValue

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.falls_back = False
        self.preloaded = 0
        self.options: dict[str, str] = {}
        #: What the provider's start fails with.
        self.failure: Exception | None = None
        #: What a run fails with, when some of it is enqueued.
        self.run_failure: Exception | None = None
        #: What a run fails with that shall be recorded as a CUDA graph.
        self.graph_failure: Exception | None = None
        fake = self

        class InferenceSession:
            def __init__(
                self,
                path: str | bytes,
                sess_options: onnxruntime.SessionOptions | None = None,
                providers: list[tuple[str, dict[str, str]]] | None = None,
                enable_fallback: int = 1,
            ) -> None:
                assert sess_options is not None and sess_options.log_severity_level == 4
                ((self.provider, fake.options),) = providers or []
                self.options = fake.options
                if fake.failure is not None:
                    if not enable_fallback:
                        raise fake.failure
                    print("*************** EP Error ***************")
                    fake.falls_back = True
                self.real = onnxruntime.InferenceSession(path, sess_options, providers=["CPUExecutionProvider"])

            def get_providers(self) -> list[str]:
                return ["CPUExecutionProvider"] if fake.falls_back else [self.provider, "CPUExecutionProvider"]

            def run(self, wanted: list[str], given: dict[str, Any]) -> list[Any]:
                if fake.run_failure is not None:
                    raise fake.run_failure
                assert fake.cuda.current_context(0) == 1, "run outside of the session's context"
                fake.cuda.synchronize(int(self.options["user_compute_stream"]))
                return self.real.run(wanted, given)

            def io_binding(self) -> FakeBinding:
                return FakeBinding(self.real.io_binding())

            def run_with_iobinding(self, binding: FakeBinding, options: Any) -> None:
                if fake.run_failure is not None:
                    raise fake.run_failure
                if self.options.get("enable_cuda_graph") == "1" and fake.graph_failure is not None:
                    raise fake.graph_failure
                if "user_compute_stream" not in self.options:
                    self.real.run_with_iobinding(binding.binding)
                    return
                assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
                stream = int(self.options["user_compute_stream"])
                fake.cuda.enqueue(stream, lambda: self.real.run_with_iobinding(binding.binding, options))

        self.InferenceSession = InferenceSession

    def get_available_providers(self) -> list[str]:
        return [PROVIDER, "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        self.preloaded += 1
        print("Failed to load libcudnn.so.9")
