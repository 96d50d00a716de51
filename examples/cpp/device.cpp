// A GPU application that keeps its frames on the GPU: device ARTIFACT INPUT.ppm OUTPUT.ppm [FRAMES]
// ARTIFACT is a plan, or an .onnx file for ONNX Runtime's CUDA provider. The memory, the stream and the CUDA context are the
// application's: the enhancement is enqueued between its own copies, and nothing goes through the host.
#include <cuda_runtime_api.h>
#include <retinexrt/retinexrt.hpp>

#include <iostream>
#include <memory>

#include "ppm.hpp"

namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw retinexrt::BackendError(std::string(what) + ": " + cudaGetErrorString(status));
}

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
  Stream() { check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "stream"); }
  ~Stream() { cudaStreamDestroy(handle); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::cerr << "usage: " << argv[0] << " ARTIFACT INPUT.ppm OUTPUT.ppm [FRAMES]\n";
    return 2;
  }
  try {
    const int frames = argc == 5 ? std::stoi(argv[4]) : 1;
    const retinexrt::Image image = ppm::read(argv[2]);
    retinexrt::Image out(image.height(), image.width());
    check(cudaSetDevice(0), "no GPU");
    // What an application has anyway: a stream, and frames in GPU memory.
    const Stream stream;
    const DeviceMemory source = allocate(image.size()), target = allocate(image.size());
    const auto enhancer = retinexrt::open(argv[1]);
    const retinexrt::DeviceShape shape{1, image.height(), image.width()};
    check(cudaMemcpyAsync(source.get(), image.data(), image.size(), cudaMemcpyHostToDevice, stream.handle), "upload");
    for (int i = 0; i < frames; ++i) enhancer->enhance_device(source.get(), target.get(), shape, stream.handle);
    check(cudaMemcpyAsync(out.data(), target.get(), image.size(), cudaMemcpyDeviceToHost, stream.handle), "download");
    check(cudaStreamSynchronize(stream.handle), "enhance");
    ppm::write(argv[3], out);
    std::cout << frames << " frames on " << enhancer->backend() << ", " << enhancer->device() << "\n";
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return 0;
}
