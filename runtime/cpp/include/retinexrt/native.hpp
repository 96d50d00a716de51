// Without Python: an exported .onnx on the CPU, through OpenVINO or ONNX Runtime. The targets retinexrt::native_openvino and
// retinexrt::native_onnxruntime say which of them there are; where both are linked, Options::backend chooses.
#pragma once

#ifdef RETINEXRT_NATIVE_OPENVINO
#include "native_openvino.hpp"
#endif
#ifdef RETINEXRT_NATIVE_ONNXRUNTIME
#include "native_onnxruntime.hpp"
#endif
#if !defined(RETINEXRT_NATIVE_OPENVINO) && !defined(RETINEXRT_NATIVE_ONNXRUNTIME)
#error "link retinexrt::native_openvino or retinexrt::native_onnxruntime"
#endif

#include <algorithm>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "enhancer.hpp"
#include "file.hpp"
#include "model.hpp"
#include "onnx_file.hpp"
#include "onnx_parts.hpp"
#include "tiling.hpp"

namespace retinexrt {

// Parts of one application may be compiled with different engines: what they compile differently has different names.
#if defined(RETINEXRT_NATIVE_OPENVINO) && defined(RETINEXRT_NATIVE_ONNXRUNTIME)
inline namespace native_both {
#elif defined(RETINEXRT_NATIVE_OPENVINO)
inline namespace native_openvino {
#else
inline namespace native_onnxruntime {
#endif

// The native backends of this program.
inline std::vector<std::string> native_backends() {
  return {
#ifdef RETINEXRT_NATIVE_OPENVINO
      "openvino",
#endif
#ifdef RETINEXRT_NATIVE_ONNXRUNTIME
      "onnxruntime",
#endif
  };
}

class NativeEnhancer final : public Enhancer {
 public:
  // `path` is an .onnx file that retinexrt exported.
  explicit NativeEnhancer(const std::string& path, const Options& options = {}) : path_(path) {
    check_options(options);
    info_ = read_checked(path);
    backend_ = choose(options, info_);
    device_ = "cpu";
#ifdef RETINEXRT_NATIVE_OPENVINO
    if (backend_ == "openvino") model_ = open<detail::OpenVinoModel>(path, options);
#endif
#ifdef RETINEXRT_NATIVE_ONNXRUNTIME
    if (backend_ == "onnxruntime") model_ = open<detail::OnnxRuntimeModel>(path, options);
#endif
  }

  ~NativeEnhancer() override { NativeEnhancer::close(); }

  void enhance_device(const void*, void*, const DeviceShape&, void*) override {
    check_open();
    throw InputError("the backend " + backend_ + " runs on the CPU and takes no GPU memory");
  }

  void close() noexcept override {
    std::shared_ptr<detail::Model> last;  // freed outside of the lock, or by the last call in progress
    std::shared_ptr<detail::PartsModel> parts;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      last.swap(model_);
      parts.swap(parts_);
    }
  }

 protected:
  void check_open() const override { model(); }

  void run(const detail::Pair& picture, const Progress& progress) override {
    const auto model = this->model();
    check_batch();
    const auto whole = [&](const detail::Pair& one) { model->run(one.image, one.out, one.height, one.width); };
    detail::run_any_size(whole, [&] { return open_parts(*model); }, info_, picture, progress);
  }

 private:
  static void check_options(const Options& options) {
    const auto known = native_backends();
    if (options.backend != "auto" && std::find(known.begin(), known.end(), options.backend) == known.end()) {
      throw BackendUnavailableError("the native implementation here has " + detail::joined(known) + ", found '" +
                                    options.backend + "'; the embedded one has every backend of Python");
    }
    if (options.threads < 0) {
      throw InputError("threads is at least 1, or 0 for the backend's choice, found " + std::to_string(options.threads));
    }
    if (!options.precision.empty() && options.precision != "fp32" && options.precision != "bf16") {
      throw InputError("precision is \"fp32\" or \"bf16\", found '" + options.precision + "'");
    }
    if (options.device < 0) {
      throw InputError("device is the number of a GPU, from 0 up, found " + std::to_string(options.device));
    }
  }

  // As Python chooses: OpenVINO is ahead on convolutions, and behind on networks that have none.
  static std::string choose(const Options& options, const ArtifactInfo& info) {
    auto found = native_backends();
    if (options.backend != "auto") found = {options.backend};
    // ONNX Runtime computes in the artifact's precision.
    if (!options.precision.empty()) found.erase(std::remove(found.begin(), found.end(), "onnxruntime"), found.end());
    if (found.empty()) {
      throw BackendUnavailableError("onnxruntime computes in the artifact's precision, and takes no other; leave precision empty");
    }
    return info.has_weights ? found.front() : found.back();
  }

  template <class Opened>
  std::shared_ptr<detail::Model> open(const std::string& path, const Options& options) const {
    Opened::check_version();
    return std::make_shared<Opened>(path, info_, options);
  }

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

  // A graph may have been exported for batches of one size, and this is one picture.
  void check_batch() const {
    const auto& sizes = info_.input.shape;
    if (sizes[0].value_or(1) == 1) return;
    std::string low, high;
    for (std::size_t i = 0; i < 3; ++i) {
      const int least = i == 0 ? 1 : detail::minimum_size;
      low += (i == 0 ? "" : "x") + std::to_string(sizes[i].value_or(least));
      high += (i == 0 ? "" : "x") + (sizes[i] ? std::to_string(*sizes[i]) : "any");
    }
    throw InputError("a batch of 1 is outside of " + low + " to " + high + " (NxHxW)");
  }

  std::shared_ptr<detail::Model> model() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!model_) throw ClosedError("the enhancer is closed");
    return model_;
  }

  // The two halves of the file, cut when the first large picture comes.
  std::shared_ptr<detail::PartsModel> open_parts(const detail::Model& model) {
    const std::lock_guard<std::mutex> opening(opening_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (parts_) return parts_;
    }
    const std::vector<char> bytes = detail::read_bytes(path_);
    const std::string_view content(bytes.data(), bytes.size());
    if (detail::info_of(detail::protobuf::of_bytes(content), content.size(), path_).json != info_.json) {
      throw ArtifactError(path_ + " is another file than the one that was opened; open it again");
    }
    const std::shared_ptr<detail::PartsModel> made = model.open_parts(detail::cut(content, info_));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (model_) parts_ = made;  // not after close()
    return made;
  }

  std::string path_;
  std::mutex opening_;  // held while the halves are opened; mutex_ guards what follows it
  mutable std::mutex mutex_;
  std::shared_ptr<detail::Model> model_;
  std::shared_ptr<detail::PartsModel> parts_;
};

}  // inline namespace
}  // namespace retinexrt
