// What all implementations must survive: exercise errors FOLDER | cycles FILE COUNT | views FILE | closing FILE | left FILE |
// gone FILE | progress FILE | changed FILE OTHER
#include <retinexrt/retinexrt.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>

namespace {

using retinexrt::Color;
using retinexrt::Image;
using retinexrt::ImageView;
using retinexrt::MutableImageView;

Image pattern(int height, int width) {
  Image image(height, width);
  for (std::size_t i = 0; i < image.size(); ++i) image.data()[i] = std::uint8_t(i * i % 91);
  return image;
}

bool same(const Image& one, const Image& other) {
  return one.size() == other.size() && std::equal(one.data(), one.data() + one.size(), other.data());
}

// One line: the case, the exception's class, its text.
void expect(const std::string& name, const std::function<void()>& action) {
  try {
    action();
    std::cout << name << "\tnothing\t\n";
  } catch (const retinexrt::Error& error) {
    std::cout << name << '\t' << error.kind() << '\t' << error.what() << '\n';
  }
}

void errors(const std::string& folder) {
  for (const char* name : {"absent", "damaged", "foreign", "newer", "tensors"}) {
    expect(name, [&] { retinexrt::open(folder + "/" + name + ".onnx"); });
  }
  expect("not a model", [&] { retinexrt::open(folder + "/picture.png"); });
  expect("unknown backend", [&] {
    retinexrt::Options options;
    options.backend = "abacus";
    retinexrt::open(folder + "/double.onnx", options);
  });
  expect("negative threads", [&] {
    retinexrt::Options options;
    options.threads = -1;
    retinexrt::open(folder + "/double.onnx", options);
  });
  for (const char* precision : {"fp7", "bf16"}) {
    expect(std::string("precision ") + precision, [&] {
      retinexrt::Options options;
      options.precision = precision;
      retinexrt::open(folder + "/double.onnx", options);
    });
  }
  expect("negative device", [&] {
    retinexrt::Options options;
    options.device = -1;
    retinexrt::open(folder + "/double.onnx", options);
  });
  for (const char* name : {"no halo", "no size", "no multiple"}) {
    expect(name, [&] { retinexrt::open(folder + "/" + name + ".onnx"); });
  }
  const auto enhancer = retinexrt::open(folder + "/double.onnx");
  Image image = pattern(33, 47);
  std::uint8_t* const data = image.data();
  const auto enhance = [&](const ImageView& view) { return [&enhancer, view] { enhancer->enhance(view); }; };
  expect("null image", enhance({nullptr, 33, 47}));
  expect("no rows", enhance({data, 0, 47}));
  expect("negative width", enhance({data, 33, -47}));
  expect("too small", enhance({data, 8, 47}));
  expect("short stride", enhance({data, 33, 47, 100}));
  expect("negative stride", enhance({data, 33, 47, -141}));
  expect("huge stride", enhance({data, 33, 47, std::numeric_limits<std::ptrdiff_t>::max() / 8}));
  for (const double strength : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    expect("strength " + std::to_string(strength), [&] { enhancer->enhance(image.view(), {strength}); });
  }
  expect("null out", [&] { enhancer->enhance_into(image.view(), {nullptr, 33, 47}); });
  expect("other size", [&] { enhancer->enhance_into(image.view(), {data, 33, 46}); });
  expect("short out stride", [&] { enhancer->enhance_into(image.view(), {data, 33, 47, 1}); });
  expect("GPU memory", [&] { enhancer->enhance_device(data, data + 3000, {1, 16, 16}, nullptr); });
  expect("in a thread", [&] { std::async(std::launch::async, enhance({data, 8, 47})).get(); });
  const auto whole = retinexrt::open(folder + "/whole.onnx");
  expect("too large", [&] { whole->enhance(Image(1500, 1500).view()); });
  enhancer->enhance(image.view());  // all that did no harm
  enhancer->close();
  enhancer->close();
  expect("closed", enhance(image.view()));
  expect("closed, in a thread", [&] { std::async(std::launch::async, enhance(image.view())).get(); });
  std::cout << enhancer->info().network << "\tremains\t\n";
}

// Resident memory in KiB.
long resident() {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    if (word == "VmRSS:") {
      long size = 0;
      file >> size;
      return size;
    }
  }
  return 0;
}

void cycles(const std::string& path, int count) {
  const Image image = pattern(33, 47);
  Image first;
  long before = 0;
  for (int i = 0; i < count; ++i) {
    const auto enhancer = retinexrt::open(path);
    Image out;
    std::thread([&] { out = enhancer->enhance(image.view()); }).join();
    if (i == 0) first = std::move(out);
    else if (!same(first, out)) throw retinexrt::Error("Test", "a later enhancer gave other bytes");
    if (i == count / 2) before = resident();
  }
  std::cout << resident() - before << '\n';
}

