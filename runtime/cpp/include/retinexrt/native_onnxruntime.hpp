// Runs an .onnx file on the CPU through ONNX Runtime's C API, as runtime/backends/ort.py does: the same options, the same
// bytes.
#pragma once

#include <onnxruntime_c_api.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "artifact.hpp"
#include "error.hpp"
#include "image.hpp"
#include "model.hpp"
#include "options.hpp"

namespace retinexrt::detail {

class OnnxRuntimeModel final : public Model {
 public:
  OnnxRuntimeModel(const std::string& path, const ArtifactInfo& info, const Options& options)
      : input_(info.input.name), output_(info.output.name) {
    try {
      load(path, options.threads);
    } catch (const std::exception& error) {
      throw ArtifactError("ONNX Runtime cannot load " + path + ": " + error.what());
    }
  }

  // The library that is loaded must know the interface of the headers that this was compiled with: be as new or newer.
  static void check_version() { api(); }

  void run(const std::uint8_t* image, std::uint8_t* out, int height, int width) override {
    try {
      const Owned<OrtValue> source = tensor(image, height, width), target = tensor(out, height, width);
      const char* const inputs[] = {input_.c_str()};
      const char* const outputs[] = {output_.c_str()};
      const OrtValue* const sources[] = {source.get()};
      OrtValue* targets[] = {target.get()};
      check(api_.Run(session_.get(), nullptr, inputs, sources, 1, outputs, 1, targets));
    } catch (const std::exception& error) {
      throw BackendError("ONNX Runtime failed on " + size_text(height, width) + ": " + error.what());
    }
  }

 private:
  template <class T>
  using Owned = std::unique_ptr<T, void(ORT_API_CALL*)(T*)>;

  static const OrtApi& api() {
    const OrtApiBase* const base = OrtGetApiBase();
    const OrtApi* const found = base->GetApi(ORT_API_VERSION);
    if (found == nullptr) {
      throw BackendUnavailableError("compiled with the headers of ONNX Runtime 1." + std::to_string(ORT_API_VERSION) +
                                    ", but the older " + base->GetVersionString() +
                                    " is loaded; compile again, or put the folder of a newer one in front of LD_LIBRARY_PATH");
    }
    return *found;
  }

  void check(OrtStatus* status) const {
    if (status == nullptr) return;
    const Owned<OrtStatus> owned(status, api_.ReleaseStatus);
    throw std::runtime_error(first_line(api_.GetErrorMessage(status)));
  }

  // Call a function whose last argument is where what it makes will be.
  template <class T, class Make>
  Owned<T> make(void(ORT_API_CALL* release)(T*), const Make& call) const {
    T* made = nullptr;
    check(call(&made));
    return Owned<T>(made, release);
  }

  void load(const std::string& path, int threads) {
    // What goes wrong is thrown, and nothing is printed.
    environment_ = make<OrtEnv>(api_.ReleaseEnv, [&](OrtEnv** made) {
      return api_.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "retinexrt", made);
    });
    memory_ = make<OrtMemoryInfo>(api_.ReleaseMemoryInfo, [&](OrtMemoryInfo** made) {
      return api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, made);
    });
    const auto options = make<OrtSessionOptions>(api_.ReleaseSessionOptions, api_.CreateSessionOptions);
    check(api_.SetSessionLogSeverityLevel(options.get(), ORT_LOGGING_LEVEL_FATAL));
    if (threads > 0) check(api_.SetIntraOpNumThreads(options.get(), threads));
    session_ = make<OrtSession>(api_.ReleaseSession, [&](OrtSession** made) {
      return api_.CreateSession(environment_.get(), std::filesystem::path(path).c_str(), options.get(), made);
    });
  }

  // A tensor over memory that stays the caller's. ONNX Runtime has no type for memory that is only read.
  Owned<OrtValue> tensor(const std::uint8_t* data, int height, int width) const {
    const std::int64_t shape[] = {1, height, width, 3};
    const std::size_t bytes = row_bytes(width) * std::size_t(height);
    return make<OrtValue>(api_.ReleaseValue, [&](OrtValue** made) {
      return api_.CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<std::uint8_t*>(data), bytes, shape, 4,
                                                 ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, made);
    });
  }

  const OrtApi& api_ = api();
  std::string input_, output_;
  // Freed in the reverse order. The environment is the process's: others in the application count it too.
  Owned<OrtEnv> environment_{nullptr, nullptr};
  Owned<OrtMemoryInfo> memory_{nullptr, nullptr};
  Owned<OrtSession> session_{nullptr, nullptr};
};

}  // namespace retinexrt::detail
