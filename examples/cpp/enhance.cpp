// Enhances a picture: enhance ARTIFACT INPUT OUTPUT [STRENGTH [gate]]
// Pictures are PPM files, or PNG files where libpng was found. STRENGTH is 0 to 1; "gate" leaves bright pictures alone.
#include <retinexrt/retinexrt.hpp>

#include <iostream>
#include <string>

#include "picture.hpp"

int main(int argc, char** argv) {
  if (argc < 4 || argc > 6 || (argc == 6 && std::string(argv[5]) != "gate")) {
    std::cerr << "usage: " << argv[0] << " ARTIFACT INPUT OUTPUT [STRENGTH [gate]]\n";
    return 2;
  }
  try {
    retinexrt::Amount amount;
    if (argc > 4) amount.strength = std::stod(argv[4]);
    amount.gate = argc > 5;
    const auto enhancer = retinexrt::open(argv[1]);
    const retinexrt::Image image = picture::read(argv[2]);
    // Of a picture that is too large for one piece.
    const auto progress = [](int done, int total) {
      std::cerr << "\rtile " << done << " of " << total << (done == total ? "\n" : "") << std::flush;
    };
    picture::write(argv[3], enhancer->enhance(image.view(), amount, progress));
    std::cout << enhancer->info().title << " on " << enhancer->backend() << "\n";
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return 0;
}
