// An application whose parts were compiled with different engines, this one with both: parts FILE...
// Prints what opens each file in each part.
#include <retinexrt/retinexrt.hpp>

#include <iostream>

std::unique_ptr<retinexrt::Enhancer> part_openvino(const std::string& path);
std::unique_ptr<retinexrt::Enhancer> part_onnxruntime(const std::string& path);

int main(int, char** files) {
  try {
    for (++files; *files != nullptr; ++files) {
      const auto one = part_openvino(*files), other = part_onnxruntime(*files), either = retinexrt::open(*files);
      const retinexrt::Image image(16, 16);
      for (const auto* enhancer : {&one, &other, &either}) {
        (*enhancer)->enhance(image.view());
        std::cout << (*enhancer)->backend() << ' ';
      }
      std::cout << std::endl;
    }
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << std::endl;
    return 2;
  }
  return 0;
}
