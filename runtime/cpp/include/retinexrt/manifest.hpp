// A TensorRT plan and the manifest beside it. A plan is executable code: nothing is deserialised before it was checked.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "artifact.hpp"
#include "file.hpp"
#include "sha256.hpp"

namespace retinexrt {
namespace detail {

inline std::string rebuild(const ArtifactInfo& info) {
  return "; build it again with: retinexrt build " + info.network +
         (info.precision == "fp16" ? "" : " --precision " + info.precision);
}

// An indented JSON document on one line, as Python's json.dumps writes it without an indent.
inline std::string on_one_line(const std::string& text) {
  std::string result;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i];
    if (quoted) {
      result += next;
      if (next == '\\' && i + 1 < text.size()) result += text[++i];
    } else if (next == '\n') {
      while (i + 1 < text.size() && text[i + 1] == ' ') ++i;
    } else {
      result += next;
      if (next == ',') result += ' ';
    }
    if (next == '"') quoted = !quoted;
  }
  return result;
}

inline std::string sha256_of(const void* data, std::size_t size) {
  Sha256 hash;
  hash.update(data, size);
  return hash.digest();
}

// The manifest's field manifest_sha256 covers the whole document with that field empty.
inline bool sealed(const std::string& text) {
  std::string line = on_one_line(text);
  const std::string key = "\"manifest_sha256\": \"";
  const auto begin = line.find(key);
  const auto end = begin == std::string::npos ? begin : line.find('"', begin + key.size());
  if (end == std::string::npos) return false;
  const std::string seal = line.substr(begin + key.size(), end - begin - key.size());
  line.erase(begin + key.size(), seal.size());
  return seal == sha256_of(line.data(), line.size());
}

inline std::string this_platform() {
#if defined(_WIN32)
  return "win32-AMD64";
#elif defined(__aarch64__)
  return "linux-aarch64";
#else
  return "linux-x86_64";
#endif
}

}  // namespace detail

// A plan's bytes, proven to be those that its manifest describes.
struct Plan {
  ArtifactInfo info;
  std::vector<char> bytes;
};

// Read NAME.plan and NAME.json and compare their SHA-256. This protects against accidents and mixed-up files, not against
// somebody who writes both: load only plans that you built or whose maker you trust. Throws ManifestError or ArtifactError.
inline Plan read_plan(const std::string& path) {
  const auto dot = path.rfind('.');
  if (dot == std::string::npos || path.substr(dot) != ".plan") throw ArtifactError(path + " is not a .plan file");
  std::vector<char> bytes = detail::read_bytes(path);
  const std::string manifest = path.substr(0, dot) + ".json";
  std::string text;
  try {
    const std::vector<char> read = detail::read_bytes(manifest);
    text.assign(read.begin(), read.end());
  } catch (const ArtifactError& error) {
    throw ManifestError(path + " has no manifest: " + error.what());
  }
  ArtifactInfo info;
  try {
    info = parse_info(text, manifest);
  } catch (const ArtifactError& error) {
    throw ManifestError(error.what());
  }
  if (!info.plan) throw ManifestError(manifest + " describes no plan");
  if (!detail::sealed(text)) throw ManifestError(manifest + " was changed after it was written" + detail::rebuild(info));
  const std::string found = detail::sha256_of(bytes.data(), bytes.size());
  if (found != info.plan->sha256) {
    throw ManifestError(path + " has SHA-256 " + found.substr(0, 12) + "..., its manifest says " +
                        info.plan->sha256.substr(0, 12) + "...: the plan was changed or belongs to another manifest" +
                        detail::rebuild(info));
  }
  return {std::move(info), std::move(bytes)};
}

namespace detail {

// "11.4.0.106" as numbers, which compare as versions do.
inline std::vector<int> numbers(const std::string& version) {
  std::vector<int> found{0};
  for (const char letter : version) {
    if (letter == '.') {
      found.push_back(0);
    } else if (letter >= '0' && letter <= '9') {
      found.back() = found.back() * 10 + (letter - '0');
    }
  }
  return found;
}

}  // namespace detail

// Compare what a plan was built for with what is loaded: `version` e.g. "11.4.0.106", `sm` e.g. "8.9"; `lean`: TensorRT's
// lean runtime, which runs version-compatible plans alone.
inline void check_plan(const Plan& plan, const std::string& flavour, const std::string& version, const std::string& sm,
                       bool lean = false) {
  const PlanInfo& built = *plan.info.plan;
  const std::string end = detail::rebuild(plan.info);
  if (built.flavour != flavour) {
    throw IncompatiblePlanError("the plan was built with " + built.flavour + ", found " + flavour + end);
  }
  if (lean && !built.version_compatible) {
    throw IncompatiblePlanError("the plan needs the whole of TensorRT, found its lean runtime" + end + " --version-compatible");
  }
  if (built.version_compatible && detail::numbers(version) < detail::numbers(built.version)) {
    throw IncompatiblePlanError("the plan was built with " + flavour + " " + built.version +
                                " and runs on that or a later version, found " + version + end);
  }
  if (built.version != version && !built.version_compatible) {
    throw IncompatiblePlanError("the plan was built with " + flavour + " " + built.version + ", found version " + version + end);
  }
  // TensorRT-RTX's plans are portable between operating systems.
  if (flavour == "tensorrt" && built.platform != detail::this_platform()) {
    throw IncompatiblePlanError("the plan was built for " + built.platform + ", this is " + detail::this_platform() + end);
  }
  // TensorRT-RTX runs its plans on GPUs that are newer than all of its targets, though not at their best.
  const bool newer = flavour == "tensorrt_rtx" && detail::numbers(sm) > std::vector<int>{12, 1} &&
                     built.sms != std::vector<std::string>{"7.5"};
  if (!newer && std::find(built.sms.begin(), built.sms.end(), sm) == built.sms.end()) {
    throw IncompatiblePlanError("the plan was built for compute capability " + detail::joined(built.sms) +
                                ", the GPU here has " + sm + end);
  }
}

}  // namespace retinexrt
