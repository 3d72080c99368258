// A small archive for Boost.Serialization's concept: portable (little-endian, fixed widths), and safe on bytes that
// nobody vouches for. Boost's own binary archive is neither: it writes the machine's layout and reserves whatever a
// count says.
//
// Types take part as usual: `template <class A> void serialize(A& a, unsigned) { a & x & y; }`.
// Integers and enums are written in their own width, bool as one byte, strings and vectors as a u32 count and the
// elements. Reading checks every count against the bytes that are left, so that no input can make it allocate more than
// a small multiple of its own size.
#pragma once

#include <array>
#include <boost/mpl/bool.hpp>
#include <boost/serialization/serialization.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace drover {

// Bytes that do not decode to what they should: truncated, a count out of bounds, something left over.
class ArchiveError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace archive_detail {
template <class T>
inline constexpr bool is_plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;
}

class OutputArchive {
 public:
  using is_saving = boost::mpl::bool_<true>;
  using is_loading = boost::mpl::bool_<false>;

  explicit OutputArchive(std::string& out) : out_(out) {}

  template <class T>
  OutputArchive& operator&(const T& value) {
    save(value);
    return *this;
  }
  template <class T>
  OutputArchive& operator<<(const T& value) {
    return *this & value;
  }

 private:
  void raw(const void* bytes, std::size_t count) { out_.append(static_cast<const char*>(bytes), count); }
  void count(std::size_t n) {
    if (n > UINT32_MAX) throw ArchiveError("more than 2^32 elements");
    const auto narrow = static_cast<std::uint32_t>(n);
    raw(&narrow, sizeof narrow);
  }
  template <class T>
  void save(const T& value) {
    if constexpr (archive_detail::is_plain<T>)
      raw(&value, sizeof value);
    else
      boost::serialization::serialize_adl(*this, const_cast<T&>(value), 0U);
  }
  void save(const std::string& value) {
    count(value.size());
    raw(value.data(), value.size());
  }
  template <class T>
  void save(const std::vector<T>& values) {
    count(values.size());
    if constexpr (archive_detail::is_plain<T> && !std::is_same_v<T, bool>)
      raw(values.data(), values.size() * sizeof(T));
    else
      for (const auto& value : values) save(value);
  }
  template <class T, std::size_t N>
  void save(const std::array<T, N>& values) {
    for (const auto& value : values) save(value);
  }
  template <class T>
  void save(const std::optional<T>& value) {
    save(value.has_value());
    if (value) save(*value);
  }
  template <class A, class B>
  void save(const std::pair<A, B>& value) {
    save(value.first);
    save(value.second);
  }

  std::string& out_;
};

class InputArchive {
 public:
  using is_saving = boost::mpl::bool_<false>;
  using is_loading = boost::mpl::bool_<true>;

  explicit InputArchive(std::string_view in) : in_(in) {}

  template <class T>
  InputArchive& operator&(T& value) {
    load(value);
    return *this;
  }
  template <class T>
  InputArchive& operator>>(T& value) {
    return *this & value;
  }
  std::size_t left() const { return in_.size(); }

 private:
  void raw(void* bytes, std::size_t n) {
    if (n > in_.size()) throw ArchiveError("truncated");
    if (n > 0) std::memcpy(bytes, in_.data(), n);
    in_.remove_prefix(n);
  }
  // Every element takes `least` bytes at the least, so a larger count can't be true.
  std::size_t count(std::size_t least) {
    std::uint32_t n = 0;
    raw(&n, sizeof n);
    if (n > in_.size() / least) throw ArchiveError("a count is larger than what follows it");
    return n;
  }
  template <class T>
  void load(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t byte = 0;
      raw(&byte, 1);
      value = byte != 0;
    } else if constexpr (archive_detail::is_plain<T>) {
      raw(&value, sizeof value);
    } else {
      boost::serialization::serialize_adl(*this, value, 0U);
    }
  }
  void load(std::string& value) {
    const std::size_t n = count(1);
    value.assign(in_.data(), n);
    in_.remove_prefix(n);
  }
  template <class T>
  void load(std::vector<T>& values) {
    values.clear();
    if constexpr (archive_detail::is_plain<T> && !std::is_same_v<T, bool>) {
      values.resize(count(sizeof(T)));
      raw(values.data(), values.size() * sizeof(T));
    } else {
      // Grown one by one: a hostile count of elements of one byte each must not reserve their full size at once.
      for (std::size_t left = count(1); left > 0; --left) load(values.emplace_back());
    }
  }
  template <class T, std::size_t N>
  void load(std::array<T, N>& values) {
    for (auto& value : values) load(value);
  }
  template <class T>
  void load(std::optional<T>& value) {
    bool has = false;
    load(has);
    if (has)
      load(value.emplace());
    else
      value.reset();
  }
  template <class A, class B>
  void load(std::pair<A, B>& value) {
    load(value.first);
    load(value.second);
  }

  std::string_view in_;
};

template <class T>
std::string pack(const T& value) {
  std::string out;
  OutputArchive(out) & value;
  return out;
}

// Throws ArchiveError if `bytes` is not exactly one T.
template <class T>
T unpack(std::string_view bytes) {
  T value{};
  InputArchive in(bytes);
  in& value;
  if (in.left() != 0) throw ArchiveError("bytes left over");
  return value;
}

}  // namespace drover
