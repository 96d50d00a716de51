// Pictures: 8 bits, three channels, rows of pixels from top to bottom.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "error.hpp"

namespace retinexrt {

// Order of the three bytes of a pixel.
enum class Color { rgb, bgr };

// Somebody else's picture, to be read. It must stay valid during the call that it is passed to, and no longer.
struct ImageView {
  const std::uint8_t* data = nullptr;
  int height = 0;
  int width = 0;
  std::ptrdiff_t stride = 0;  // bytes from one row to the next, at least 3 * width; 0: rows follow one another
  Color color = Color::rgb;
};

// Somebody else's picture, to be written.
struct MutableImageView {
  std::uint8_t* data = nullptr;
  int height = 0;
  int width = 0;
  std::ptrdiff_t stride = 0;
  Color color = Color::rgb;

  operator ImageView() const { return {data, height, width, stride, color}; }
};

// A picture that owns its memory; rows follow one another.
class Image {
 public:
  Image() = default;
  Image(int height, int width, Color color = Color::rgb)
      : height_(height), width_(width), color_(color), bytes_(count(height, width)) {}

  int height() const { return height_; }
  int width() const { return width_; }
  Color color() const { return color_; }
  std::size_t size() const { return bytes_.size(); }
  const std::uint8_t* data() const { return bytes_.data(); }
  std::uint8_t* data() { return bytes_.data(); }
  ImageView view() const { return {data(), height_, width_, 0, color_}; }
  MutableImageView view() { return {data(), height_, width_, 0, color_}; }

 private:
  static std::size_t count(int height, int width) {
    if (height < 0 || width < 0) throw InputError("a picture cannot have a negative size");
    return std::size_t(height) * std::size_t(width) * 3;
  }

  int height_ = 0;
  int width_ = 0;
  Color color_ = Color::rgb;
  std::vector<std::uint8_t> bytes_;
};

namespace detail {

inline std::string size_text(int height, int width) { return std::to_string(height) + "x" + std::to_string(width); }

inline std::size_t row_bytes(int width) { return std::size_t(width) * 3; }

inline bool packed(const ImageView& image) {
  return image.stride == 0 || std::size_t(image.stride) == row_bytes(image.width);
}

inline std::size_t stride_of(const ImageView& image) {
  return image.stride == 0 ? row_bytes(image.width) : std::size_t(image.stride);
}

// Bytes from the first to the last, without what follows the last row.
inline std::size_t span_of(const ImageView& image) {
  return stride_of(image) * std::size_t(image.height - 1) + row_bytes(image.width);
}

inline void check_view(const ImageView& image, const std::string& what) {
  if (image.height <= 0 || image.width <= 0) {
    throw InputError(what + " is empty: " + size_text(image.height, image.width) + " (HxW)");
  }
  if (image.data == nullptr) throw InputError(what + ": the pointer is null");
  if (image.stride != 0 && (image.stride < 0 || std::size_t(image.stride) < row_bytes(image.width))) {
    throw InputError(what + ": the stride is " + std::to_string(image.stride) + " bytes, a row of " +
                     std::to_string(image.width) + " pixels has " + std::to_string(row_bytes(image.width)));
  }
  if (stride_of(image) > std::size_t(PTRDIFF_MAX) / std::size_t(image.height)) {
    throw InputError(what + ": " + std::to_string(image.height) + " rows of " + std::to_string(stride_of(image)) +
                     " bytes are more than there can be");
  }
}

inline bool overlap(const ImageView& one, const ImageView& other) {
  const auto a = reinterpret_cast<std::uintptr_t>(one.data);
  const auto b = reinterpret_cast<std::uintptr_t>(other.data);
  return a < b + span_of(other) && b < a + span_of(one);
}

// Copy a picture into another of the same size that does not overlap it, exchanging red and blue where the orders differ.
inline void copy(const ImageView& from, const MutableImageView& to) {
  const std::size_t bytes = row_bytes(from.width);
  for (int y = 0; y < from.height; ++y) {
    const std::uint8_t* source = from.data + std::size_t(y) * stride_of(from);
    std::uint8_t* target = to.data + std::size_t(y) * stride_of(to);
    if (from.color == to.color) {
      for (std::size_t i = 0; i < bytes; ++i) target[i] = source[i];
      continue;
    }
    for (std::size_t i = 0; i < bytes; i += 3) {
      target[i] = source[i + 2];
      target[i + 1] = source[i + 1];
      target[i + 2] = source[i];
    }
  }
}

}  // namespace detail

// Copy a picture into another of the same size, exchanging red and blue where the orders differ.
inline void copy(const ImageView& from, const MutableImageView& to) {
  detail::check_view(from, "the image");
  detail::check_view(to, "out");
  if (from.height != to.height || from.width != to.width) throw InputError("copy: the sizes differ");
  if (detail::overlap(from, to)) throw InputError("copy: the pictures overlap");
  detail::copy(from, to);
}

}  // namespace retinexrt
