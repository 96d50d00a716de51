// How an artifact is opened.
#pragma once

#include <string>

namespace retinexrt {

struct Options {
  // "auto": the fastest that works here; else a name that `retinexrt doctor` shows.
  std::string backend = "auto";
  // Number of the GPU, for backends that use one.
  int device = 0;
  // CPU threads of one call; 0 leaves it to the backend.
  int threads = 0;
  // What convolutions are computed in on a CPU, "fp32" or "bf16", for backends that have the choice: OpenVINO. Empty: what the
  // artifact says.
  std::string precision;
  // Embedded only: the Python whose packages are used, e.g. "/opt/app/.venv/bin/python". Only the first enhancer of a
  // process can choose, and only where the application runs no interpreter of its own. Empty: the environment variable
  // RETINEXRT_PYTHON, else the Python that CMake found.
  std::string python;
};

}  // namespace retinexrt
