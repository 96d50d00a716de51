// Enhances a picture: enhance ARTIFACT INPUT.ppm OUTPUT.ppm
#include <retinexrt/retinexrt.hpp>

#include <iostream>

#include "ppm.hpp"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: " << argv[0] << " ARTIFACT INPUT.ppm OUTPUT.ppm\n";
    return 2;
  }
  try {
    const auto enhancer = retinexrt::open(argv[1]);
    ppm::write(argv[3], enhancer->enhance(ppm::read(argv[2]).view()));
    std::cout << enhancer->info().title << " on " << enhancer->backend() << "\n";
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << "\n";
    return 2;
  }
  return 0;
}
