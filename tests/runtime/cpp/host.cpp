// An application that runs an interpreter of its own: host PYTHON_PREFIX_SITE FILE
// Prints what it went through, and ends its interpreter while an enhancer is still there.
#include <retinexrt/retinexrt.hpp>

#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

namespace py = pybind11;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  retinexrt::Image image(33, 47);
  for (std::size_t i = 0; i < image.size(); ++i) image.data()[i] = std::uint8_t(i % 80);
  std::unique_ptr<retinexrt::Enhancer> left;
  {
    const py::scoped_interpreter interpreter;
    py::module_::import("site").attr("addsitedir")(argv[1]);
    const auto enhancer = retinexrt::open(argv[2]);
    const retinexrt::Image first = enhancer->enhance(image.view());
    std::cout << "with the GIL: " << int(first.data()[1]) << std::endl;
    py::exec("answer = 6 * 7");  // the GIL is still ours
    {
      const py::gil_scoped_release release;
      int done = 0;
      std::vector<std::thread> threads;
      std::mutex mutex;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
          const auto own = retinexrt::open(argv[2]);
          const retinexrt::Image out = own->enhance(image.view()), shared = enhancer->enhance(image.view());
          const std::lock_guard<std::mutex> lock(mutex);
          done += out.data()[1] == first.data()[1] && shared.data()[1] == first.data()[1];
        });
      }
      for (auto& thread : threads) thread.join();
      std::cout << "in threads: " << done << std::endl;
    }
    try {
      retinexrt::open("nowhere");
    } catch (const retinexrt::ArtifactError& error) {
      std::cout << error.kind() << ", and no Python error is left: " << (PyErr_Occurred() == nullptr) << std::endl;
    }
    std::cout << "answer: " << py::globals()["answer"].cast<int>() << std::endl;
    left = retinexrt::open(argv[2]);
  }
  try {
    left->enhance(image.view());
  } catch (const retinexrt::ClosedError& error) {
    std::cout << error.kind() << ": " << error.what() << std::endl;
  }
  left.reset();
  std::cout << "done" << std::endl;
  return 0;
}
