// A TensorRT plan and the manifest beside it. A plan is executable code: nothing is deserialised before it was checked.
#pragma once

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "artifact.hpp"
#include "sha256.hpp"

namespace retinexrt {
namespace detail {

inline std::vector<char> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw ArtifactError("cannot read " + path);
  std::vector<char> bytes(std::size_t(file.tellg()));
  file.seekg(0);
  file.read(bytes.data(), std::streamsize(bytes.size()));
  if (!file) throw ArtifactError("cannot read " + path);
  return bytes;
}

inline std::string rebuild(const ArtifactInfo& info) { return "; build it again with: retinexrt build " + info.network; }

inline std::string joined(const std::vector<std::string>& texts) {
  std::string result;
  for (const auto& text : texts) result += (result.empty() ? "" : ", ") + text;
  return result;
}

}  // namespace detail

// A plan's bytes, proven to be those that its manifest describes.
struct Plan {
  ArtifactInfo info;
  std::vector<char> bytes;
};

// Read NAME.plan and NAME.json and compare the SHA-256. Throws ManifestError or ArtifactError.
inline Plan read_plan(const std::string& path) {
  const auto dot = path.rfind('.');
  if (dot == std::string::npos || path.substr(dot) != ".plan") throw ArtifactError(path + " is not a .plan file");
  std::vector<char> bytes = detail::read_bytes(path);
  const std::string manifest = path.substr(0, dot) + ".json";
  std::ifstream file(manifest, std::ios::binary);
  if (!file) throw ManifestError(path + " has no manifest: " + manifest + " cannot be read");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  ArtifactInfo info;
  try {
    info = parse_info(text, manifest);
  } catch (const ArtifactError& error) {
    throw ManifestError(error.what());
  }
  if (!info.plan) throw ManifestError(manifest + " describes no plan");
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  const std::string found = hash.digest();
  if (found != info.plan->sha256) {
    throw ManifestError(path + " is not the plan that its manifest describes: SHA-256 " + found.substr(0, 12) +
                        "..., expected " + info.plan->sha256.substr(0, 12) + "..." + detail::rebuild(info));
  }
  return {std::move(info), std::move(bytes)};
}

// Compare what a plan was built for with what is loaded: `version` e.g. "11.4.0.106", `sm` e.g. "8.9".
inline void check_plan(const Plan& plan, const std::string& flavour, const std::string& version, const std::string& sm) {
  const PlanInfo& built = *plan.info.plan;
  const std::string end = detail::rebuild(plan.info);
  if (built.flavour != flavour) throw IncompatiblePlanError("the plan is for " + built.flavour + ", this is " + flavour + end);
  if (built.version != version) {
    throw IncompatiblePlanError("the plan was built by " + flavour + " " + built.version + ", loaded is " + version + end);
  }
  if (std::find(built.sms.begin(), built.sms.end(), sm) == built.sms.end()) {
    throw IncompatiblePlanError("the plan runs on SM " + detail::joined(built.sms) + ", this GPU is SM " + sm + end);
  }
}

}  // namespace retinexrt
