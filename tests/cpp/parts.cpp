// An application whose parts were compiled with different engines: parts FILE
#include <retinexrt/enhancer.hpp>

#include <iostream>
#include <memory>

std::unique_ptr<retinexrt::Enhancer> part_openvino(const std::string& path);
std::unique_ptr<retinexrt::Enhancer> part_onnxruntime(const std::string& path);

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto one = part_openvino(argv[1]), other = part_onnxruntime(argv[1]);
  std::cout << one->backend() << ' ' << other->backend() << std::endl;
  return 0;
}
