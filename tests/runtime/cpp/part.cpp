// A part of an application, compiled with one engine: PART opens an artifact with it.
#include <retinexrt/retinexrt.hpp>

std::unique_ptr<retinexrt::Enhancer> PART(const std::string& path);

std::unique_ptr<retinexrt::Enhancer> PART(const std::string& path) { return retinexrt::open(path); }
