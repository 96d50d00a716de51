// The bytes of a file.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "error.hpp"

namespace retinexrt::detail {

inline std::vector<char> read_bytes(const std::string& path) {
  std::error_code absent;
  // A stream opens a folder, and gives it the largest size that there is.
  if (std::filesystem::is_directory(path, absent)) throw ArtifactError(path + " is a folder, expected a file");
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw ArtifactError("cannot read " + path);
  std::vector<char> bytes(std::size_t(file.tellg()));
  file.seekg(0);
  file.read(bytes.data(), std::streamsize(bytes.size()));
  if (!file) throw ArtifactError("cannot read " + path);
  return bytes;
}

}  // namespace retinexrt::detail
