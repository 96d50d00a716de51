// One graph, opened by the library that runs it: what retinexrt::native_openvino and retinexrt::native_onnxruntime have in
// common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "onnx_parts.hpp"

namespace retinexrt::detail {

// A map: planes of height x width values, one after the other.
struct Map {
  std::size_t planes = 0, height = 0, width = 0;
  std::vector<float> values;
};

// The two halves of an artifact: large pictures are decided on as a whole and enhanced in parts. From many threads at once.
class PartsModel {
 public:
  PartsModel() = default;
  PartsModel(const PartsModel&) = delete;
  PartsModel& operator=(const PartsModel&) = delete;
  virtual ~PartsModel() = default;

  // The light of a picture, from its overview.
  virtual std::vector<Map> decide(const Map& overview) = 0;

  // Enhance a part, whose squares of `side` pixels have this light.
  virtual void render(const std::uint8_t* image, std::uint8_t* out, int height, int width, std::int64_t side,
                      const std::vector<Map>& light) = 0;
};

class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  // Enhance one contiguous RGB picture into another that does not overlap it; from many threads at once.
  virtual void run(const std::uint8_t* image, std::uint8_t* out, int height, int width) = 0;

  // Open the two halves of the same file, as this was opened.
  virtual std::unique_ptr<PartsModel> open_parts(const Halves& halves) const = 0;
};

}  // namespace retinexrt::detail
