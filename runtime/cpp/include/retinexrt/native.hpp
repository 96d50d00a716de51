// Without Python: an exported .onnx on the CPU, through OpenVINO.
#pragma once

#include <openvino/core/version.hpp>
#include <openvino/runtime/compiled_model.hpp>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/infer_request.hpp>
#include <openvino/runtime/properties.hpp>

#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "enhancer.hpp"
#include "onnx_file.hpp"
#include "tiling.hpp"

namespace retinexrt {
namespace detail {

// The headers that this was compiled with and the library that is loaded must be of one release.
inline void check_openvino() {
  const std::string compiled = std::to_string(OPENVINO_VERSION_MAJOR) + "." + std::to_string(OPENVINO_VERSION_MINOR) + ".";
  const std::string loaded = ov::get_openvino_version().buildNumber;
  if (loaded.compare(0, compiled.size(), compiled) != 0) {
    throw BackendUnavailableError("compiled with OpenVINO " + compiled + "x, but " + loaded +
                                  " is loaded; compile again, or put the folder of the first in front of LD_LIBRARY_PATH");
  }
}

// One for the process: it holds the plugins.
inline ov::Core& openvino_core() {
  static ov::Core core;
  return core;
}

// A compiled graph and the requests that no thread is using just now.
class OpenVinoModel {
 public:
  OpenVinoModel(const std::string& path, int threads) : model_(compile(path, threads)) {}

  void run(const ArtifactInfo& info, const std::uint8_t* image, std::uint8_t* out, int height, int width) {
    const ov::Shape shape{1, std::size_t(height), std::size_t(width), 3};
    ov::InferRequest request = take();
    // OpenVINO has no type for memory that is only read.
    request.set_tensor(info.input.name, ov::Tensor(ov::element::u8, shape, const_cast<std::uint8_t*>(image)));
    request.set_tensor(info.output.name, ov::Tensor(ov::element::u8, shape, out));
    request.infer();
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(request));  // not reached by a request that failed
  }

 private:
  static ov::CompiledModel compile(const std::string& path, int threads) {
    // The same hints as in Python: 32 bits also on CPUs whose default is bfloat16, one picture at a time on all cores.
    ov::AnyMap hints{ov::hint::inference_precision(ov::element::f32), ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
    if (threads > 0) hints.insert(ov::inference_num_threads(threads));
    return openvino_core().compile_model(path, "CPU", hints);
  }

  ov::InferRequest take() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        ov::InferRequest request = std::move(idle_.back());
        idle_.pop_back();
        return request;
      }
    }
    return model_.create_infer_request();
  }

  ov::CompiledModel model_;
  std::mutex mutex_;
  std::vector<ov::InferRequest> idle_;
};

}  // namespace detail

class NativeEnhancer final : public Enhancer {
 public:
  // `path` is an .onnx file that retinexrt exported.
  explicit NativeEnhancer(const std::string& path, const Options& options = {}) {
    if (options.backend != "auto" && options.backend != "openvino") {
      throw BackendUnavailableError("the native implementation has the backend openvino, found '" + options.backend +
                                    "'; the embedded one has the others");
    }
    if (options.threads < 0) throw InputError("threads is at least 1, or 0 for the backend's choice, found " + std::to_string(options.threads));
    detail::check_openvino();
    info_ = read_checked(path);
    backend_ = "openvino";
    device_ = "cpu";
    try {
      model_ = std::make_shared<detail::OpenVinoModel>(path, options.threads);
    } catch (const std::exception& error) {
      throw ArtifactError("OpenVINO cannot load " + path + ": " + detail::last_line(error.what()));
    }
  }

  ~NativeEnhancer() override { NativeEnhancer::close(); }

  void enhance_device(const void*, void*, const DeviceShape&, void*) override {
    check_open();
    throw InputError("the backend openvino runs on the CPU and takes no GPU memory");
  }

  void close() noexcept override {
    std::shared_ptr<detail::OpenVinoModel> last;  // freed outside of the lock, or by the last call in progress
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      last.swap(model_);
    }
  }

 protected:
  void check_open() const override { model(); }

  void run(const std::uint8_t* image, std::uint8_t* out, int height, int width) override {
    const auto model = this->model();
    const auto whole = [&](const std::uint8_t* from, std::uint8_t* to, int rows, int columns) {
      try {
        model->run(info_, from, to, rows, columns);
      } catch (const std::exception& error) {
        throw BackendError("OpenVINO failed on " + detail::size_text(rows, columns) + ": " + detail::last_line(error.what()));
      }
    };
    detail::run_any_size(whole, info_, image, out, height, width);
  }

 private:
  static ArtifactInfo read_checked(const std::string& path) {
    const auto dot = path.rfind('.');
    const std::string suffix = dot == std::string::npos ? "" : path.substr(dot);
    if (suffix == ".plan") {
      throw ArtifactError(path + " is a plan, and the native implementation runs .onnx files; use the embedded one, or "
                          "TensorRT itself as examples/cpp/tensorrt_plan.cpp does");
    }
    if (suffix != ".onnx") throw ArtifactError("'" + path + "' is not the path of an .onnx file");
    if (!std::ifstream(path)) {
      const auto slash = path.find_last_of("/\\");
      std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
      name = name.substr(0, name.rfind('.'));
      if (name.size() > 5 && name.substr(name.size() - 5) == "_fp16") name.resize(name.size() - 5);
      throw ArtifactError(path + " does not exist; make it with: retinexrt export " + name);
    }
    ArtifactInfo info = read_onnx_info(path);
    if (!info.image_io()) {
      throw ArtifactError(path + " takes " + info.input.dtype + " tensors, not pictures; export it again without --tensor-io");
    }
    return info;
  }

  std::shared_ptr<detail::OpenVinoModel> model() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!model_) throw ClosedError("the enhancer is closed");
    return model_;
  }

  mutable std::mutex mutex_;
  std::shared_ptr<detail::OpenVinoModel> model_;
};

}  // namespace retinexrt
