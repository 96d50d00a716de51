// Reads what an ONNX file says about itself; the graph is skipped, not read.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <string>

#include "artifact.hpp"
#include "protobuf.hpp"

namespace retinexrt {
namespace detail {

// The metadata properties of a model.
inline std::map<std::string, std::string> read_properties(const protobuf::Read& read, std::uint64_t size) {
  constexpr std::uint64_t graph_field = 7, metadata_field = 14, key_field = 1, value_field = 2;
  std::map<std::string, std::string> found;
  bool graph = false;
  protobuf::Fields model(read, size);
  for (protobuf::Field field; model.next(field);) {
    graph = graph || field.number == graph_field;
    if (field.number != metadata_field) continue;
    const std::string entry = read(field.payload, std::size_t(field.stop - field.payload));
    const auto keys = protobuf::texts(entry, key_field), values = protobuf::texts(entry, value_field);
    found[keys.empty() ? "" : keys.back()] = values.empty() ? "" : values.back();
  }
  if (!graph) throw ArtifactError("it holds no graph");
  return found;
}

// What a model says about itself; `path` stands for it in errors.
inline ArtifactInfo info_of(const protobuf::Read& read, std::uint64_t size, const std::string& path) {
  std::map<std::string, std::string> properties;
  try {
    properties = read_properties(read, size);
  } catch (const ArtifactError& error) {
    throw ArtifactError(path + " is damaged or not an ONNX file (" + error.what() + "); export it again");
  }
  const auto text = properties.find("retinexrt");
  if (text == properties.end()) {
    throw ArtifactError(path + " does not describe itself: it has no metadata 'retinexrt', so retinexrt did not export "
                        "it; export a network with: retinexrt export NAME");
  }
  return parse_info(text->second, path);
}

}  // namespace detail

// What an exported ONNX file says about itself.
inline ArtifactInfo read_onnx_info(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw ArtifactError("cannot read " + path);
  const std::streamoff size = file.tellg();
  const auto read = [&](std::uint64_t place, std::size_t count) {
    std::string bytes(count, '\0');
    file.clear();  // an earlier read may have reached the end
    file.seekg(std::streamoff(place));
    file.read(bytes.data(), std::streamsize(count));
    bytes.resize(std::size_t(file.gcount()));
    return bytes;
  };
  return detail::info_of(read, std::uint64_t(size), path);
}

}  // namespace retinexrt
