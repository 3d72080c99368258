// A list of system calls for one thread of a target, with the memory that they point to, built here and sent there in
// one write. All of it lies at the back of the target's slot: data, which grows downwards, and right before it the
// entries, whose place is known only in the end. A small batch is then one piece in one page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

class Batch {
 public:
  // `slot`: where the batch will lie in the target, `bytes` long.
  Batch(std::uint64_t slot, std::size_t bytes);
  ~Batch();
  Batch(Batch&&) noexcept = default;

  // Adds a call that must succeed: run() throws SystemError "`what`: ..." if it fails. Returns its index.
  template <class... Args>
  std::size_t must(std::string_view what, long number, Args... args) {
    return add(std::string(what), number, {to_word(args)...});
  }
  // Adds a call whose result the caller looks at.
  template <class... Args>
  std::size_t may(long number, Args... args) {
    return add({}, number, {to_word(args)...});
  }

  // Puts data into the slot; gives its address in the target, aligned to 16. Throws std::length_error when full.
  std::uint64_t push(std::span<const std::byte> data);
  std::uint64_t push_string(std::string_view text);
  std::uint64_t space(std::size_t bytes);  // zeroed room that a call writes to
  template <class T>
  std::uint64_t push_value(const T& value) {
    return push(std::as_bytes(std::span(&value, 1)));
  }

  std::size_t size() const { return calls_.size(); }
  bool empty() const { return calls_.empty(); }
  std::size_t room() const;  // bytes left for entries and data
  // Set before the run: the data comes back too, and loaded() gives a value of it by its address in the target.
  void want_data() { wants_data_ = true; }
  template <class T>
  T loaded(std::uint64_t address) const {
    T value;
    std::memcpy(&value, data_.get() + (address - slot_), sizeof value);
    return value;
  }
  long result(std::size_t index) const { return static_cast<long>(calls_.at(index).word[7]); }

  // For RemoteSyscalls.
  struct Call {
    std::uint64_t word[8];
  };
  std::uint64_t calls_address() const { return data_address() - calls_.size() * sizeof(Call); }
  std::span<const Call> calls() const { return calls_; }
  std::span<const std::byte> data() const { return {data_.get() + data_begin_, bytes_ - data_begin_}; }
  std::uint64_t data_address() const { return slot_ + data_begin_; }
  bool wants_data() const { return wants_data_; }
  std::span<std::byte> writable_data() { return {data_.get() + data_begin_, bytes_ - data_begin_}; }
  void begin();           // the last call has no result yet
  bool finished() const;  // after set_results(): it has one
  void set_results(std::span<const std::byte> calls);
  void check_results() const;
  void clear();

 private:
  template <class T>
  static std::uint64_t to_word(T value) {
    if constexpr (std::is_pointer_v<T> || std::is_null_pointer_v<T>)
      return reinterpret_cast<std::uint64_t>(value);
    else
      return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  }
  std::size_t add(std::string what, long number, std::initializer_list<std::uint64_t> args);

  std::uint64_t slot_;
  // Left uninitialised: a slot is large, and a batch rarely uses more than a few pages of it.
  std::unique_ptr<std::byte[]> data_;
  std::size_t bytes_, data_begin_;
  bool wants_data_ = false;
  std::vector<Call> calls_;
  std::vector<std::string> what_;
};

}  // namespace drover
