// ONNX Runtime, as far as its version: one that is older than the headers.
#include <onnxruntime_c_api.h>

#include <cstdint>

namespace {

const OrtApi* ORT_API_CALL api(std::uint32_t) noexcept { return nullptr; }
const char* ORT_API_CALL version() noexcept { return "1.2.3"; }

}  // namespace

const OrtApiBase* ORT_API_CALL OrtGetApiBase() noexcept {
  static const OrtApiBase base{api, version};
  return &base;
}
