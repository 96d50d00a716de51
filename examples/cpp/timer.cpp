// Times calls of an enhancer: timer ARTIFACT HEIGHT WIDTH BACKEND
// Prints the backend, then for each line of the standard input the milliseconds of one more call.
#include <retinexrt/retinexrt.hpp>

#include <chrono>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: " << argv[0] << " ARTIFACT HEIGHT WIDTH BACKEND\n";
    return 2;
  }
  try {
    retinexrt::Options options;
    options.backend = argv[4];
    const auto enhancer = retinexrt::open(argv[1], options);
    retinexrt::Image image(std::stoi(argv[2]), std::stoi(argv[3])), out(image.height(), image.width());
    for (std::size_t i = 0; i < image.size(); ++i) image.data()[i] = std::uint8_t(i * 7 % 61);
    std::cout << enhancer->backend() << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
      const auto start = std::chrono::steady_clock::now();
      enhancer->enhance_into(image.view(), out.view());
      const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
      std::cout << time.count() << std::endl;
    }
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return 0;
}
