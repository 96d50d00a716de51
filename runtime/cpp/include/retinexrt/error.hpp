// Exceptions. Each carries the class name and the text that the same mistake has in Python.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace retinexrt {

// Base of everything that this library throws. In embedded mode it also stands for Python exceptions of other
// libraries; kind() then is their class, e.g. "MemoryError".
class Error : public std::runtime_error {
 public:
  Error(const std::string& kind, const std::string& text)
      : std::runtime_error(text), kind_(std::make_shared<const std::string>(kind)) {}

  // Name of the Python class, e.g. "InputError"; what() is the text alone.
  const std::string& kind() const noexcept { return *kind_; }

 private:
  std::shared_ptr<const std::string> kind_;  // shared, so that copying an exception does not throw
};

// An image or an argument is not what the call accepts.
class InputError : public Error {
 public:
  explicit InputError(const std::string& text) : Error("InputError", text) {}
};

// An ONNX file or a plan is missing, damaged or describes itself wrongly.
class ArtifactError : public Error {
 public:
  explicit ArtifactError(const std::string& text, const std::string& kind = "ArtifactError") : Error(kind, text) {}
};

// A plan's manifest is missing, malformed or belongs to another plan.
class ManifestError : public ArtifactError {
 public:
  explicit ManifestError(const std::string& text) : ArtifactError(text, "ManifestError") {}
};

// A plan is intact, but was built for another flavour, version or GPU than the ones found here.
class IncompatiblePlanError : public ArtifactError {
 public:
  explicit IncompatiblePlanError(const std::string& text) : ArtifactError(text, "IncompatiblePlanError") {}
};

// A backend failed while it ran.
class BackendError : public Error {
 public:
  explicit BackendError(const std::string& text, const std::string& kind = "BackendError") : Error(kind, text) {}
};

// A backend cannot be used here; the text says what to install.
class BackendUnavailableError : public BackendError {
 public:
  explicit BackendUnavailableError(const std::string& text) : BackendError(text, "BackendUnavailableError") {}
};

// An enhancer was used after close().
class ClosedError : public Error {
 public:
  explicit ClosedError(const std::string& text) : Error("ClosedError", text) {}
};

namespace detail {

inline std::string trimmed(const std::string& text) {
  const char* const blank = " \t\r\n";
  const auto begin = text.find_first_not_of(blank);
  return begin == std::string::npos ? "no message" : text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

inline std::string first_line(const std::string& text) {
  const std::string all = trimmed(text);
  return trimmed(all.substr(0, all.find_first_of("\r\n")));
}

// The last line of another library's message: before it come the places that the exception went through.
inline std::string last_line(const std::string& text) {
  const std::string all = trimmed(text);
  const auto line = all.find_last_of("\r\n");
  return trimmed(line == std::string::npos ? all : all.substr(line + 1));
}

inline std::string joined(const std::vector<std::string>& texts) {
  std::string result;
  for (const auto& text : texts) result += (result.empty() ? "" : ", ") + text;
  return result;
}

}  // namespace detail
}  // namespace retinexrt
