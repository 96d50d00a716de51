// Runs a plan with TensorRT alone: tensorrt_plan FILE.plan INPUT.ppm OUTPUT.ppm
// Needs TensorRT or TensorRT-RTX (NvInferRuntime.h) and the CUDA runtime. The manifest beside the plan is checked before
// TensorRT sees a byte of it. Compiled with RETINEXRT_LEAN and linked with libnvinfer_lean it runs plans that were built with
// --version-compatible, on a library of 100 MB that has no builder.
#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>
#include <retinexrt/manifest.hpp>

#include <iostream>
#include <memory>

#include "ppm.hpp"

extern "C" {
std::int32_t getInferLibMajorVersion() noexcept;
std::int32_t getInferLibMinorVersion() noexcept;
std::int32_t getInferLibPatchVersion() noexcept;
std::int32_t getInferLibBuildVersion() noexcept;
}

namespace {

using retinexrt::BackendError;

#ifdef TRT_MAJOR_RTX
const char* const flavour = "tensorrt_rtx";
#else
const char* const flavour = "tensorrt";
#endif

#ifdef RETINEXRT_LEAN
const bool lean = true;
#else
const bool lean = false;
#endif

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw BackendError(std::string(what) + ": " + cudaGetErrorString(status));
}

class Log : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const nvinfer1::AsciiChar* text) noexcept override {
    if (severity <= Severity::kWARNING) std::cerr << text << '\n';
  }
};

// Of the library that is loaded, not of the headers.
std::string loaded_version() {
  return std::to_string(getInferLibMajorVersion()) + "." + std::to_string(getInferLibMinorVersion()) + "." +
         std::to_string(getInferLibPatchVersion()) + "." + std::to_string(getInferLibBuildVersion());
}

std::string compute_capability() {
  int device = 0, major = 0, minor = 0;
  check(cudaGetDevice(&device), "no GPU");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "compute capability");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "compute capability");
  return std::to_string(major) + "." + std::to_string(minor);
}

// A plan on the current CUDA device. One call at a time: a context is not for several threads.
class PlanRunner {
 public:
  explicit PlanRunner(const std::string& path) {
    const retinexrt::Plan plan = retinexrt::read_plan(path);
    info_ = plan.info;
    // It also asks for a GPU: without one the lean runtime ends the process below.
    retinexrt::check_plan(plan, flavour, loaded_version(), compute_capability(), lean);
    if (!info_.image_io()) throw retinexrt::ArtifactError(path + " takes tensors, not pictures");
    runtime_.reset(nvinfer1::createInferRuntime(log_));
    if (runtime_) engine_.reset(runtime_->deserializeCudaEngine(plan.bytes.data(), plan.bytes.size()));
    if (!engine_) throw BackendError("TensorRT refuses " + path);
    if (!info_.plan->digest.empty() && info_.plan->digest != engine_->getName()) {
      throw retinexrt::ManifestError(path + " and its manifest were not built together");
    }
    context_.reset(engine_->createExecutionContext());
    if (!context_) throw BackendError("TensorRT creates no context; is there enough GPU memory?");
  }

  const retinexrt::ArtifactInfo& info() const { return info_; }

  // Enqueue the enhancement of one picture, uint8 H x W x 3 RGB, from GPU memory into GPU memory. Both addresses are
  // multiples of 256, as TensorRT asks and cudaMalloc gives.
  void enqueue(void* image, void* out, int height, int width, cudaStream_t stream) {
    const retinexrt::Profile& profile = info_.plan->profile;
    nvinfer1::Dims shape{};
    shape.nbDims = 4;
    const int sizes[4] = {1, height, width, 3};
    for (std::size_t i = 0; i < 4; ++i) {
      if (sizes[i] < profile.smallest.at(i) || sizes[i] > profile.largest.at(i)) {
        throw retinexrt::InputError("a picture of " + std::to_string(height) + "x" + std::to_string(width) +
                                    " (HxW) is outside of the plan's profile");
      }
      shape.d[i] = sizes[i];
    }
    if (!context_->setInputShape(info_.input.name.c_str(), shape) ||
        !context_->setTensorAddress(info_.input.name.c_str(), image) ||
        !context_->setTensorAddress(info_.output.name.c_str(), out) || !context_->enqueueV3(stream)) {
      throw BackendError("TensorRT does not run the picture");
    }
  }

 private:
  Log log_;
  retinexrt::ArtifactInfo info_;
  // Freed in the reverse order.
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
};

struct Free {
  void operator()(void* memory) const { cudaFree(memory); }
};
using DeviceMemory = std::unique_ptr<void, Free>;

DeviceMemory allocate(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "GPU memory");
  return DeviceMemory(memory);
}

struct Stream {
  cudaStream_t handle = nullptr;
  Stream() { check(cudaStreamCreate(&handle), "stream"); }
  ~Stream() { cudaStreamDestroy(handle); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

retinexrt::Image enhance(PlanRunner& runner, const retinexrt::Image& image) {
  const Stream stream;
  const DeviceMemory source = allocate(image.size()), target = allocate(image.size());
  retinexrt::Image out(image.height(), image.width());
  check(cudaMemcpyAsync(source.get(), image.data(), image.size(), cudaMemcpyHostToDevice, stream.handle), "upload");
  runner.enqueue(source.get(), target.get(), image.height(), image.width(), stream.handle);
  check(cudaMemcpyAsync(out.data(), target.get(), image.size(), cudaMemcpyDeviceToHost, stream.handle), "download");
  check(cudaStreamSynchronize(stream.handle), "enhance");
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: " << argv[0] << " FILE.plan INPUT.ppm OUTPUT.ppm\n";
    return 2;
  }
  try {
    PlanRunner runner(argv[1]);
    ppm::write(argv[3], enhance(runner, ppm::read(argv[2])));
    std::cout << runner.info().title << " on " << flavour << (lean ? " (lean) " : " ") << loaded_version() << '\n';
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return 0;
}
