// The part of TensorRT's runtime that tensorrt_plan.cpp calls. A plan here is the text "imitated NAME", and doubles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda_runtime_api.h"

namespace nvinfer1 {

using AsciiChar = char;

struct Dims {
  std::int32_t nbDims;
  std::int64_t d[8];
};

class ILogger {
 public:
  enum class Severity : std::int32_t { kINTERNAL_ERROR = 0, kERROR = 1, kWARNING = 2, kINFO = 3, kVERBOSE = 4 };
  virtual void log(Severity severity, const AsciiChar* text) noexcept = 0;
  virtual ~ILogger() = default;
};

class IExecutionContext {
 public:
  bool setInputShape(const char* name, const Dims& shape) noexcept;
  bool setTensorAddress(const char* name, void* memory) noexcept;
  bool enqueueV3(cudaStream_t stream) noexcept;

 private:
  std::size_t bytes_ = 0;
  unsigned char* image_ = nullptr;
  unsigned char* out_ = nullptr;
};

class ICudaEngine {
 public:
  explicit ICudaEngine(std::string name) : name_(std::move(name)) {}
  const char* getName() const noexcept { return name_.c_str(); }
  IExecutionContext* createExecutionContext() noexcept;

 private:
  std::string name_;
};

class IRuntime {
 public:
  ICudaEngine* deserializeCudaEngine(const void* bytes, std::size_t size) noexcept;
};

IRuntime* createInferRuntime(ILogger& logger) noexcept;

}  // namespace nvinfer1