// Every kind of view gives the same picture.
void views(const std::string& path) {
  const auto enhancer = retinexrt::open(path);
  const Image image = pattern(33, 47);
  const Image wanted = enhancer->enhance(image.view());
  const auto check = [&](const char* name, const Image& found) {
    std::cout << name << (same(wanted, found) ? " same\n" : " DIFFERENT\n");
  };
  constexpr int stride = 47 * 3 + 11;
  std::vector<std::uint8_t> wide(33 * stride);
  const MutableImageView strided{wide.data(), 33, 47, stride, Color::rgb}, swapped{wide.data(), 33, 47, stride, Color::bgr};
  Image packed(33, 47), bgr(33, 47, Color::bgr);

  retinexrt::copy(image.view(), strided);
  check("strided in", enhancer->enhance(strided));
  enhancer->enhance_into(strided, strided);
  retinexrt::copy(strided, packed.view());
  check("strided in place", packed);
  retinexrt::copy(image.view(), swapped);
  bgr = enhancer->enhance(swapped);
  retinexrt::copy(bgr.view(), packed.view());
  check("bgr", packed);
  retinexrt::copy(image.view(), bgr.view());
  enhancer->enhance_into(bgr.view(), packed.view());
  check("bgr to rgb", packed);
  enhancer->enhance_into(image.view(), bgr.view());
  retinexrt::copy(bgr.view(), packed.view());
  check("rgb to bgr", packed);
  packed = image;
  enhancer->enhance_into(packed.view(), packed.view());
  check("in place", packed);
}

// Close an enhancer while four threads are using it: each goes on until it is told so.
void closing(const std::string& path) {
  const auto enhancer = retinexrt::open(path);
  const Image image = pattern(33, 47);
  const Image wanted = enhancer->enhance(image.view());
  const auto work = [&](std::promise<void> running) {
    bool first = true;
    try {
      for (;;) {
        if (!same(wanted, enhancer->enhance(image.view()))) return std::string("other bytes");
        if (first) running.set_value();
        first = false;
      }
    } catch (const retinexrt::ClosedError& error) {
      return error.kind();
    }
  };
  std::vector<std::future<std::string>> results;
  for (int i = 0; i < 4; ++i) {
    std::promise<void> running;
    auto started = running.get_future();
    results.push_back(std::async(std::launch::async, work, std::move(running)));
    started.get();
  }
  enhancer->close();
  for (auto& result : results) std::cout << result.get() << '\n';
}

// An enhancer that is still open when the program ends.
std::unique_ptr<retinexrt::Enhancer>& left_open() {
  static std::unique_ptr<retinexrt::Enhancer> enhancer;
  return enhancer;
}

void left(const std::string& path) {
  left_open() = nullptr;  // made before what the library keeps for the process, and so destroyed after it
  left_open() = retinexrt::open(path);
  left_open()->enhance(pattern(33, 47).view());
  std::cout << "left open\n";
}

// An enhancer goes on after its file is gone.
void gone(const std::string& path) {
  const auto enhancer = retinexrt::open(path);
  if (std::remove(path.c_str()) != 0) throw retinexrt::Error("Test", "the file cannot be removed");
  const Image first = enhancer->enhance(pattern(33, 47).view());
  for (int i = 0; i < 5; ++i) {
    if (!same(first, enhancer->enhance(pattern(33, 47).view()))) throw retinexrt::Error("Test", "other bytes");
  }
  std::cout << "goes on\n";
}

// A picture of several tiles: what is told, and that an exception ends the call as itself.
void progress(const std::string& path) {
  const auto enhancer = retinexrt::open(path);
  const Image large = pattern(1100, 1950);
  Image out(1100, 1950);
  std::string told;
  enhancer->enhance_into(large.view(), out.view(), {}, [&](int done, int total) {
    told += std::to_string(done) + " of " + std::to_string(total) + "\n";
  });
  std::cout << told;
  try {
    enhancer->enhance(large.view(), {}, [](int, int) { throw std::out_of_range("enough"); });
  } catch (const std::out_of_range& error) {
    std::cout << error.what() << '\n';
  }
  if (!same(out, enhancer->enhance(large.view()))) throw retinexrt::Error("Test", "other bytes");
  enhancer->enhance(pattern(33, 47).view(), {}, [](int, int) { std::cout << "told of a small picture\n"; });
}

// An enhancer whose file becomes another before the first large picture.
void changed(const std::string& path, const std::string& other) {
  const auto enhancer = retinexrt::open(path);
  std::ofstream(path, std::ios::binary) << std::ifstream(other, std::ios::binary).rdbuf();
  enhancer->enhance(pattern(1100, 1950).view());
}

void run(const std::string& what, const std::string& path, char** more) {
  if (what == "errors") return errors(path);
  if (what == "cycles") return cycles(path, std::stoi(more[0]));
  if (what == "views") return views(path);
  if (what == "closing") return closing(path);
  if (what == "left") return left(path);
  if (what == "gone") return gone(path);
  if (what == "progress") return progress(path);
  if (what == "changed") return changed(path, more[0]);
  throw retinexrt::InputError("unknown exercise " + what);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc > 2 ? argv[1] : "", argc > 2 ? argv[2] : "", argv + 3);
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << '\n';
    return 2;
  }
  return 0;
}
