// The interface that the embedded and the native implementation share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "artifact.hpp"
#include "error.hpp"
#include "exposure.hpp"
#include "image.hpp"
#include "options.hpp"
#include "tiling.hpp"

namespace retinexrt {

// How much of the enhancement a picture gets.
struct Amount {
  // 0 (the input, to the byte) to 1 (the network).
  double strength = 1.0;
  // Leave pictures alone that are bright enough already, and give those between bright and dark a part.
  bool gate = false;
};

// N x H x W pictures of three channels on a GPU.
struct DeviceShape {
  int count = 1;
  int height = 0;
  int width = 0;
};

// Enhances pictures from 16x16 up. Every call but the destructor is safe from many threads at once.
class Enhancer {
 public:
  Enhancer() = default;
  Enhancer(const Enhancer&) = delete;
  Enhancer& operator=(const Enhancer&) = delete;
  virtual ~Enhancer() = default;

  // Return the enhanced picture, of the same size and colour order. Of a picture that is done in tiles, `progress` is told
  // after each, on this thread.
  Image enhance(const ImageView& image, const Amount& amount = {}, const Progress& progress = {}) {
    check(image, amount);
    Image out(image.height, image.width, image.color);
    write(image, out.view(), amount, progress);
    return out;
  }

  // Write the enhanced picture into `out`, of the same size; strides and colour orders may differ, and it may be `image`
  // itself. No buffer is made from the second call of a thread and a size on (the engine may make its own), and nothing is
  // copied where rows follow one another, the colours are RGB and the two do not overlap.
  void enhance_into(const ImageView& image, const MutableImageView& out, const Amount& amount = {},
                    const Progress& progress = {}) {
    check(image, amount);
    detail::check_view(out, "out");
    if (out.height != image.height || out.width != image.width) {
      throw InputError("out must be of the image's size " + detail::size_text(image.height, image.width) + " (HxW), found " +
                       detail::size_text(out.height, out.width));
    }
    write(image, out, amount, progress);
  }

  // Enqueue the same on a CUDA stream, from GPU memory into GPU memory: uint8, N x H x W x 3, RGB, contiguous, not
  // overlapping. `stream` is a cudaStream_t or CUstream, null the legacy default stream. The CUDA context is fixed when the
  // enhancer is opened: for plans the thread's current one if it is of that GPU, else the GPU's primary one, as always for
  // ONNX Runtime. Stream and memories must be of it; throws InputError where another one of that GPU is current. Both
  // memories must stay valid until the stream has passed.
  virtual void enhance_device(const void* image, void* out, const DeviceShape& shape, void* stream) = 0;

  // What the artifact says about itself; remains after close().
  const ArtifactInfo& info() const { return info_; }

  // The backend in use, e.g. "openvino".
  const std::string& backend() const { return backend_; }

  // "cpu" or "cuda:0".
  const std::string& device() const { return device_; }

  // Free everything once the calls in progress are done; calling it again does nothing. Later calls throw ClosedError.
  virtual void close() noexcept = 0;

 protected:
  // Enhance one contiguous RGB picture into another that does not overlap it.
  virtual void run(const detail::Pair& picture, const Progress& progress) = 0;

  // Throws ClosedError after close().
  virtual void check_open() const = 0;

  ArtifactInfo info_;
  std::string backend_;
  std::string device_;

 private:
  void check(const ImageView& image, const Amount& amount) const {
    check_open();
    detail::check_strength(amount.strength);
    detail::check_view(image, "the image");
    const int height = info_.input.shape[1].value_or(detail::minimum_size);
    const int width = info_.input.shape[2].value_or(detail::minimum_size);
    if (image.height < height || image.width < width) {
      throw InputError("the picture is " + detail::size_text(image.height, image.width) + " (HxW), " + info_.network +
                       " takes " + detail::size_text(height, width) + " and up");
    }
  }

  // Enhance as much as is wanted, from one contiguous RGB picture into another that does not overlap it.
  void run_part(const detail::Pair& picture, const Amount& amount, const Progress& progress) {
    const auto& [image, out, height, width] = picture;
    double strength = amount.strength;
    if (amount.gate && strength > 0) strength *= detail::gate(detail::exposure(image, height, width));
    if (strength > 0) run(picture, progress);
    const std::size_t bytes = detail::row_bytes(width) * std::size_t(height);
    detail::blend(image, out, bytes, strength, info_.has_illumination);
  }

  void write(const ImageView& image, const MutableImageView& out, const Amount& amount, const Progress& progress) {
    // Two buffers a thread, kept from call to call.
    thread_local std::vector<std::uint8_t> source, target;
    const std::size_t bytes = detail::row_bytes(image.width) * std::size_t(image.height);
    const std::uint8_t* from = image.data;
    if (image.color != Color::rgb || !detail::packed(image)) {
      if (source.size() < bytes) source.resize(bytes);
      detail::copy(image, {source.data(), image.height, image.width, 0, Color::rgb});
      from = source.data();
    }
    const bool aside = out.color != Color::rgb || !detail::packed(out) || (from == image.data && detail::overlap(image, out));
    if (!aside) {
      run_part({from, out.data, image.height, image.width}, amount, progress);
      return;
    }
    if (target.size() < bytes) target.resize(bytes);
    run_part({from, target.data(), image.height, image.width}, amount, progress);
    detail::copy({target.data(), image.height, image.width, 0, Color::rgb}, out);
  }
};

}  // namespace retinexrt
