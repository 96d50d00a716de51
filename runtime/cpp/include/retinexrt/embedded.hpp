// Python's runtime.Enhancer, every artifact and every backend of it, inside a C++ application.
#pragma once

#include <pybind11/embed.h>
#include <pybind11/numpy.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "enhancer.hpp"

// pybind11's types are hidden from other libraries, and so is what holds them.
#if defined(__GNUC__)
#define RETINEXRT_HIDDEN __attribute__((visibility("hidden")))
#else
#define RETINEXRT_HIDDEN
#endif

namespace retinexrt {
namespace detail {

namespace py = pybind11;

// Holds the GIL while it lives, on any thread, whether the thread held it before or not.
class Gil {
 public:
  Gil() : state_(PyGILState_Ensure()) {}
  ~Gil() { PyGILState_Release(state_); }
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;

 private:
  PyGILState_STATE state_;
};

// Counts the interpreters that have ended in this process: what was made in one is not touched after its end.
inline std::atomic<unsigned>& ended_interpreters() {
  static std::atomic<unsigned> count{0};
  return count;
}

inline std::string chosen_python(const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  if (const char* variable = std::getenv("RETINEXRT_PYTHON"); variable != nullptr && *variable != '\0') return variable;
#ifdef RETINEXRT_PYTHON
  return RETINEXRT_PYTHON;
#else
  return "";
#endif
}

inline void check_python() {
  const std::string compiled = std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION) + ".";
  const std::string loaded = Py_GetVersion();
  if (loaded.compare(0, compiled.size(), compiled) != 0) {
    throw BackendUnavailableError("compiled with Python " + compiled + "x, but " + loaded.substr(0, loaded.find(' ')) +
                                  " is loaded; compile again, or put the folder of the first in front of LD_LIBRARY_PATH");
  }
}

// Start Python as `executable` would, without its signal handlers, and let go of the GIL. It runs until the process ends:
// numpy and the backends do not survive a restart.
inline void start_interpreter(const std::string& executable) {
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  config.parse_argv = 0;
  config.install_signal_handlers = 0;
  if (!executable.empty()) {
    const PyStatus status = PyConfig_SetBytesString(&config, &config.executable, executable.c_str());
    if (PyStatus_Exception(status) != 0) {
      PyConfig_Clear(&config);
      throw BackendUnavailableError("the path of Python cannot be used: " + executable);
    }
  }
  try {
    py::initialize_interpreter(&config, 0, nullptr, false);
  } catch (const std::exception& error) {
    throw BackendUnavailableError("Python " + executable + " does not start: " + last_line(error.what()));
  }
  PyEval_SaveThread();
}

// Make sure that an interpreter runs, the application's or ours, and return its number.
inline unsigned ensure_interpreter(const std::string& wanted) {
  static std::mutex mutex;
  static unsigned watched = ~0U;
  const std::lock_guard<std::mutex> lock(mutex);
  check_python();
  if (Py_IsInitialized() == 0) start_interpreter(chosen_python(wanted));
  const unsigned number = ended_interpreters();
  if (watched != number && Py_AtExit([] { ++ended_interpreters(); }) == 0) watched = number;
  return number;
}

inline std::string text_of(const py::handle& object) {
  try {
    return py::str(object).cast<std::string>();
  } catch (const std::exception&) {
    return "no message";
  }
}

// Throw what a Python exception is in C++: the nearest class of ours, with Python's class name and text.
[[noreturn]] inline void rethrow(const py::error_already_set& error) {
  std::string kind = "RuntimeError";
  std::vector<std::string> bases;
  const std::string text = text_of(error.value());
  try {
    kind = text_of(error.type().attr("__name__"));
    for (const auto& base : error.type().attr("__mro__")) bases.push_back(text_of(base.attr("__name__")));
  } catch (const std::exception&) {  // a class that does not tell its name
  }
  for (const auto& base : bases) {
    if (base == "InputError") throw InputError(text);
    if (base == "ManifestError") throw ManifestError(text);
    if (base == "IncompatiblePlanError") throw IncompatiblePlanError(text);
    if (base == "ArtifactError") throw ArtifactError(text, kind);
    if (base == "BackendUnavailableError") throw BackendUnavailableError(text);
    if (base == "BackendError") throw BackendError(text, kind);
    if (base == "ClosedError") throw ClosedError(text);
  }
  throw Error(kind, text);
}

// Call `action` with the GIL held; the Python exception is gone when the GIL is released.
template <class Action>
void with_python(const Action& action) {
  const Gil gil;
  try {
    action();
  } catch (const py::error_already_set& error) {
    rethrow(error);
  } catch (const py::builtin_exception& error) {
    throw Error("RuntimeError", error.what());
  }
}

// A numpy array over memory that stays the caller's. It is always writeable, though the enhancer only reads its input:
// OpenVINO copies what it may not write to.
inline py::array array_over(const std::uint8_t* data, int height, int width) {
  return py::array_t<std::uint8_t>({py::ssize_t(height), py::ssize_t(width), py::ssize_t(3)}, data, py::none());
}

}  // namespace detail

