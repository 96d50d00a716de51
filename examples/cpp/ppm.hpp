// Reads and writes binary PPM files of 8 bits.
#pragma once

#include <retinexrt/image.hpp>

#include <fstream>
#include <limits>
#include <string>

namespace ppm {

// The next word of the header; comments reach from # to the end of a line.
inline std::string word(std::istream& file) {
  std::string text;
  while (file >> text && text[0] == '#') file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  return text;
}

inline int number(std::istream& file, const std::string& path) {
  const std::string text = word(file);
  if (text.empty() || text.size() > 6 || text.find_first_not_of("0123456789") != std::string::npos) {
    throw retinexrt::InputError(path + " is no binary PPM file of 8 bits");
  }
  return std::stoi(text);
}

inline retinexrt::Image read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw retinexrt::InputError("cannot read " + path);
  const bool known = word(file) == "P6";
  const int width = known ? number(file, path) : 0;
  const int height = known ? number(file, path) : 0;
  if (!known || number(file, path) != 255) throw retinexrt::InputError(path + " is no binary PPM file of 8 bits");
  file.get();
  retinexrt::Image image(height, width);
  file.read(reinterpret_cast<char*>(image.data()), std::streamsize(image.size()));
  if (!file) throw retinexrt::InputError(path + " is cut short");
  return image;
}

inline void write(const std::string& path, const retinexrt::Image& image) {
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << image.width() << ' ' << image.height() << "\n255\n";
  file.write(reinterpret_cast<const char*>(image.data()), std::streamsize(image.size()));
  if (!file.flush()) throw retinexrt::Error("OutputError", "cannot write " + path);
}

}  // namespace ppm
