// Enhances what a camera sees and prints the frame rate: camera ARTIFACT [CAMERA|FILE|synthetic] [FRAMES] [LAST.ppm]
// OpenCV's frames are BGR; they are read and written in place, without a conversion of the program's own.
#include <retinexrt/retinexrt.hpp>

#include <chrono>
#include <iostream>
#include <opencv2/core.hpp>
#include <opencv2/videoio.hpp>

#include "ppm.hpp"

namespace {

retinexrt::MutableImageView view(cv::Mat& frame) {
  return {frame.data, frame.rows, frame.cols, std::ptrdiff_t(frame.step), retinexrt::Color::bgr};
}

// A dark gradient that moves: frame i, with rows longer than their pixels, as frames cut out of larger ones have.
cv::Mat synthetic(int i) {
  cv::Mat larger(120, 176, CV_8UC3);
  for (int y = 0; y < larger.rows; ++y) {
    for (int x = 0; x < larger.cols; ++x) {
      larger.at<cv::Vec3b>(y, x) = {std::uint8_t((x + i) % 40), std::uint8_t(y % 50), std::uint8_t((x + y) % 60)};
    }
  }
  return larger(cv::Rect(8, 8, 160, 100));
}

// Opens nothing for "synthetic", a camera for a number, else a film.
cv::VideoCapture source(const std::string& name) {
  cv::VideoCapture capture;
  if (name == "synthetic") return capture;
  const bool camera = name.find_first_not_of("0123456789") == std::string::npos;
  if (!(camera ? capture.open(std::stoi(name)) : capture.open(name))) {
    throw retinexrt::InputError("no camera or film " + name);
  }
  return capture;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 5) {
    std::cerr << "usage: " << argv[0] << " ARTIFACT [CAMERA|FILE|synthetic] [FRAMES] [LAST.ppm]\n";
    return 2;
  }
  try {
    const auto enhancer = retinexrt::open(argv[1]);
    cv::VideoCapture capture = source(argc > 2 ? argv[2] : "0");
    const int frames = argc > 3 ? std::stoi(argv[3]) : 300;
    cv::Mat frame;
    int done = 0;
    const auto start = std::chrono::steady_clock::now();
    while (done < frames) {
      if (!capture.isOpened()) {
        frame = synthetic(done);
      } else if (!capture.read(frame)) {
        break;  // the film's end
      }
      enhancer->enhance_into(view(frame), view(frame));
      ++done;
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << done << " frames, " << done / seconds.count() << " frames a second on " << enhancer->backend() << "\n";
    if (argc == 5 && done > 0) {
      retinexrt::Image last(frame.rows, frame.cols);
      retinexrt::copy(view(frame), last.view());
      ppm::write(argv[4], last);
    }
  } catch (const retinexrt::Error& error) {
    std::cerr << error.kind() << ": " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return 0;
}
