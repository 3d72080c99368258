// Signal dispositions of a process, and queued signals.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace drover {

struct QueuedSignal {
  std::array<std::byte, 128> info{};  // siginfo_t
  template <class A>
  void serialize(A& a, unsigned) {
    a& info;
  }
};

struct SignalAction {  // struct sigaction as the kernel has it
  std::int32_t signal = 0;
  std::uint64_t handler = 0, flags = 0, restorer = 0, mask = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& signal& handler& flags& restorer& mask;
  }
};

struct SignalsState {
  std::int32_t process = 0;
  std::vector<SignalAction> actions;  // of the signals that have another one than the default
  std::vector<QueuedSignal> pending;  // for the process; a thread's own are in its record
  template <class A>
  void serialize(A& a, unsigned) {
    a& process& actions& pending;
  }
};

}  // namespace drover
