// Small structures to bytes and back. These are archives in the sense of Boost.Serialization: a type has
// `template <class A> void serialize(A& a, unsigned)` (or a free one) and is found through boost::serialization, so the
// same types work with Boost's own archives. Ours are needed because Boost's binary archive is not portable, and
// because a hostile length must not make the reader allocate: elements are appended one by one as their bytes are
// found.
//
// Encoding: integers little-endian in their own size, bool and enum as their integer, double as its bits, string and
// vector as a 32-bit count and the elements, optional as a bool and perhaps the value. No names, no padding.
#pragma once

#include <array>
#include <boost/serialization/serialization.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "ckpt/image/error.h"

namespace drover {

template <class T>
concept Scalar = std::is_arithmetic_v<T> || std::is_enum_v<T>;

class OutArchive {
 public:
  using is_saving = std::true_type;
  using is_loading = std::false_type;

  template <class T>
  OutArchive& operator&(const T& value) {
    put(value);
    return *this;
  }
  template <class T>
  OutArchive& operator<<(const T& value) {
    return *this & value;
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  template <Scalar T>
  void put(const T& value) {  // x86-64 is little-endian, and the image says so
    raw(&value, sizeof value);
  }
  void put(const std::string& text) { count(text.size()), raw(text.data(), text.size()); }
  void put(const std::vector<std::byte>& blob) { count(blob.size()), raw(blob.data(), blob.size()); }
  template <class T>
  void put(const std::vector<T>& values) {
    count(values.size());
    for (const T& value : values) put(value);
  }
  template <class T, std::size_t N>
  void put(const std::array<T, N>& values) {
    for (const T& value : values) put(value);
  }
  template <class T>
  void put(const std::optional<T>& value) {
    put(value.has_value());
    if (value) put(*value);
  }
  template <class T>
  requires(!Scalar<T>) void put(const T& value) {
    // As Boost's archives do: serialize() is one function for both ways and takes a mutable object.
    boost::serialization::serialize_adl(*this, const_cast<T&>(value), 0);
  }
  void count(std::size_t n) {
    if (n > std::numeric_limits<std::uint32_t>::max()) throw ImageError("object too large for an image");
    put(static_cast<std::uint32_t>(n));
  }
  void raw(const void* data, std::size_t n) {
    const auto* begin = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), begin, begin + n);
  }

  std::vector<std::byte> bytes_;
};

// Throws ImageError when the bytes end early or hold a value that can't be.
class InArchive {
 public:
  using is_saving = std::false_type;
  using is_loading = std::true_type;

  explicit InArchive(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class T>
  InArchive& operator&(T& value) {
    get(value);
    return *this;
  }
  template <class T>
  InArchive& operator>>(T& value) {
    return *this & value;
  }
  std::size_t remaining() const { return rest_.size(); }
  void expect_end() const {
    if (!rest_.empty()) throw ImageError("damaged image: bytes left over after an object");
  }

 private:
  template <Scalar T>
  void get(T& value) {
    raw(&value, sizeof value);
  }
  void get(bool& value) {
    std::uint8_t byte = 0;
    raw(&byte, 1);
    if (byte > 1) throw ImageError("damaged image: a truth value that is neither");
    value = byte == 1;
  }
  void get(std::string& text) {
    const std::size_t n = count();
    text.assign(reinterpret_cast<const char*>(rest_.data()), n);
    rest_ = rest_.subspan(n);
  }
  void get(std::vector<std::byte>& blob) {
    const std::size_t n = count();
    blob.assign(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(n));
    rest_ = rest_.subspan(n);
  }
  template <class T>
  void get(std::vector<T>& values) {
    values.clear();
    for (std::size_t n = count(); n > 0; --n) get(values.emplace_back());
  }
  template <class T, std::size_t N>
  void get(std::array<T, N>& values) {
    for (T& value : values) get(value);
  }
  template <class T>
  void get(std::optional<T>& value) {
    bool there = false;
    get(there);
    value.reset();
    if (there) get(value.emplace());
  }
  template <class T>
  requires(!Scalar<T>) void get(T& value) { boost::serialization::serialize_adl(*this, value, 0); }
  // Every element takes at least one byte, so a count beyond what is left is a lie.
  std::size_t count() {
    std::uint32_t n = 0;
    get(n);
    if (n > rest_.size()) throw ImageError("damaged image: a length beyond the end of its object");
    return n;
  }
  void raw(void* data, std::size_t n) {
    if (n > rest_.size()) throw ImageError("damaged image: an object ends early");
    std::memcpy(data, rest_.data(), n);
    rest_ = rest_.subspan(n);
  }

  std::span<const std::byte> rest_;
};

}  // namespace drover
