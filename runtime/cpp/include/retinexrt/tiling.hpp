// Cuts a large picture into tiles where the network allows it, as runtime/tiling.py does: the same tiles, the same bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "artifact.hpp"
#include "error.hpp"
#include "image.hpp"

namespace retinexrt::detail {

// Pictures of more pixels than this are cut: nothing else bounds the memory on a CPU.
constexpr std::int64_t whole_pixels = 1088 * 1920;
constexpr std::int64_t whole_pixels_light = 16 * 1088 * 1920;  // of a network without weights

// A tile along one axis: [start, stop) goes in, [core_start, core_stop) is kept.
struct Span {
  int start, stop, core_start, core_stop;
  int size() const { return stop - start; }
};

inline int round_up(int size, int multiple) { return (size + multiple - 1) / multiple * multiple; }

// Cut `size` pixels into overlapping tiles with `halo` pixels of context, each between `smallest` and `largest` long.
inline std::vector<Span> spans(int size, int halo, int multiple, int smallest, std::optional<int> largest) {
  constexpr int least_core = 512, contexts = 8;
  const int context = round_up(halo, multiple);
  int core = std::max(least_core, contexts * context);
  if (largest) core = std::min(core, *largest - 2 * context);
  core = core / multiple * multiple;
  if (core <= 0) {
    throw InputError("tiles of at most " + std::to_string(*largest) + " pixels leave nothing beside a context of " +
                     std::to_string(context) + " to each side");
  }
  const int count = (size + core - 1) / core;
  core = round_up((size + count - 1) / count, multiple);
  std::vector<Span> result;
  for (int begin = 0; begin < size; begin += core) {
    const int end = std::min(begin + core, size);
    int start = std::max(0, begin - context), stop = std::min(size, end + context);
    if (stop - start < smallest) {
      stop = std::min(size, round_up(start + smallest, multiple));
      start = std::min(start, std::max(0, stop - smallest) / multiple * multiple);
    }
    if (stop - start < smallest || (largest && stop - start > *largest)) {
      throw InputError(std::to_string(size) + " pixels cannot be cut into tiles of " + std::to_string(smallest) + " to " +
                       (largest ? std::to_string(*largest) : "any") + " (multiple " + std::to_string(multiple) + ")");
    }
    result.push_back({start, stop, begin, end});
  }
  return result;
}

// Enhances a contiguous RGB picture into another.
using Run = std::function<void(const std::uint8_t*, std::uint8_t*, int height, int width)>;

inline void run_tiles(const Run& run, const ArtifactInfo& info, const std::uint8_t* image, std::uint8_t* out, int height,
                      int width) {
  const auto cut = [&](int size, std::size_t axis) {
    const std::optional<int> fixed = info.input.shape[axis];
    return spans(size, *info.halo, info.multiple, fixed.value_or(minimum_size), fixed);
  };
  std::vector<std::uint8_t> tile, enhanced;
  const auto columns = cut(width, 2);
  std::vector<std::pair<Span, Span>> tiles;
  for (const Span& y : cut(height, 1)) {
    for (const Span& x : columns) tiles.emplace_back(y, x);
  }
  // One shape after the other: an engine may have to prepare for each.
  std::stable_sort(tiles.begin(), tiles.end(), [](const auto& one, const auto& other) {
    return std::pair(one.first.size(), one.second.size()) < std::pair(other.first.size(), other.second.size());
  });
  const std::size_t row = row_bytes(width);
  for (const auto& [y, x] : tiles) {
    const std::size_t line = row_bytes(x.size());
    tile.resize(line * std::size_t(y.size()));
    enhanced.resize(tile.size());
    for (int i = 0; i < y.size(); ++i) {
      std::copy_n(image + std::size_t(y.start + i) * row + row_bytes(x.start), line, tile.data() + std::size_t(i) * line);
    }
    run(tile.data(), enhanced.data(), y.size(), x.size());
    for (int i = y.core_start; i < y.core_stop; ++i) {
      const std::uint8_t* kept = enhanced.data() + std::size_t(i - y.start) * line + row_bytes(x.core_start - x.start);
      std::copy_n(kept, row_bytes(x.core_stop - x.core_start), out + std::size_t(i) * row + row_bytes(x.core_start));
    }
  }
}

// Enhance a picture in one piece, or in tiles where it is too large for that.
inline void run_any_size(const Run& run, const ArtifactInfo& info, const std::uint8_t* image, std::uint8_t* out, int height,
                         int width) {
  const auto tallest = info.input.shape[1], widest = info.input.shape[2];
  const bool fits = height <= tallest.value_or(height) && width <= widest.value_or(width);
  const std::int64_t most = info.has_weights ? whole_pixels : whole_pixels_light;
  if (fits && std::int64_t(height) * width <= most) {
    run(image, out, height, width);
    return;
  }
  if (!info.halo) {
    const std::string limit =
        tallest && widest ? size_text(*tallest, *widest) + " (HxW)" : std::to_string(most) + " pixels";
    throw InputError("the picture is " + size_text(height, width) + " (HxW), and " + info.network +
                     " looks at the whole picture, so that tiles would change the result: at most " + limit +
                     " fit; make it smaller");
  }
  run_tiles(run, info, image, out, height, width);
}

}  // namespace retinexrt::detail
