// Runs an .onnx file on the CPU through OpenVINO, as runtime/backends/ov.py does: the same hints, the same bytes.
#pragma once

#include <openvino/core/version.hpp>
#include <openvino/runtime/compiled_model.hpp>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/infer_request.hpp>
#include <openvino/runtime/properties.hpp>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "artifact.hpp"
#include "error.hpp"
#include "image.hpp"
#include "model.hpp"

namespace retinexrt::detail {

class OpenVinoModel final : public Model {
 public:
  OpenVinoModel(const std::string& path, const ArtifactInfo& info, int threads)
      : input_(info.input.name), output_(info.output.name), model_(compile(path, threads)) {}

  // The headers that this was compiled with and the library that is loaded must be of one release.
  static void check_version() {
    const std::string compiled = std::to_string(OPENVINO_VERSION_MAJOR) + "." + std::to_string(OPENVINO_VERSION_MINOR) + ".";
    const std::string loaded = ov::get_openvino_version().buildNumber;
    if (loaded.compare(0, compiled.size(), compiled) != 0) {
      throw BackendUnavailableError("compiled with OpenVINO " + compiled + "x, but " + loaded +
                                    " is loaded; compile again, or put the folder of the first in front of LD_LIBRARY_PATH");
    }
  }

  void run(const std::uint8_t* image, std::uint8_t* out, int height, int width) override {
    try {
      infer(image, out, {1, std::size_t(height), std::size_t(width), 3});
    } catch (const std::exception& error) {
      throw BackendError("OpenVINO failed on " + size_text(height, width) + ": " + last_line(error.what()));
    }
  }

 private:
  static ov::CompiledModel compile(const std::string& path, int threads) {
    try {
      // 32 bits also on CPUs whose default is bfloat16, one picture at a time on all cores.
      ov::AnyMap hints{ov::hint::inference_precision(ov::element::f32),
                       ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
      if (threads > 0) hints.insert(ov::inference_num_threads(threads));
      return core().compile_model(path, "CPU", hints);
    } catch (const std::exception& error) {
      throw ArtifactError("OpenVINO cannot load " + path + ": " + last_line(error.what()));
    }
  }

  // One for the process: it holds the plugins.
  static ov::Core& core() {
    static ov::Core shared;
    return shared;
  }

  void infer(const std::uint8_t* image, std::uint8_t* out, const ov::Shape& shape) {
    ov::InferRequest request = take();
    // OpenVINO has no type for memory that is only read.
    request.set_tensor(input_, ov::Tensor(ov::element::u8, shape, const_cast<std::uint8_t*>(image)));
    request.set_tensor(output_, ov::Tensor(ov::element::u8, shape, out));
    request.infer();
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(request));  // not reached by a request that failed
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

  std::string input_, output_;
  ov::CompiledModel model_;
  std::mutex mutex_;
  std::vector<ov::InferRequest> idle_;  // those that no thread is using just now
};

}  // namespace retinexrt::detail
