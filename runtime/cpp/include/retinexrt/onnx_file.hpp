// Reads what an ONNX file says about itself; the graph is skipped, not read.
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "artifact.hpp"

namespace retinexrt {
namespace detail {

// Walks the fields of a protobuf message in a stream that ends at `end`.
class Fields {
 public:
  Fields(std::istream& file, std::uint64_t end) : file_(file), end_(end) {}

  std::uint64_t number = 0;  // of the field that next() moved to
  std::uint64_t size = 0;    // of its payload, at which the stream stands; the caller reads or skips all of it

  bool next() {
    if (at_ >= end_) return false;
    const std::uint64_t tag = varint();
    number = tag >> 3;
    if (number == 0) throw ArtifactError("field number 0");
    switch (tag & 7) {
      case 0:
        varint();
        size = 0;
        break;
      case 1: size = 8; break;
      case 2: size = varint(); break;
      case 5: size = 4; break;
      default: throw ArtifactError("wire type " + std::to_string(tag & 7));
    }
    if (size > end_ - at_) throw ArtifactError("it ends in the middle of a field");
    return true;
  }

  void skip() {
    file_.seekg(std::streamoff(size), std::ios::cur);
    at_ += size;
  }

  std::string read() {
    std::string payload(std::size_t(size), '\0');
    file_.read(payload.data(), std::streamsize(size));
    if (!file_) throw ArtifactError("it ends in the middle of a field");
    at_ += size;
    return payload;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const int byte = file_.get();
      if (byte == std::char_traits<char>::eof() || at_ >= end_) throw ArtifactError("it ends in the middle of a number");
      ++at_;
      value |= std::uint64_t(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    throw ArtifactError("a number is too long");
  }

  std::istream& file_;
  std::uint64_t at_ = 0;
  std::uint64_t end_;
};

// The value of one metadata property, or nothing.
inline std::optional<std::string> read_property(std::istream& file, std::uint64_t end, const std::string& wanted) {
  constexpr std::uint64_t graph_field = 7, metadata_field = 14;
  std::optional<std::string> found;
  bool graph = false;
  Fields model(file, end);
  while (model.next()) {
    graph = graph || model.number == graph_field;
    if (model.number != metadata_field) {
      model.skip();
      continue;
    }
    std::istringstream entry(model.read());
    std::string key, value;
    for (Fields fields(entry, model.size); fields.next();) {
      (fields.number == 1 ? key : value) = fields.read();
    }
    if (key == wanted) found = value;
  }
  if (!graph) throw ArtifactError("it holds no graph");
  return found;
}

}  // namespace detail

// What an exported ONNX file says about itself.
inline ArtifactInfo read_onnx_info(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw ArtifactError("cannot read " + path);
  const std::streamoff end = file.tellg();
  file.seekg(0);
  std::optional<std::string> text;
  try {
    text = detail::read_property(file, std::uint64_t(end), "retinexrt");
  } catch (const ArtifactError& error) {
    throw ArtifactError(path + " is damaged or not an ONNX file (" + error.what() + "); export it again");
  }
  if (!text) {
    throw ArtifactError(path + " does not describe itself: it has no metadata 'retinexrt', so retinexrt did not export "
                        "it; export a network with: retinexrt export NAME");
  }
  return parse_info(*text, path);
}

}  // namespace retinexrt
