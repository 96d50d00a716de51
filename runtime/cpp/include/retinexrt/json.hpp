// Reads JSON: as much as an artifact's description of itself needs. Numbers are doubles, exact up to 2^53.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <locale>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace retinexrt::json {

// What is wrong with a document, without its name.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Value {
 public:
  using List = std::vector<Value>;
  using Object = std::map<std::string, Value>;

  Value() = default;
  explicit Value(bool value) : content_(value) {}
  explicit Value(double value) : content_(value) {}
  explicit Value(std::string value) : content_(std::move(value)) {}
  explicit Value(List value) : content_(std::make_shared<const List>(std::move(value))) {}
  explicit Value(Object value) : content_(std::make_shared<const Object>(std::move(value))) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(content_); }
  bool is_number() const { return std::holds_alternative<double>(content_); }
  bool boolean() const { return get<bool>("true or false"); }
  double number() const { return get<double>("a number"); }
  const std::string& text() const { return get<std::string>("a text"); }
  const List& list() const { return *get<std::shared_ptr<const List>>("a list"); }
  const Object& object() const { return *get<std::shared_ptr<const Object>>("an object"); }

  // A field of an object.
  const Value& at(const std::string& name) const {
    const auto found = object().find(name);
    if (found == object().end()) throw JsonError("field '" + name + "' is missing");
    return found->second;
  }

 private:
  template <class T>
  const T& get(const char* expected) const {
    if (const T* value = std::get_if<T>(&content_)) return *value;
    throw JsonError(std::string("expected ") + expected);
  }

  std::variant<std::monostate, bool, double, std::string, std::shared_ptr<const List>, std::shared_ptr<const Object>>
      content_;
};

namespace detail {

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  Value document() {
    Value value = any(0);
    skip();
    if (at_ != text_.size()) fail("something follows the document");
    return value;
  }

 private:
  static constexpr int deepest = 64;

  [[noreturn]] void fail(const std::string& what) const {
    throw JsonError("not a JSON document (" + what + " at byte " + std::to_string(at_) + ")");
  }

  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool accept(char wanted) {
    skip();
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  void expect(char wanted) {
    if (!accept(wanted)) fail(std::string("no '") + wanted + "'");
  }

  Value word(const std::string& wanted, Value value) {
    if (text_.compare(at_, wanted.size(), wanted) != 0) fail("no value");
    at_ += wanted.size();
    return value;
  }

  Value any(int depth) {
    if (depth > deepest) fail("too many levels");
    skip();
    switch (peek()) {
      case '{': return Value(object(depth));
      case '[': return Value(list(depth));
      case '"': return Value(string());
      case 't': return word("true", Value(true));
      case 'f': return word("false", Value(false));
      case 'n': return word("null", Value());
      default: return Value(number());
    }
  }

  Value::Object object(int depth) {
    Value::Object result;
    expect('{');
    if (accept('}')) return result;
    do {
      skip();
      std::string name = string();
      expect(':');
      result[std::move(name)] = any(depth + 1);
    } while (accept(','));
    expect('}');
    return result;
  }

  Value::List list(int depth) {
    Value::List result;
    expect('[');
    if (accept(']')) return result;
    do {
      result.push_back(any(depth + 1));
    } while (accept(','));
    expect(']');
    return result;
  }

  double number() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && std::string("+-.eE0123456789").find(text_[at_]) != std::string::npos) ++at_;
    // The application's locale may write decimals with a comma.
    std::istringstream digits(text_.substr(begin, at_ - begin));
    digits.imbue(std::locale::classic());
    double value = 0;
    if (!(digits >> value) || digits.peek() != std::istringstream::traits_type::eof()) fail("no value");
    return value;
  }

  unsigned code_unit() {
    if (text_.size() - at_ < 4) fail("a short \\u");
    const std::string digits = text_.substr(at_, 4);
    if (digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) fail("a wrong \\u");
    at_ += 4;
    return unsigned(std::strtoul(digits.c_str(), nullptr, 16));
  }

  void append_utf8(std::string& out, unsigned code) const {
    if (code < 0x80) {
      out += char(code);
      return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static constexpr unsigned lead[] = {0, 0xC0, 0xE0, 0xF0};
    out += char(lead[more] | (code >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) out += char(0x80 | ((code >> (6 * i)) & 0x3F));
  }

  void escape(std::string& out) {
    static const std::string from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    const char kind = peek();
    ++at_;
    if (const auto found = from.find(kind); kind != '\0' && found != std::string::npos) {
      out += to[found];
      return;
    }
    if (kind != 'u') fail("an unknown escape");
    unsigned code = code_unit();
    if (code >= 0xDC00 && code < 0xE000) fail("half a surrogate pair");
    if (code >= 0xD800 && code < 0xDC00) {
      if (text_.compare(at_, 2, "\\u") != 0) fail("half a surrogate pair");
      at_ += 2;
      const unsigned low = code_unit();
      if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code);
  }

  std::string string() {
    if (peek() != '"') fail("no text");
    ++at_;
    std::string result;
    for (;;) {
      if (at_ >= text_.size()) fail("a text without an end");
      const char next = text_[at_++];
      if (next == '"') return result;
      if (next == '\\') {
        escape(result);
      } else {
        result += next;
      }
    }
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace detail

inline Value parse(const std::string& text) { return detail::Parser(text).document(); }

}  // namespace retinexrt::json
