// Cuts an ONNX file in two, as runtime/artifact/onnx_parts.py does: the same halves, byte for byte. It says why.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "artifact.hpp"
#include "error.hpp"
#include "protobuf.hpp"

namespace retinexrt::detail {

// Two ONNX models, as bytes.
struct Halves {
  std::string decide;  // the overview, float32 N x 3 x h x w, to the light
  std::string render;  // a part of the picture, the side of a square, and the part's share of the light, to the enhanced part
};

// The pieces of a model's graph, in the memory of the file's bytes.
class Graph {
 public:
  explicit Graph(std::string_view content) {
    std::vector<std::string_view> graphs;
    for (const auto& piece : protobuf::pieces(content)) {
      if (piece.number == graph_field) {
        graphs.push_back(piece.payload);
      } else {
        rest_.append(piece.raw);
      }
    }
    if (graphs.size() != 1) throw ArtifactError("it holds " + std::to_string(graphs.size()) + " graphs");
    for (const auto& piece : protobuf::pieces(graphs.front())) {
      switch (piece.number) {
        case node_field:
          nodes_.push_back({piece.raw, protobuf::texts(piece.payload, 1), protobuf::texts(piece.payload, 2)});
          break;
        case initializer_field: weights_.emplace_back(first(piece.payload, 8), piece.raw); break;
        case input_field: inputs_[name_of(piece.payload)] = piece.payload; break;
        case output_field: outputs_[name_of(piece.payload)] = piece.payload; break;
        case value_info_field: break;
        default: others_.append(piece.raw);
      }
    }
  }

  std::string input(const std::string& name) const { return find(inputs_, name); }
  std::string output(const std::string& name) const { return find(outputs_, name); }

  // The model that computes `wanted` from `inputs`; both these and `outputs` are ValueInfoProtos.
  std::string between(const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
                      const std::vector<std::string>& wanted) const {
    std::set<std::string> given, weights, used;
    for (const auto& value : inputs) given.insert(name_of(value));
    std::set<std::size_t> nodes;
    trace(wanted, given, nodes, weights);
    for (const std::size_t index : nodes) used.insert(nodes_[index].inputs.begin(), nodes_[index].inputs.end());
    for (const auto& name : given) {  // the graph would make for itself what comes from outside
      if (used.count(name) == 0) throw ArtifactError("nothing uses " + name);
    }
    std::string graph;
    for (const std::size_t index : nodes) graph.append(nodes_[index].raw);
    for (const auto& [name, raw] : weights_) {
      if (weights.count(name) != 0) graph.append(raw);
    }
    for (const auto& value : inputs) graph.append(protobuf::field(input_field, value));
    for (const auto& value : outputs) graph.append(protobuf::field(output_field, value));
    graph.append(others_);
    return rest_ + protobuf::field(graph_field, graph);
  }

 private:
  struct Node {
    std::string_view raw;
    std::vector<std::string> inputs, outputs;
  };

  // Fields of onnx.ModelProto and GraphProto.
  static constexpr std::uint64_t graph_field = 7;
  static constexpr std::uint64_t node_field = 1, initializer_field = 5, input_field = 11, output_field = 12, value_info_field = 13;

  static std::string first(std::string_view message, std::uint64_t number) {
    const auto found = protobuf::texts(message, number);
    if (found.empty()) throw ArtifactError("a name is missing");
    return found.front();
  }

  static std::string name_of(std::string_view value) { return first(value, 1); }

  static std::string find(const std::map<std::string, std::string_view>& values, const std::string& name) {
    const auto found = values.find(name);
    if (found == values.end()) throw ArtifactError("there is no " + name);
    return std::string(found->second);
  }

  // Walk from what is wanted back to what is given.
  void trace(const std::vector<std::string>& wanted, const std::set<std::string>& given, std::set<std::size_t>& nodes,
             std::set<std::string>& weights) const {
    std::map<std::string, std::size_t> producer;
    for (std::size_t index = 0; index < nodes_.size(); ++index) {
      for (const auto& made : nodes_[index].outputs) producer[made] = index;
    }
    std::set<std::string> known;
    for (const auto& [name, raw] : weights_) known.insert(name);
    std::vector<std::string> waiting = wanted;
    std::set<std::string> seen(wanted.begin(), wanted.end());
    while (!waiting.empty()) {
      const std::string name = std::move(waiting.back());
      waiting.pop_back();
      if (name.empty() || given.count(name) != 0) continue;
      if (known.count(name) != 0) {
        weights.insert(name);
        continue;
      }
      const auto found = producer.find(name);
      if (found == producer.end()) throw ArtifactError("nothing makes " + name);
      if (!nodes.insert(found->second).second) continue;
      for (const auto& source : nodes_[found->second].inputs) {
        if (seen.insert(source).second) waiting.push_back(source);
      }
    }
  }

  std::string rest_, others_;
  std::vector<Node> nodes_;
  std::vector<std::pair<std::string, std::string_view>> weights_;
  std::map<std::string, std::string_view> inputs_, outputs_;
};

// A ValueInfoProto of these dimensions.
inline std::string value(const std::string& name, std::uint64_t kind, const std::vector<std::string>& dimensions) {
  using protobuf::field;
  std::string shape;
  for (const auto& dimension : dimensions) shape += field(1, dimension);
  const std::string element = protobuf::encode_number(1 << 3 | protobuf::varint) + protobuf::encode_number(kind);
  return field(1, name) + field(2, field(1, element + field(2, shape)));
}

// A ValueInfoProto of floats in four free dimensions.
inline std::string map_value(const std::string& name) {
  std::vector<std::string> dimensions;
  for (int axis = 0; axis < 4; ++axis) dimensions.push_back(protobuf::field(2, name + "." + std::to_string(axis)));
  return value(name, 1, dimensions);
}

// Cut the bytes of a file whose `info` has `parts`.
inline Halves cut(std::string_view content, const ArtifactInfo& info) {
  constexpr std::uint64_t int64 = 7;
  const PartsInfo& parts = *info.parts;
  try {
    const Graph graph(content);
    std::vector<std::string> maps;
    for (const auto& name : parts.light) maps.push_back(map_value(name));
    const std::string one = protobuf::encode_number(1 << 3 | protobuf::varint) + protobuf::encode_number(1);
    std::vector<std::string> inputs{graph.input(info.input.name), value(parts.side, int64, {one})};
    inputs.insert(inputs.end(), maps.begin(), maps.end());
    return {graph.between({map_value(parts.overview)}, maps, parts.light),
            graph.between(inputs, {graph.output(info.output.name)}, {info.output.name})};
  } catch (const ArtifactError& error) {
    throw ArtifactError(info.network + ": the file does not come apart where it says (" + error.what() + "); export it again");
  }
}

}  // namespace retinexrt::detail
