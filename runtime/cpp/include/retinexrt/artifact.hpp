// What an artifact says about itself: the fields that an application needs, and the whole document.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "error.hpp"
#include "json.hpp"

namespace retinexrt {

// The input or the output of a graph.
struct TensorInfo {
  std::string name;
  std::string dtype;
  std::vector<std::optional<int>> shape;  // empty: a dynamic dimension
  std::string layout;                     // "NHWC" or "NCHW"
};

// The input shapes (N, H, W, 3) that a plan was built for.
struct Profile {
  std::vector<int> smallest;
  std::vector<int> typical;
  std::vector<int> largest;
};

// What only a built plan has.
struct PlanInfo {
  std::string flavour;            // "tensorrt" or "tensorrt_rtx"
  std::string version;            // of the flavour, e.g. "1.7.1.116"
  bool version_compatible = false;  // later versions of TensorRT run it too, and its lean runtime
  std::vector<std::string> sms;   // compute capabilities that it runs on, e.g. "8.9"
  std::string platform;           // e.g. "linux-x86_64"
  std::string digest;             // also the name of the network inside the plan; empty: it has none
  std::string sha256;             // of the plan file
  std::int64_t bytes = 0;         // size of the plan file
  Profile profile;
};

// Where a graph comes apart, by names of values: what is decided on an overview of a picture, and what is done to each part.
struct PartsInfo {
  std::string overview;            // float32, N x 3 x h x w
  std::string side;                // int64, one number: the side of the overview's squares, in pixels
  std::vector<std::string> light;  // float32; those with more than one point have one for each square, and a frame of one
  int points = 1;                  // the side of a square is at least H + W over this
  int halo = 0;                    // pixels of context that a part needs to each side
};

struct ArtifactInfo {
  std::string network;
  std::string title;
  std::string precision;  // "fp32" or "fp16"
  // "bf16": CPU backends that can do so compute convolutions in bfloat16.
  std::string cpu_precision = "fp32";
  bool trained = false;
  bool has_weights = true;        // false for classical methods, which are a formula
  bool has_illumination = false;  // the network divides by an illumination, or multiplies with one
  TensorInfo input;
  TensorInfo output;
  int multiple = 1;
  std::optional<int> halo;  // empty: the network looks at the whole picture
  std::optional<PlanInfo> plan;
  std::optional<PartsInfo> parts;  // how large pictures are done in parts; empty: they are not, or `halo` says how
  std::string json;  // the whole document, as Python's ArtifactInfo reads it

  // True for a graph that takes and returns uint8 pictures, N x H x W x 3.
  bool image_io() const { return input.dtype == "uint8"; }
};

namespace detail {

// Raised together with the schema of runtime/artifact.py.
constexpr int schema = 1;
constexpr int minimum_size = 16;
// No network comes near; more would not be safe to count with.
constexpr int most_context = 65536;

inline int to_int(const json::Value& value) {
  const double number = value.number();
  if (number != std::floor(number) || std::abs(number) > 2147483647.0) throw json::JsonError("expected a whole number");
  return int(number);
}

inline int to_int(const json::Value& value, int least, int most) {
  const int number = to_int(value);
  if (number < least || number > most) {
    throw json::JsonError("expected a number from " + std::to_string(least) + " to " + std::to_string(most) + ", found " +
                          std::to_string(number));
  }
  return number;
}

inline std::vector<int> to_ints(const json::Value& value) {
  std::vector<int> result;
  for (const auto& item : value.list()) result.push_back(to_int(item));
  return result;
}

inline TensorInfo to_tensor(const json::Value& value) {
  TensorInfo tensor{value.at("name").text(), value.at("dtype").text(), {}, value.at("layout").text()};
  for (const auto& size : value.at("shape").list()) {
    tensor.shape.push_back(size.is_number() ? std::optional<int>(to_int(size, 1, 2147483647)) : std::nullopt);
  }
  return tensor;
}

inline PlanInfo to_plan(const json::Value& value) {
  PlanInfo plan;
  plan.flavour = value.at("flavour").text();
  plan.version = value.at("version").text();
  if (value.object().count("version_compatible") != 0) {
    plan.version_compatible = value.at("version_compatible").boolean();
  }
  for (const auto& sm : value.at("sms").list()) plan.sms.push_back(sm.text());
  plan.platform = value.at("platform").text();
  if (!value.at("digest").is_null()) plan.digest = value.at("digest").text();
  plan.sha256 = value.at("plan_sha256").text();
  const double bytes = value.at("plan_bytes").number();
  if (!(bytes >= 0 && bytes <= 9007199254740992.0)) throw json::JsonError("plan_bytes is no size");  // 2^53
  plan.bytes = std::int64_t(bytes);
  const json::Value& profile = value.at("profile");
  plan.profile = {to_ints(profile.at("min")), to_ints(profile.at("opt")), to_ints(profile.at("max"))};
  for (const auto* shape : {&plan.profile.smallest, &plan.profile.typical, &plan.profile.largest}) {
    if (shape->size() != 4) throw json::JsonError("a shape of the profile has not four dimensions");
  }
  return plan;
}

inline PartsInfo to_parts(const json::Value& value) {
  PartsInfo parts{value.at("overview").text(), value.at("side").text(), {}, to_int(value.at("points"), 1, most_context),
                  to_int(value.at("halo"), 0, most_context)};
  for (const auto& name : value.at("light").list()) parts.light.push_back(name.text());
  return parts;
}

inline ArtifactInfo to_info(const json::Value& document, const std::string& text) {
  ArtifactInfo info;
  info.network = document.at("network").text();
  info.title = document.at("title").text();
  info.precision = document.at("precision").text();
  // Newer than the first documents.
  if (document.object().count("cpu_precision") != 0) info.cpu_precision = document.at("cpu_precision").text();
  if (info.cpu_precision != "fp32" && info.cpu_precision != "bf16") throw json::JsonError("cpu_precision is no precision");
  info.trained = document.at("trained").boolean();
  info.has_weights = !info.trained || !document.at("weights_sha256").is_null();
  info.input = to_tensor(document.at("input"));
  info.output = to_tensor(document.at("output"));
  if (info.input.shape.size() != 4) throw json::JsonError("the input has not four dimensions");
  info.multiple = to_int(document.at("multiple"), 1, most_context);
  if (!document.at("halo").is_null()) info.halo = to_int(document.at("halo"), 0, most_context);
  for (const auto& rule : document.at("contract").list()) {
    const auto named = rule.object().find("rule");
    if (named == rule.object().end()) continue;
    info.has_illumination = info.has_illumination || named->second.text() == "division" || named->second.text() == "product";
  }
  if (!document.at("plan").is_null()) info.plan = to_plan(document.at("plan"));
  if (document.object().count("parts") != 0 && !document.at("parts").is_null()) info.parts = to_parts(document.at("parts"));
  info.json = text;
  return info;
}

}  // namespace detail

// Read the document that travels in an ONNX file or in a plan's manifest; `where` names it in errors.
inline ArtifactInfo parse_info(const std::string& text, const std::string& where) {
  try {
    const json::Value document = json::parse(text);
    const int found = detail::to_int(document.at("schema"));
    if (found > detail::schema) {
      throw ArtifactError(where + ": written by a newer retinexrt (schema " + std::to_string(found) +
                          ", this one reads up to " + std::to_string(detail::schema) +
                          "); upgrade with: pip install -U retinexrt",
                          "NewerSchemaError");
    }
    return detail::to_info(document, text);
  } catch (const json::JsonError& error) {
    throw ArtifactError(where + ": " + error.what());
  }
}

}  // namespace retinexrt
