// All of it. The CMake targets retinexrt::native and retinexrt::embedded say which implementations there are.
#pragma once

#include <memory>
#include <string>

#include "enhancer.hpp"

#ifdef RETINEXRT_NATIVE
#include "native.hpp"
#endif
#ifdef RETINEXRT_EMBEDDED
#include "embedded.hpp"
#endif
#if !defined(RETINEXRT_NATIVE) && !defined(RETINEXRT_EMBEDDED)
#error "link retinexrt::native or retinexrt::embedded; for what needs neither include the header that holds it"
#endif

namespace retinexrt {

// Open an artifact with the implementation that was linked; where both were, .onnx files run native unless a backend is asked
// for that only Python has. Not one function of the whole program: its parts may be compiled with different targets.
static inline std::unique_ptr<Enhancer> open(const std::string& source, const Options& options = {}) {
#if defined(RETINEXRT_NATIVE) && defined(RETINEXRT_EMBEDDED)
  const bool onnx = source.size() > 5 && source.compare(source.size() - 5, 5, ".onnx") == 0;
  bool native = options.backend == "auto";
  for (const auto& name : native_backends()) native = native || options.backend == name;
  if (!onnx || !native) return std::make_unique<EmbeddedEnhancer>(source, options);
#endif
#ifdef RETINEXRT_NATIVE
  return std::make_unique<NativeEnhancer>(source, options);
#else
  return std::make_unique<EmbeddedEnhancer>(source, options);
#endif
}

}  // namespace retinexrt
