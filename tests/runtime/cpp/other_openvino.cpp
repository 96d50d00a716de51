// OpenVINO, as far as its version: one that the programs were not compiled with.
#include <openvino/core/version.hpp>

const ov::Version ov::get_openvino_version() noexcept { return {"2019.1.0-1234", "another"}; }
