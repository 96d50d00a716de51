// What the imitated headers declare. IMITATED_FAILURE names the call that fails: malloc, context or enqueue.
#include <NvInferRuntime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {

bool fails(const char* call) {
  const char* wanted = std::getenv("IMITATED_FAILURE");
  return wanted != nullptr && std::strcmp(wanted, call) == 0;
}

}  // namespace

extern "C" {

const char* cudaGetErrorString(cudaError_t status) { return status == cudaSuccess ? "no error" : "out of memory"; }

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? 8 : 9;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (fails("malloc")) return cudaErrorMemoryAllocation;
  *memory = std::malloc(bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = nullptr;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

std::int32_t getInferLibMajorVersion() noexcept { return 11; }
std::int32_t getInferLibMinorVersion() noexcept { return 4; }
std::int32_t getInferLibPatchVersion() noexcept { return 0; }
std::int32_t getInferLibBuildVersion() noexcept { return 106; }
}

namespace nvinfer1 {

IRuntime* createInferRuntime(ILogger& logger) noexcept {
  logger.log(ILogger::Severity::kINFO, "this is not printed");
  return new IRuntime;
}

ICudaEngine* IRuntime::deserializeCudaEngine(const void* bytes, std::size_t size) noexcept {
  const std::string text(static_cast<const char*>(bytes), size), head = "imitated ";
  return text.compare(0, head.size(), head) == 0 ? new ICudaEngine(text.substr(head.size())) : nullptr;
}

IExecutionContext* ICudaEngine::createExecutionContext() noexcept {
  return fails("context") ? nullptr : new IExecutionContext;
}

bool IExecutionContext::setInputShape(const char* name, const Dims& shape) noexcept {
  bytes_ = std::size_t(shape.d[0] * shape.d[1] * shape.d[2] * shape.d[3]);
  return shape.nbDims == 4 && std::strcmp(name, "image") == 0;
}

bool IExecutionContext::setTensorAddress(const char* name, void* memory) noexcept {
  (std::strcmp(name, "image") == 0 ? image_ : out_) = static_cast<unsigned char*>(memory);
  return true;
}

bool IExecutionContext::enqueueV3(cudaStream_t) noexcept {
  if (fails("enqueue") || image_ == nullptr || out_ == nullptr) return false;
  for (std::size_t i = 0; i < bytes_; ++i) out_[i] = static_cast<unsigned char>(std::min(255, image_[i] * 2));
  return true;
}

}  // namespace nvinfer1
