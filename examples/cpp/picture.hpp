// Reads and writes PPM files, and PNG files where the program was compiled with libpng (the macro WITH_PNG).
#pragma once

#include <retinexrt/image.hpp>

#include <string>

#include "ppm.hpp"

#ifdef WITH_PNG
#include <png.h>
#endif

namespace picture {

inline bool is_png(const std::string& path) { return path.size() > 4 && path.compare(path.size() - 4, 4, ".png") == 0; }

#ifdef WITH_PNG

// libpng's own memory, freed on every way out.
struct Png {
  png_image image{};
  Png() {
    image.version = PNG_IMAGE_VERSION;
    image.format = PNG_FORMAT_RGB;
  }
  ~Png() { png_image_free(&image); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
};

// Transparent pictures are put on black, grey ones become RGB, 16 bits become 8.
inline retinexrt::Image read_png(const std::string& path) {
  Png png;
  if (png_image_begin_read_from_file(&png.image, path.c_str()) == 0) {
    throw retinexrt::InputError("cannot read " + path + ": " + png.image.message);
  }
  png.image.format = PNG_FORMAT_RGB;
  retinexrt::Image image(int(png.image.height), int(png.image.width));
  const png_color black{0, 0, 0};
  if (png_image_finish_read(&png.image, &black, image.data(), 0, nullptr) == 0) {
    throw retinexrt::InputError("cannot read " + path + ": " + png.image.message);
  }
  return image;
}

inline void write_png(const std::string& path, const retinexrt::Image& image) {
  Png png;
  png.image.width = png_uint_32(image.width());
  png.image.height = png_uint_32(image.height());
  if (png_image_write_to_file(&png.image, path.c_str(), 0, image.data(), 0, nullptr) == 0) {
    throw retinexrt::Error("OutputError", "cannot write " + path + ": " + png.image.message);
  }
}

#else

[[noreturn]] inline retinexrt::Image read_png(const std::string& path) {
  throw retinexrt::InputError(path + ": this program was compiled without libpng and knows PPM files only");
}

[[noreturn]] inline void write_png(const std::string& path, const retinexrt::Image&) { read_png(path); }

#endif

inline retinexrt::Image read(const std::string& path) { return is_png(path) ? read_png(path) : ppm::read(path); }

inline void write(const std::string& path, const retinexrt::Image& image) {
  is_png(path) ? write_png(path, image) : ppm::write(path, image);
}

}  // namespace picture
