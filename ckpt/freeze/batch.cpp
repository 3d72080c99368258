#include "ckpt/freeze/batch.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "ckpt/sys/error.h"

namespace drover {

// The last one's memory serves the next: so large a piece is fetched from the kernel each time, and paged in.
static thread_local std::unique_ptr<std::byte[]> spare;
static thread_local std::size_t spare_bytes = 0;

static std::unique_ptr<std::byte[]> take_memory(std::size_t bytes) {
  if (spare && spare_bytes == bytes) return std::move(spare);
  return std::make_unique_for_overwrite<std::byte[]>(bytes);
}

Batch::Batch(std::uint64_t slot, std::size_t bytes)
    : slot_(slot), data_(take_memory(bytes)), bytes_(bytes), data_begin_(bytes) {}

Batch::~Batch() {
  if (!data_ || bytes_ < spare_bytes) return;
  spare_bytes = bytes_;
  spare = std::move(data_);
}

std::size_t Batch::room() const { return data_begin_ - calls_.size() * sizeof(Call); }

std::size_t Batch::add(std::string what, long number, std::initializer_list<std::uint64_t> args) {
  if (room() < sizeof(Call)) throw std::length_error("too many system calls in a batch");
  Call call{};
  call.word[0] = static_cast<std::uint64_t>(number);
  std::copy(args.begin(), args.end(), call.word + 1);
  calls_.push_back(call);
  what_.push_back(std::move(what));
  return calls_.size() - 1;
}

std::uint64_t Batch::space(std::size_t bytes) {
  const std::size_t rounded = (bytes + 15) / 16 * 16;
  if (room() < rounded) throw std::length_error("too much data in a batch");
  data_begin_ -= rounded;
  std::fill_n(data_.get() + data_begin_, rounded, std::byte{0});
  return slot_ + data_begin_;
}

std::uint64_t Batch::push(std::span<const std::byte> data) {
  const std::uint64_t address = space(data.size());
  std::copy(data.begin(), data.end(), data_.get() + data_begin_);
  return address;
}

std::uint64_t Batch::push_string(std::string_view text) {
  const std::string terminated(text);
  return push(std::as_bytes(std::span(terminated.c_str(), terminated.size() + 1)));
}

// No system call returns it: neither an error nor an address of user memory.
static constexpr std::uint64_t kNoResult = 0x8000'0000'0000'0001;

void Batch::begin() { calls_.back().word[7] = kNoResult; }
bool Batch::finished() const { return calls_.back().word[7] != kNoResult; }

void Batch::set_results(std::span<const std::byte> calls) { std::memcpy(calls_.data(), calls.data(), calls.size()); }

void Batch::check_results() const {
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    const long r = result(i);
    if (r < 0 && r > -4096 && !what_[i].empty()) throw SystemError(what_[i], {}, static_cast<int>(-r));
  }
}

void Batch::clear() {
  calls_.clear();
  what_.clear();
  data_begin_ = bytes_;
}

}  // namespace drover
