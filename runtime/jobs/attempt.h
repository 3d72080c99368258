// How often a job has been started (--retries), as its epochs tell it: each attempt has a range of its own, above those
// of the attempts before. So whatever names an epoch (the register, a shepherd's socket, a message) tells the attempts
// apart, and the word of a later one always counts for more.
#pragma once

#include <cstdint>

namespace drover {

inline constexpr std::int32_t kMostRetries = 1000;  // drover --retries permits as many
// More changes of ownership than one attempt will ever see: at two a second it would take a year and a half.
inline constexpr std::int64_t kEpochsOfAttempt = 100'000'000;

// The first attempt is 1.
inline std::int64_t first_epoch(int attempt) { return (attempt - 1) * kEpochsOfAttempt + 1; }

// Of epoch 0, before any start, 1.
inline int attempt_of(std::int64_t epoch) {
  return epoch <= 0 ? 1 : static_cast<int>((epoch - 1) / kEpochsOfAttempt) + 1;
}

}  // namespace drover
