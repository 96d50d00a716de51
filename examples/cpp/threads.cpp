// Eight threads share one enhancer: threads ARTIFACT INPUT.ppm OUTPUT_FOLDER [PICTURES]
// Thread i enhances the picture turned brighter by i codes, and the last result of each is written as i.ppm.
#include <retinexrt/retinexrt.hpp>

#include <algorithm>
#include <future>
#include <iostream>
#include <vector>

#include "ppm.hpp"

namespace {

retinexrt::Image work(retinexrt::Enhancer& enhancer, retinexrt::Image image, int brighter, int pictures) {
  for (std::size_t i = 0; i < image.size(); ++i) {
    image.data()[i] = static_cast<unsigned char>(std::min(255, image.data()[i] + brighter));
  }
  retinexrt::Image out(image.height(), image.width());
  for (int i = 0; i < pictures; ++i) enhancer.enhance_into(image.view(), out.view());
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::cerr << "usage: " << argv[0] << " ARTIFACT INPUT.ppm OUTPUT_FOLDER [PICTURES]\n";
    return 2;
  }
  try {
    constexpr int threads = 8;
    const int pictures = argc == 5 ? std::stoi(argv[4]) : 4;
    const auto enhancer = retinexrt::open(argv[1]);
    const retinexrt::Image image = ppm::read(argv[2]);
    // A future carries an exception out of its thread.
    std::vector<std::future<retinexrt::Image>> results;
    for (int i = 0; i < threads; ++i) {
      results.push_back(std::async(std::launch::async, work, std::ref(*enhancer), image, i, pictures));
    }
    for (int i = 0; i < threads; ++i) {
      ppm::write(std::string(argv[3]) + "/" + std::to_string(i) + ".ppm", results[std::size_t(i)].get());
    }
    std::cout << threads * pictures << " pictures by " << threads << " threads on " << enhancer->backend() << "\n";
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return 0;
}
