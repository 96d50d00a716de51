// Cuts a large picture into tiles where the network allows it, as runtime/tiling.py does: the same tiles, the same bytes. It
// says why.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "artifact.hpp"
#include "error.hpp"
#include "image.hpp"
#include "model.hpp"

namespace retinexrt {

// Is told after each tile how many of how many are done. What it throws ends the call.
using Progress = std::function<void(int done, int total)>;

namespace detail {

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

// A contiguous RGB picture, and the one that it is enhanced into.
struct Pair {
  const std::uint8_t* image;
  std::uint8_t* out;
  int height, width;
};

// Rows and columns of one tile.
struct Tile {
  Span rows, columns;
};

// Enhance a picture tile by tile: `enhance(tile, pair)` does one.
template <class Enhance>
void each_tile(const Pair& picture, const std::vector<Span>& rows, const std::vector<Span>& columns, const Progress& progress,
               const Enhance& enhance) {
  std::vector<Tile> tiles;
  for (const Span& y : rows) {
    for (const Span& x : columns) tiles.push_back({y, x});
  }
  // One shape after the other: an engine may have to prepare for each.
  std::stable_sort(tiles.begin(), tiles.end(), [](const Tile& one, const Tile& other) {
    return std::pair(one.rows.size(), one.columns.size()) < std::pair(other.rows.size(), other.columns.size());
  });
  std::vector<std::uint8_t> source, target;
  const std::size_t row = row_bytes(picture.width);
  int done = 0;
  for (const Tile& tile : tiles) {
    const auto& [y, x] = tile;
    const std::size_t line = row_bytes(x.size());
    source.resize(line * std::size_t(y.size()));
    target.resize(source.size());
    for (int i = 0; i < y.size(); ++i) {
      const std::uint8_t* from = picture.image + std::size_t(y.start + i) * row + row_bytes(x.start);
      std::copy_n(from, line, source.data() + std::size_t(i) * line);
    }
    enhance(tile, Pair{source.data(), target.data(), y.size(), x.size()});
    for (int i = y.core_start; i < y.core_stop; ++i) {
      const std::uint8_t* kept = target.data() + std::size_t(i - y.start) * line + row_bytes(x.core_start - x.start);
      std::copy_n(kept, row_bytes(x.core_stop - x.core_start), picture.out + std::size_t(i) * row + row_bytes(x.core_start));
    }
    ++done;
    if (progress) progress(done, int(tiles.size()));
  }
}

// The same values as in one piece, of a network with a finite halo.
template <class Run>
void run_exact(const Run& run, const ArtifactInfo& info, const Pair& picture, const Progress& progress) {
  const auto cut = [&](int size, std::size_t axis) {
    const std::optional<int> fixed = info.input.shape[axis];
    return spans(size, *info.halo, info.multiple, fixed.value_or(minimum_size), fixed);
  };
  const auto rows = cut(picture.height, 1), columns = cut(picture.width, 2);
  each_tile(picture, rows, columns, progress, [&](const Tile&, const Pair& tile) { run(tile); });
}

// The side of an overview's squares: a multiple of 4, over 32 of 8.
inline std::int64_t square_side(std::int64_t height, std::int64_t width, std::int64_t points) {
  const std::int64_t side = 4 * ((height + width + 4 * points - 1) / (4 * points));
  const std::int64_t unit = side <= 32 ? 4 : 8;
  return (side + unit - 1) / unit * unit;
}

// Means over squares of a picture, in [0, 1], whose edge is repeated up to a height and width and on.
inline Map overview(const Pair& picture, int side, int height, int width) {
  const int rows = round_up(height, side) / side, columns = round_up(width, side) / side;
  Map result{3, std::size_t(rows), std::size_t(columns), {}};
  const std::size_t plane = result.height * result.width;
  result.values.resize(3 * plane);
  std::vector<std::uint64_t> sums;
  for (int row = 0; row < rows; ++row) {
    sums.assign(3 * result.width, 0);
    for (int i = 0; i < side; ++i) {
      const int y = std::min(row * side + i, picture.height - 1);
      const std::uint8_t* pixel = picture.image + row_bytes(picture.width) * std::size_t(y);
      for (int x = 0; x < columns * side; ++x) {
        std::uint64_t* const sum = &sums[3 * std::size_t(x / side)];
        for (std::size_t channel = 0; channel < 3; ++channel) sum[channel] += pixel[channel];
        if (x < picture.width - 1) pixel += 3;
      }
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::size_t place = i % 3 * plane + std::size_t(row) * result.width + i / 3;
      result.values[place] = float(double(sums[i]) / (255.0 * double(side) * double(side)));
    }
  }
  return result;
}

// A part of a map.
inline Map part(const Map& map, std::size_t top, std::size_t left, std::size_t height, std::size_t width) {
  Map result{map.planes, height, width, {}};
  result.values.reserve(map.planes * height * width);
  for (std::size_t row = 0; row < map.planes * height; ++row) {
    const std::size_t line = row / height * map.height + top + row % height;
    const auto begin = map.values.begin() + std::ptrdiff_t(line * map.width + left);
    result.values.insert(result.values.end(), begin, begin + std::ptrdiff_t(width));
  }
  return result;
}

// Of a picture's light, what a tile needs: its squares and one more to each side, in maps that have a frame of one.
inline std::vector<Map> share(const std::vector<Map>& light, const Tile& tile, int side, int multiple) {
  const auto count = [&](const Span& span) { return std::size_t((round_up(span.size(), multiple) + side - 1) / side + 2); };
  const auto first = [&](const Span& span) { return std::size_t(span.start / side); };
  std::vector<Map> result;
  for (const Map& map : light) {
    if (map.height * map.width == 1) {
      result.push_back(map);
    } else {
      result.push_back(part(map, first(tile.rows), first(tile.columns), count(tile.rows), count(tile.columns)));
    }
  }
  return result;
}

// A file may say that its light is what it is not.
inline void check_light(const std::vector<Map>& light, const Map& overview, const std::string& network) {
  for (const Map& map : light) {
    const bool one = map.height == 1 && map.width == 1;
    if (one || (map.height == overview.height + 2 && map.width == overview.width + 2)) continue;
    throw ArtifactError(network + ": the light of a picture has " + std::to_string(map.height) + "x" +
                        std::to_string(map.width) + " points, expected " + std::to_string(overview.height + 2) + "x" +
                        std::to_string(overview.width + 2) + "; export it again");
  }
}

// Part by part under one light, decided on the overview: as in one piece, within a code.
inline void run_parts(PartsModel& model, const ArtifactInfo& info, const Pair& picture, const Progress& progress) {
  const int height = round_up(picture.height, info.multiple), width = round_up(picture.width, info.multiple);
  const std::int64_t squares = square_side(height, width, info.parts->points);
  // Each part begins with a whole square and with a whole cell of the noise stage.
  const std::int64_t step = std::lcm(squares, std::int64_t(info.multiple));
  if (step > most_context) {
    throw InputError(info.network + " takes no picture of " + size_text(picture.height, picture.width) + " (HxW) in parts");
  }
  const int side = int(squares);
  const Map seen = overview(picture, side, height, width);
  const std::vector<Map> light = model.decide(seen);
  check_light(light, seen, info.network);
  const auto cut = [&](int size) { return spans(size, info.parts->halo, int(step), minimum_size, std::nullopt); };
  each_tile(picture, cut(picture.height), cut(picture.width), progress, [&](const Tile& tile, const Pair& pair) {
    model.render(pair.image, pair.out, pair.height, pair.width, side, share(light, tile, side, info.multiple));
  });
}

// Enhance a picture in one piece, or in tiles where it is too large for that. `run(pair)` does one piece; `open_parts()` gives
// the two halves of an artifact that has them.
template <class Run, class OpenParts>
void run_any_size(const Run& run, const OpenParts& open_parts, const ArtifactInfo& info, const Pair& picture,
                  const Progress& progress) {
  const auto tallest = info.input.shape[1], widest = info.input.shape[2];
  const int height = picture.height, width = picture.width;
  const bool fits = height <= tallest.value_or(height) && width <= widest.value_or(width);
  const std::int64_t most = info.has_weights ? whole_pixels : whole_pixels_light;
  if (fits && std::int64_t(height) * width <= most) {
    run(picture);
  } else if (info.halo) {
    run_exact(run, info, picture, progress);
  } else if (info.parts) {
    const std::shared_ptr<PartsModel> parts = open_parts();
    run_parts(*parts, info, picture, progress);
  } else {
    const std::string limit =
        tallest && widest ? size_text(*tallest, *widest) + " (HxW)" : std::to_string(most) + " pixels";
    throw InputError("the picture is " + size_text(height, width) + " (HxW), and " + info.network +
                     " looks at the whole picture, so that tiles would change the result: at most " + limit +
                     " fit; make it smaller, or use dawn, which takes any size");
  }
}

}  // namespace detail
}  // namespace retinexrt
