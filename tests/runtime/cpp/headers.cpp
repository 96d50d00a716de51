// Every header of the library, to see that none needs another one first and none has a warning.
#include <retinexrt/tiling.hpp>

#include <retinexrt/exposure.hpp>
#include <retinexrt/file.hpp>
#include <retinexrt/manifest.hpp>
#include <retinexrt/onnx_file.hpp>
#include <retinexrt/onnx_parts.hpp>
#include <retinexrt/protobuf.hpp>
#if defined(RETINEXRT_NATIVE) || defined(RETINEXRT_EMBEDDED)
#include <retinexrt/retinexrt.hpp>
#endif
