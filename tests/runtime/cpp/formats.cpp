// Prints what the headers read: formats onnx FILE | json FILE | plan FILE FLAVOUR VERSION SM | sha256 FILE
// And what they compute: formats exposure PPM | blend SOURCE ENHANCED STRENGTH GEOMETRIC OUT | cut FILE DECIDE RENDER |
// damaged FILE COUNT
#include <retinexrt/exposure.hpp>
#include <retinexrt/file.hpp>
#include <retinexrt/manifest.hpp>
#include <retinexrt/onnx_file.hpp>
#include <retinexrt/onnx_parts.hpp>

#include <algorithm>
#include <clocale>
#include <fstream>
#include <iostream>
#include <limits>
#include <random>
#include <string_view>

#include "ppm.hpp"

namespace {

void print(const retinexrt::json::Value& value) {
  if (value.is_null()) {
    std::cout << "null";
  } else if (value.is_number()) {
    std::cout << value.number();
  } else {
    std::cout << value.text();
  }
}

void print(const retinexrt::ArtifactInfo& info) {
  std::cout << info.network << '|' << info.precision << '|' << info.input.name << '|' << info.output.name << '|' << info.multiple
            << '|' << (info.halo ? std::to_string(*info.halo) : "none") << '|' << info.input.shape[1].value_or(-1) << '|'
            << (info.plan ? info.plan->flavour : "no plan") << '\n';
}

// What a file says about itself, and its halves.
retinexrt::detail::Halves halves_of(std::string_view content) {
  using namespace retinexrt::detail;
  const retinexrt::ArtifactInfo info = info_of(protobuf::of_bytes(content), content.size(), "it");
  if (!info.parts) throw retinexrt::ArtifactError("it has no parts");
  return retinexrt::detail::cut(content, info);
}

void cut(const std::string& path, const char* decide, const char* render) {
  const std::vector<char> bytes = retinexrt::detail::read_bytes(path);
  const retinexrt::detail::Halves halves = halves_of({bytes.data(), bytes.size()});
  std::ofstream(decide, std::ios::binary) << halves.decide;
  std::ofstream(render, std::ios::binary) << halves.render;
}

// Cuts a file so many times, each time with a few of its bytes changed or its end missing. Weights are spared: they are
// most of the file, and nothing of ours looks at them.
void damaged(const std::string& path, int count) {
  const std::vector<char> bytes = retinexrt::detail::read_bytes(path);
  std::mt19937 random(0);
  const auto below = [&](std::size_t limit) { return std::size_t(random()) % limit; };
  int whole = 0, refused = 0;
  for (int i = 0; i < count; ++i) {
    std::string content(bytes.begin(), bytes.end());
    if (below(8) == 0) content.resize(below(content.size()));
    const std::size_t changes = content.empty() ? 0 : 1 + below(4);
    for (std::size_t change = 0; change < changes; ++change) {
      // The nodes stand at the beginning, and what the file says about itself at the end.
      const std::size_t near = below(std::min<std::size_t>(content.size(), 120000));
      content[below(3) == 0 ? content.size() - 1 - near % std::min<std::size_t>(content.size(), 8000) : near] = char(random());
    }
    try {
      halves_of(content);
      ++whole;
    } catch (const retinexrt::ArtifactError&) {
      ++refused;
    }
  }
  std::cout << whole << " whole, " << refused << " refused\n";
}

void run(const std::string& what, const std::string& path, char** more) {
  if (what == "cut") return cut(path, more[0], more[1]);
  if (what == "damaged") return damaged(path, std::stoi(more[0]));
  if (what == "onnx") return print(retinexrt::read_onnx_info(path));
  if (what == "plan") {
    const retinexrt::Plan plan = retinexrt::read_plan(path);
    retinexrt::check_plan(plan, more[0], more[1], more[2]);
    return print(plan.info);
  }
  if (what == "exposure") {
    const retinexrt::Image image = ppm::read(path);
    std::cout.precision(std::numeric_limits<double>::max_digits10);
    std::cout << retinexrt::detail::exposure(image.data(), image.height(), image.width()) << '\n';
    return;
  }
  if (what == "blend") {
    const retinexrt::Image source = ppm::read(path);
    retinexrt::Image enhanced = ppm::read(more[0]);
    retinexrt::detail::blend(source.data(), enhanced.data(), source.size(), std::stod(more[1]), *more[2] == '1');
    return ppm::write(more[3], enhanced);
  }
  const std::vector<char> bytes = retinexrt::detail::read_bytes(path);
  if (what == "sha256") {
    std::cout << retinexrt::detail::sha256_of(bytes.data(), bytes.size()) << '\n';
    return;
  }
  // A JSON object of texts, numbers and nulls, by name.
  const auto document = retinexrt::json::parse(std::string(bytes.begin(), bytes.end()));
  for (const auto& [name, value] : document.object()) {
    std::cout << name << '=';
    print(value);
    std::cout << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");  // as applications with windows do
  try {
    run(argc > 2 ? argv[1] : "", argc > 2 ? argv[2] : "", argv + 3);
  } catch (const retinexrt::Error& error) {
    std::cout << error.kind() << ": " << error.what() << '\n';
    return 2;
  } catch (const retinexrt::json::JsonError& error) {
    std::cout << error.what() << '\n';
    return 3;
  }
  return 0;
}