class RETINEXRT_HIDDEN EmbeddedEnhancer final : public Enhancer {
 public:
  // `source` is the name of a network ("pdn") or the path of an artifact (.onnx, .plan).
  explicit EmbeddedEnhancer(const std::string& source, const Options& options = {})
      : interpreter_(detail::ensure_interpreter(options.python)) {
    detail::with_python([&] {
      namespace py = detail::py;
      using py::literals::operator""_a;
      py::dict keywords("backend"_a = options.backend, "device"_a = options.device);
      if (options.threads != 0) keywords["threads"] = options.threads;
      if (!options.precision.empty()) keywords["precision"] = options.precision;
      py::object enhancer = enhancer_class()(py::str(source), **keywords);
      info_ = parse_info(enhancer.attr("info").attr("to_json")().cast<std::string>(), source);
      backend_ = enhancer.attr("backend").cast<std::string>();
      device_ = enhancer.attr("device").cast<std::string>();
      enhancer_ = enhancer.release().ptr();
    });
  }

  ~EmbeddedEnhancer() override {
    EmbeddedEnhancer::close();
    if (!alive()) return;  // the object went with its interpreter
    const detail::Gil gil;
    Py_DECREF(enhancer_);
  }

  void enhance_device(const void* image, void* out, const DeviceShape& shape, void* stream) override {
    check_open();
    if (image == nullptr || out == nullptr) throw InputError("enhance_device: a pointer is null");
    detail::with_python([&] {
      namespace py = detail::py;
      using py::literals::operator""_a;
      const auto number = [](const void* pointer) { return py::int_(reinterpret_cast<std::uintptr_t>(pointer)); };
      object().attr("enhance_device")(number(image), py::make_tuple(shape.count, shape.height, shape.width, 3), number(stream),
                                      "out"_a = number(out));
    });
  }

  void close() noexcept override {
    if (closed_.exchange(true) || !alive()) return;
    try {
      detail::with_python([&] { object().attr("close")(); });
    } catch (...) {  // closing has nobody to tell
    }
  }

 protected:
  void check_open() const override {
    if (closed_) throw ClosedError("the enhancer is closed");
    if (!alive()) throw ClosedError("the Python interpreter that the enhancer lived in has ended");
  }

  void run(const detail::Pair& picture, const Progress& progress) override {
    check_open();
    std::exception_ptr thrown;  // by `progress`: it goes through Python as itself
    const auto tell = [&](int done, int total) {
      const detail::py::gil_scoped_release others;
      try {
        progress(done, total);
      } catch (...) {
        thrown = std::current_exception();
        throw detail::py::stop_iteration();
      }
    };
    try {
      detail::with_python([&] {
        detail::py::dict keywords;
        if (progress) keywords["progress"] = detail::py::cpp_function(tell);
        object()(detail::array_over(picture.image, picture.height, picture.width),
                 detail::array_over(picture.out, picture.height, picture.width), **keywords);
      });
    } catch (const Error&) {
      if (thrown) std::rethrow_exception(thrown);
      throw;
    }
  }

 private:
  static detail::py::object enhancer_class() {
    try {
      return detail::py::module_::import("runtime").attr("Enhancer");
    } catch (const detail::py::error_already_set& error) {
      if (!error.matches(PyExc_ImportError)) throw;
      const std::string python = detail::text_of(detail::py::module_::import("sys").attr("executable"));
      throw BackendUnavailableError("Python " + python + " has no retinexrt (" + detail::text_of(error.value()) +
                                    "); install it with: " + python + " -m pip install 'retinexrt[openvino]', or name another "
                                    "Python in Options::python or RETINEXRT_PYTHON");
    }
  }

  detail::py::handle object() const { return enhancer_; }

  bool alive() const { return Py_IsInitialized() != 0 && interpreter_ == detail::ended_interpreters(); }

  unsigned interpreter_;
  PyObject* enhancer_ = nullptr;
  std::atomic<bool> closed_{false};
};

}  // namespace retinexrt
