// Runs an .onnx file on the CPU through OpenVINO, as runtime/backends/openvino_cpu.py does: the same hints and models, the
// same bytes.
#pragma once

#include <openvino/core/model.hpp>
#include <openvino/core/version.hpp>
#include <openvino/runtime/compiled_model.hpp>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/infer_request.hpp>
#include <openvino/runtime/properties.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "artifact.hpp"
#include "error.hpp"
#include "image.hpp"
#include "model.hpp"
#include "options.hpp"

namespace retinexrt::detail {

// Models of one shape are kept for so many pixels together: each holds its working memory.
constexpr std::size_t kept_pixels = 1U << 20U;
// Runs in a row of one shape before it gets a model of its own.
constexpr int patience = 2;

// A model compiled for one shape or for all, and the requests that no thread is using just now.
class CompiledOpenVino {
 public:
  explicit CompiledOpenVino(ov::CompiledModel model) : model_(std::move(model)) {}

  void run(const std::string& input, const std::string& output, const ov::Tensor& image, const ov::Tensor& out) {
    run({{input, image}, {output, out}}, [](ov::InferRequest&) {});
  }

  // Run on tensors by name; `use(request)` gets at what was made.
  template <class Use>
  void run(const std::vector<std::pair<std::string, ov::Tensor>>& tensors, const Use& use) {
    ov::InferRequest request = take();
    for (const auto& [name, tensor] : tensors) request.set_tensor(name, tensor);
    request.infer();
    use(request);
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(request));  // not reached by a request that failed
  }

 private:
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

// OpenVINO has no type for memory that is only read.
inline ov::Tensor picture_tensor(const std::uint8_t* data, int height, int width) {
  return {ov::element::u8, ov::Shape{1, std::size_t(height), std::size_t(width), 3}, const_cast<std::uint8_t*>(data)};
}

inline ov::Tensor map_tensor(const Map& map) {
  return {ov::element::f32, ov::Shape{1, map.planes, map.height, map.width}, const_cast<float*>(map.values.data())};
}

inline Map to_map(const ov::Tensor& tensor) {
  const ov::Shape shape = tensor.get_shape();
  if (tensor.get_element_type() != ov::element::f32 || shape.size() != 4 || shape[0] != 1) {
    throw std::runtime_error("the light of a picture is no map of float32");
  }
  const auto* const first = tensor.data<float>();
  return {shape[1], shape[2], shape[3], {first, first + tensor.get_size()}};
}

// The halves of an artifact, each compiled for all shapes.
class OpenVinoParts final : public PartsModel {
 public:
  OpenVinoParts(const ArtifactInfo& info, ov::CompiledModel decide, ov::CompiledModel render)
      : names_(*info.parts),
        image_(info.input.name),
        output_(info.output.name),
        decide_(std::move(decide)),
        render_(std::move(render)) {}

  std::vector<Map> decide(const Map& overview) override {
    try {
      std::vector<Map> light;
      decide_.run({{names_.overview, map_tensor(overview)}}, [&](ov::InferRequest& request) {
        for (const auto& name : names_.light) light.push_back(to_map(request.get_tensor(name)));
      });
      return light;
    } catch (const std::exception& error) {
      throw BackendError("OpenVINO failed on the overview of a picture: " + last_line(error.what()));
    }
  }

  void render(const std::uint8_t* image, std::uint8_t* out, int height, int width, std::int64_t side,
              const std::vector<Map>& light) override {
    try {
      std::vector<std::pair<std::string, ov::Tensor>> tensors{{image_, picture_tensor(image, height, width)},
                                                              {names_.side, {ov::element::i64, ov::Shape{1}, &side}},
                                                              {output_, picture_tensor(out, height, width)}};
      for (std::size_t i = 0; i < light.size(); ++i) tensors.emplace_back(names_.light[i], map_tensor(light[i]));
      render_.run(tensors, [](ov::InferRequest&) {});
    } catch (const std::exception& error) {
      throw BackendError("OpenVINO failed on a part of " + size_text(height, width) + ": " + last_line(error.what()));
    }
  }

