// Protobuf's wire format, as runtime/artifact/protobuf.py has it: the fields of a message, read where they lie and written
// anew. Enough for ONNX files, without protobuf's library. Whatever is wrong with a message is an ArtifactError.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "error.hpp"

namespace retinexrt::detail::protobuf {

// Wire types.
constexpr unsigned varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5;

// The bytes of a message: from a place on, at most so many.
using Read = std::function<std::string(std::uint64_t place, std::size_t count)>;

// A message in memory, which stays the caller's.
inline Read of_bytes(std::string_view message) {
  return [message](std::uint64_t place, std::size_t count) { return std::string(message.substr(std::size_t(place), count)); };
}

// A field, by places in its message: where it begins, and where its payload begins and ends; a number has none.
struct Field {
  std::uint64_t number = 0, start = 0, payload = 0, stop = 0;
};

// Walks the fields of a message of so many bytes. Payloads are stepped over, not read.
class Fields {
 public:
  Fields(Read read, std::uint64_t size) : read_(std::move(read)), size_(size) {}

  explicit Fields(std::string_view message) : Fields(of_bytes(message), message.size()) {}

  // Moves on to the next field; false at the end.
  bool next(Field& field) {
    if (place_ >= size_) return false;
    start_ = place_;
    head_ = read_(place_, 2 * longest);
    const std::uint64_t tag = number();
    if (tag >> 3 == 0) throw ArtifactError("field number 0");
    std::uint64_t length = 0;
    switch (tag & 7) {
      case varint: number(); break;
      case fixed64: length = 8; break;
      case bytes: length = number(); break;
      case fixed32: length = 4; break;
      default: throw ArtifactError("wire type " + std::to_string(tag & 7));
    }
    if (place_ > size_ || length > size_ - place_) throw ArtifactError("it ends in the middle of a field");
    field = {tag >> 3, start_, place_, place_ + length};
    place_ = field.stop;
    return true;
  }

 private:
  static constexpr std::size_t longest = 10;  // of a number; a field begins with one or two of them

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 7 * longest; shift += 7) {
      const std::size_t at = std::size_t(place_ - start_);
      if (at >= head_.size()) throw ArtifactError("it ends in the middle of a number");
      const auto byte = static_cast<unsigned char>(head_[at]);
      value |= std::uint64_t(byte & 0x7FU) << shift;
      ++place_;
      if (byte < 0x80) return value;
    }
    throw ArtifactError("a number is too long");
  }

  Read read_;
  std::uint64_t size_, place_ = 0, start_ = 0;
  std::string head_;
};

// A field's number, its bytes and its payload, in the memory of its message.
struct Piece {
  std::uint64_t number;
  std::string_view raw, payload;
};

inline std::vector<Piece> pieces(std::string_view message) {
  const auto part = [&](std::uint64_t from, std::uint64_t to) { return message.substr(std::size_t(from), std::size_t(to - from)); };
  std::vector<Piece> result;
  Fields fields(message);
  for (Field field; fields.next(field);) {
    result.push_back({field.number, part(field.start, field.stop), part(field.payload, field.stop)});
  }
  return result;
}

// What the fields of one number hold.
inline std::vector<std::string> texts(std::string_view message, std::uint64_t number) {
  std::vector<std::string> result;
  for (const Piece& piece : pieces(message)) {
    if (piece.number == number) result.emplace_back(piece.payload);
  }
  return result;
}

// A number as its bytes.
inline std::string encode_number(std::uint64_t value) {
  std::string made;
  for (; value > 0x7F; value >>= 7) made += char((value & 0x7F) | 0x80);
  made += char(value);
  return made;
}

// A field of bytes.
inline std::string field(std::uint64_t number, std::string_view payload) {
  std::string made = encode_number(number << 3 | bytes) + encode_number(payload.size());
  made.append(payload);
  return made;
}

}  // namespace retinexrt::detail::protobuf
