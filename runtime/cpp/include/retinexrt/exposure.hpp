// How much of the enhancement a picture gets, as runtime/exposure.py computes it: the same arithmetic, the same bytes. It says
// why.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "error.hpp"
#include "image.hpp"

namespace retinexrt::detail {

// Up to the first exposure the gate is open, from the second on it is shut.
constexpr double gate_open = 21.0;
constexpr double gate_shut = 73.0;

// About how many pixels the exposure is measured on.
constexpr int exposure_samples = 16384;

inline void check_strength(double strength) {
  if (!(strength >= 0.0 && strength <= 1.0)) {
    throw InputError("strength lies between 0 and 1, found " + std::to_string(strength));
  }
}

// Luma of a pixel, as OpenCV rounds it.
inline unsigned luma(const std::uint8_t* rgb) { return (rgb[0] * 9798U + rgb[1] * 19235U + rgb[2] * 3735U + 16384U) >> 15U; }

// Exposure of a contiguous RGB picture in [0, 255]: the geometric mean of luma + 1, less 1, on a regular subsample.
inline double exposure(const std::uint8_t* image, int height, int width) {
  const std::int64_t ratio = std::int64_t(height) * width / exposure_samples;
  const int step = std::max(1, int(std::sqrt(double(ratio))));
  std::array<std::int64_t, 256> histogram{};
  std::int64_t pixels = 0;
  for (int y = step / 2; y < height; y += step) {
    const std::uint8_t* const row = image + row_bytes(width) * std::size_t(y);
    for (int x = step / 2; x < width; x += step, ++pixels) ++histogram[luma(row + row_bytes(x))];
  }
  double sum = 0;
  for (std::size_t code = 0; code < 256; ++code) sum += double(histogram[code]) * std::log1p(double(code));
  return std::expm1(sum / double(pixels));
}

// Share of the strength, in [0, 1], that a picture of this exposure gets: a smooth step.
inline double gate(double level) {
  const double position = std::clamp((level - gate_open) / (gate_shut - gate_open), 0.0, 1.0);
  return 1.0 - position * position * (3.0 - 2.0 * position);
}

// Weaken `enhanced` in place: `source` at strength 0, unchanged at 1. `geometric`: the network has an illumination.
inline void blend(const std::uint8_t* source, std::uint8_t* enhanced, std::size_t bytes, double strength, bool geometric) {
  if (strength >= 1.0) return;
  if (strength <= 0.0) {
    std::copy_n(source, bytes, enhanced);
    return;
  }
  std::array<float, 256> below{}, above{};
  for (std::size_t code = 0; code < 256; ++code) {
    const double value = double(code);
    below[code] = float(geometric ? std::pow(value + 1, 1 - strength) : value * (1 - strength));
    above[code] = float(geometric ? std::pow(value + 1, strength) : value * strength);
  }
  for (std::size_t i = 0; i < bytes; ++i) {
    const double one = below[source[i]], other = above[enhanced[i]];
    // Rounded to a float before one is taken off: not a fused multiplication.
    const float mixed = geometric ? float(one * other) - 1.0F : float(one + other);
    enhanced[i] = std::uint8_t(std::clamp(std::nearbyint(std::abs(mixed)), 0.0F, 255.0F));
  }
}

}  // namespace retinexrt::detail
