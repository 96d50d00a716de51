// Runs an .onnx file on the CPU through ONNX Runtime's C API, as runtime/backends/onnxruntime_cpu.py does: the same options,
// the same bytes.
#pragma once

#include <onnxruntime_c_api.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "artifact.hpp"
#include "error.hpp"
#include "image.hpp"
#include "model.hpp"
#include "options.hpp"

namespace retinexrt::detail {

// ONNX Runtime's environment and options, and the sessions made with them.
class OnnxRuntime {
 public:
  template <class T>
  using Owned = std::unique_ptr<T, void(ORT_API_CALL*)(T*)>;

  explicit OnnxRuntime(int threads) {
    // What goes wrong is thrown, and nothing is printed.
    environment_ = make<OrtEnv>(api_.ReleaseEnv, [&](OrtEnv** made) {
      return api_.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "retinexrt", made);
    });
    memory_ = make<OrtMemoryInfo>(api_.ReleaseMemoryInfo, [&](OrtMemoryInfo** made) {
      return api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, made);
    });
    options_ = make<OrtSessionOptions>(api_.ReleaseSessionOptions, api_.CreateSessionOptions);
    check(api_.SetSessionLogSeverityLevel(options_.get(), ORT_LOGGING_LEVEL_FATAL));
    if (threads > 0) check(api_.SetIntraOpNumThreads(options_.get(), threads));
  }

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

  // A model that is a file, or its bytes.
  Owned<OrtSession> open_file(const std::string& path) const {
    return make<OrtSession>(api_.ReleaseSession, [&](OrtSession** made) {
      return api_.CreateSession(environment_.get(), std::filesystem::path(path).c_str(), options_.get(), made);
    });
  }

  Owned<OrtSession> open_bytes(const std::string& model) const {
    return make<OrtSession>(api_.ReleaseSession, [&](OrtSession** made) {
      return api_.CreateSessionFromArray(environment_.get(), model.data(), model.size(), options_.get(), made);
    });
  }

  // A tensor over memory that stays the caller's. ONNX Runtime has no type for memory that is only read.
  template <class T>
  Owned<OrtValue> tensor(const T* data, const std::vector<std::int64_t>& shape) const {
    constexpr auto kind = std::is_same_v<T, float>          ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                          : std::is_same_v<T, std::int64_t> ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
                                                            : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    std::size_t size = sizeof(T);
    for (const std::int64_t side : shape) size *= std::size_t(side);
    return make<OrtValue>(api_.ReleaseValue, [&](OrtValue** made) {
      return api_.CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<T*>(data), size, shape.data(), shape.size(), kind, made);
    });
  }

  Owned<OrtValue> image(const std::uint8_t* data, int height, int width) const { return tensor(data, {1, height, width, 3}); }

  Owned<OrtValue> map(const Map& map) const {
    const auto side = [](std::size_t extent) { return std::int64_t(extent); };
    return tensor(map.values.data(), {1, side(map.planes), side(map.height), side(map.width)});
  }

  // The map that a tensor is.
  Map to_map(OrtValue* value) const {
    const auto about = make<OrtTensorTypeAndShapeInfo>(api_.ReleaseTensorTypeAndShapeInfo, [&](OrtTensorTypeAndShapeInfo** made) {
      return api_.GetTensorTypeAndShape(value, made);
    });
    ONNXTensorElementDataType kind{};
    check(api_.GetTensorElementType(about.get(), &kind));
    std::size_t rank = 0;
    check(api_.GetDimensionsCount(about.get(), &rank));
    std::vector<std::int64_t> shape(rank);
    check(api_.GetDimensions(about.get(), shape.data(), rank));
    if (kind != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || rank != 4 || shape[0] != 1) {
      throw std::runtime_error("the light of a picture is no map of float32");
    }
    Map result{std::size_t(shape[1]), std::size_t(shape[2]), std::size_t(shape[3]), {}};
    void* data = nullptr;
    check(api_.GetTensorMutableData(value, &data));
    const float* const first = static_cast<const float*>(data);
    result.values.assign(first, first + result.planes * result.height * result.width);
    return result;
  }

  // What is null in `targets` is made.
  void run(OrtSession* session, const std::vector<std::string>& inputs, const std::vector<Owned<OrtValue>>& sources,
           const std::vector<std::string>& outputs, std::vector<Owned<OrtValue>>& targets) const {
    std::vector<const char*> from, to;
    for (const auto& name : inputs) from.push_back(name.c_str());
    for (const auto& name : outputs) to.push_back(name.c_str());
    std::vector<const OrtValue*> given;
    for (const auto& value : sources) given.push_back(value.get());
    std::vector<OrtValue*> made;
    for (const auto& value : targets) made.push_back(value.get());
    OrtStatus* const status =
        api_.Run(session, nullptr, from.data(), given.data(), given.size(), to.data(), to.size(), made.data());
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (!targets[i] && made[i] != nullptr) targets[i] = Owned<OrtValue>(made[i], api_.ReleaseValue);
    }
    check(status);
  }

  // Room for so many results that are to be made.
  std::vector<Owned<OrtValue>> unmade(std::size_t count) const {
    std::vector<Owned<OrtValue>> result;
    for (std::size_t i = 0; i < count; ++i) result.emplace_back(nullptr, api_.ReleaseValue);
    return result;
  }

 private:
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

  const OrtApi& api_ = api();
  // Freed in the reverse order. The environment is the process's: others in the application count it too.
  Owned<OrtEnv> environment_{nullptr, nullptr};
  Owned<OrtMemoryInfo> memory_{nullptr, nullptr};
  Owned<OrtSessionOptions> options_{nullptr, nullptr};
};

