// Prints what the headers read: formats onnx FILE | json FILE | plan FILE FLAVOUR VERSION SM | sha256 FILE
// And what they compute: formats exposure PPM | blend SOURCE ENHANCED STRENGTH GEOMETRIC OUT
#include <retinexrt/exposure.hpp>
#include <retinexrt/manifest.hpp>
#include <retinexrt/onnx_file.hpp>

#include <clocale>
#include <iostream>
#include <limits>

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

void run(const std::string& what, const std::string& path, char** more) {
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