 private:
  PartsInfo names_;
  std::string image_, output_;
  CompiledOpenVino decide_, render_;
};

// Which model runs a shape is decided as in Python: in FP32 one for all shapes until the same shape keeps coming, which then
// gets a faster one of its own; with logarithms, whose last bit would differ, and in bfloat16, where much would, one of its own
// at once.
class OpenVinoModel final : public Model {
 public:
  OpenVinoModel(const std::string& path, const ArtifactInfo& info, const Options& options) : path_(path), info_(info) {
    try {
      model_ = core().read_model(path);
      const bool bf16 = choose_bf16(options.precision, info);
      // Said, because the default of CPUs that have it is bfloat16; and one picture at a time on all cores.
      hints_ = {ov::hint::inference_precision(bf16 ? ov::element::bf16 : ov::element::f32),
                ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
      if (options.threads > 0) hints_.insert(ov::inference_num_threads(options.threads));
      patience_ = bf16 || has_logarithm() ? 0 : patience;
      const auto& sizes = info.input.shape;
      if (std::all_of(sizes.begin(), sizes.end(), [](const auto& size) { return size.has_value(); })) {
        patience_ = std::numeric_limits<int>::max();
      }
      if (patience_ > 0) any_ = compile(nullptr);
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      throw_refused(error);
    }
  }

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
      const ov::Tensor source = picture_tensor(image, height, width), target = picture_tensor(out, height, width);
      model_for(source.get_shape())->run(info_.input.name, info_.output.name, source, target);
    } catch (const std::exception& error) {
      throw BackendError("OpenVINO failed on " + size_text(height, width) + ": " + last_line(error.what()));
    }
  }

  std::unique_ptr<PartsModel> open_parts(const Halves& halves) const override {
    const auto compiled = [&](const std::string& half) {
      return core().compile_model(core().read_model(half, ov::Tensor()), "CPU", hints_);
    };
    try {
      return std::make_unique<OpenVinoParts>(info_, compiled(halves.decide), compiled(halves.render));
    } catch (const std::exception& error) {
      throw_refused(error);
    }
  }

 private:
  [[noreturn]] void throw_refused(const std::exception& error) const {
    throw ArtifactError("OpenVINO cannot load " + path_ + ": " + last_line(error.what()));
  }

  using Shared = std::shared_ptr<CompiledOpenVino>;

  static std::size_t pixels(const ov::Shape& shape) { return shape[1] * shape[2]; }

  // One for the process: it holds the plugins.
  static ov::Core& core() {
    static ov::Core shared;
    return shared;
  }

  static bool choose_bf16(const std::string& wanted, const ArtifactInfo& info) {
    if ((wanted.empty() ? info.cpu_precision : wanted) != "bf16") return false;
    const auto found = core().get_property("CPU", ov::device::capabilities);
    if (std::find(found.begin(), found.end(), ov::device::capability::BF16) != found.end()) return true;
    if (wanted.empty()) return false;
    throw BackendUnavailableError("this CPU has no bfloat16 arithmetic; leave precision empty");
  }

  bool has_logarithm() const {
    const auto nodes = model_->get_ops();
    return std::any_of(nodes.begin(), nodes.end(), [](const auto& node) { return node->get_type_name() == std::string("Log"); });
  }

  // For all shapes, or for one.
  Shared compile(const ov::Shape* shape) const {
    std::shared_ptr<ov::Model> model = model_;
    if (shape != nullptr) {
      model = model_->clone();
      model->reshape(ov::PartialShape(*shape));
    }
    return std::make_shared<CompiledOpenVino>(core().compile_model(model, "CPU", hints_));
  }

  Shared model_for(const ov::Shape& shape) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      in_a_row_ = shape == recent_ ? std::min(in_a_row_ + 1, patience + 1) : 1;
      recent_ = shape;
      if (Shared known = find(shape)) return known;
      if (any_ && (in_a_row_ <= patience_ || pixels(shape) > kept_pixels)) return any_;
    }
    // Compiling takes a while. What has a model runs on meanwhile, and so does all else where there is one for all.
    std::unique_lock<std::mutex> compiling(compiling_, std::defer_lock);
    if (!any_) {
      compiling.lock();
    } else if (!compiling.try_lock()) {
      return any_;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (Shared known = find(shape)) return known;  // made by a thread that was here before
    }
    Shared made = compile(&shape);
    const std::lock_guard<std::mutex> lock(mutex_);
    keep(shape, made);
    return made;
  }

  // The model of that shape, from now on the latest used; empty if it has none.
  Shared find(const ov::Shape& shape) {
    for (auto found = fixed_.begin(); found != fixed_.end(); ++found) {
      if (found->first != shape) continue;
      std::rotate(found, found + 1, fixed_.end());  // the latest is the last
      return fixed_.back().second;
    }
    return nullptr;
  }

  void keep(const ov::Shape& shape, const Shared& made) {
    fixed_.emplace_back(shape, made);
    std::size_t kept = 0;
    for (const auto& [one, unused] : fixed_) kept += pixels(one);
    while (fixed_.size() > 1 && kept > kept_pixels) {
      kept -= pixels(fixed_.front().first);
      fixed_.erase(fixed_.begin());
    }
  }

  std::string path_;
  ArtifactInfo info_;
  std::shared_ptr<ov::Model> model_;
  ov::AnyMap hints_;
  int patience_ = 0;
  Shared any_;
  std::mutex compiling_;  // held while a model is made; mutex_ guards what follows it
  std::mutex mutex_;
  ov::Shape recent_;
  int in_a_row_ = 0;
  std::vector<std::pair<ov::Shape, Shared>> fixed_;
};

}  // namespace retinexrt::detail