class OnnxRuntimeParts final : public PartsModel {
 public:
  OnnxRuntimeParts(std::shared_ptr<const OnnxRuntime> runtime, const ArtifactInfo& info, const Halves& halves)
      : runtime_(std::move(runtime)),
        names_(*info.parts),
        image_(info.input.name),
        output_(info.output.name),
        decide_(runtime_->open_bytes(halves.decide)),
        render_(runtime_->open_bytes(halves.render)) {}

  std::vector<Map> decide(const Map& overview) override {
    try {
      std::vector<OnnxRuntime::Owned<OrtValue>> given, made = runtime_->unmade(names_.light.size());
      given.push_back(runtime_->map(overview));
      runtime_->run(decide_.get(), {names_.overview}, given, names_.light, made);
      std::vector<Map> light;
      for (const auto& value : made) light.push_back(runtime_->to_map(value.get()));
      return light;
    } catch (const std::exception& error) {
      throw BackendError(std::string("ONNX Runtime failed on the overview of a picture: ") + error.what());
    }
  }

  void render(const std::uint8_t* image, std::uint8_t* out, int height, int width, std::int64_t side,
              const std::vector<Map>& light) override {
    try {
      std::vector<OnnxRuntime::Owned<OrtValue>> given, made;
      given.push_back(runtime_->image(image, height, width));
      given.push_back(runtime_->tensor(&side, {1}));
      std::vector<std::string> names{image_, names_.side};
      for (const Map& map : light) given.push_back(runtime_->map(map));
      names.insert(names.end(), names_.light.begin(), names_.light.end());
      made.push_back(runtime_->image(out, height, width));
      runtime_->run(render_.get(), names, given, {output_}, made);
    } catch (const std::exception& error) {
      throw BackendError("ONNX Runtime failed on a part of " + size_text(height, width) + ": " + error.what());
    }
  }

 private:
  std::shared_ptr<const OnnxRuntime> runtime_;
  PartsInfo names_;
  std::string image_, output_;
  OnnxRuntime::Owned<OrtSession> decide_, render_;
};

class OnnxRuntimeModel final : public Model {
 public:
  OnnxRuntimeModel(const std::string& path, const ArtifactInfo& info, const Options& options) : path_(path), info_(info) {
    try {
      runtime_ = std::make_shared<OnnxRuntime>(options.threads);
      session_ = runtime_->open_file(path);
    } catch (const std::exception& error) {
      throw_refused(error);
    }
  }

  // The library that is loaded must know the interface of the headers that this was compiled with: be as new or newer.
  static void check_version() { OnnxRuntime::api(); }

  void run(const std::uint8_t* image, std::uint8_t* out, int height, int width) override {
    try {
      std::vector<OnnxRuntime::Owned<OrtValue>> given, made;
      given.push_back(runtime_->image(image, height, width));
      made.push_back(runtime_->image(out, height, width));
      runtime_->run(session_.get(), {info_.input.name}, given, {info_.output.name}, made);
    } catch (const std::exception& error) {
      throw BackendError("ONNX Runtime failed on " + size_text(height, width) + ": " + error.what());
    }
  }

  std::unique_ptr<PartsModel> open_parts(const Halves& halves) const override {
    try {
      return std::make_unique<OnnxRuntimeParts>(runtime_, info_, halves);
    } catch (const std::exception& error) {
      throw_refused(error);
    }
  }

 private:
  [[noreturn]] void throw_refused(const std::exception& error) const {
    throw ArtifactError("ONNX Runtime cannot load " + path_ + ": " + error.what());
  }

  std::string path_;
  ArtifactInfo info_;
  std::shared_ptr<const OnnxRuntime> runtime_;
  OnnxRuntime::Owned<OrtSession> session_{nullptr, nullptr};
};

}  // namespace retinexrt::detail
