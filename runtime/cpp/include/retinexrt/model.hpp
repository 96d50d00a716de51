// One graph, opened by the library that runs it: what retinexrt::native_openvino and retinexrt::native_onnxruntime have in
// common.
#pragma once

#include <cstdint>

namespace retinexrt::detail {

class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  // Enhance one contiguous RGB picture into another that does not overlap it; from many threads at once.
  virtual void run(const std::uint8_t* image, std::uint8_t* out, int height, int width) = 0;
};

}  // namespace retinexrt::detail
