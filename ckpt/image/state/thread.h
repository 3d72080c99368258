// One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/image/state/numa.h"
#include "ckpt/image/state/seccomp.h"
#include "ckpt/image/state/signals.h"

namespace drover {

struct CredentialsState {
  std::array<std::uint32_t, 4> uid{}, gid{};  // real, effective, saved, file system
  std::vector<std::uint32_t> groups;
  std::uint64_t cap_inheritable = 0, cap_permitted = 0, cap_effective = 0, cap_bounding = 0, cap_ambient = 0;
  std::uint32_t securebits = 0;
  bool no_new_privs = false;

  bool operator==(const CredentialsState&) const = default;
  template <class A>
  void serialize(A& a, unsigned) {
    a& uid& gid& groups& cap_inheritable& cap_permitted& cap_effective& cap_bounding& cap_ambient& securebits&
        no_new_privs;
  }
};

struct SchedulingState {
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;
  std::vector<std::int32_t> cpus;
  bool all_node_cpus = false;  // no choice of the program's: it had all that the node gives to jobs
  std::int32_t io_priority = 0;
  std::uint64_t timer_slack_ns = 50000;
  NumaPolicy numa;

  bool operator==(const SchedulingState&) const = default;
  template <class A>
  void serialize(A& a, unsigned) {
    a& policy& flags& nice& priority& runtime& deadline& period& cpus& all_node_cpus& io_priority& timer_slack_ns& numa;
  }
};

// A system call that must be told how much of its time is left (freeze/interrupted_call.h).
struct WaitState {
  std::int64_t remaining_ns = 0;  // at the moment of freezing
  bool estimated = false;         // the kernel does not tell; this is never too short
  template <class A>
  void serialize(A& a, unsigned) {
    a& remaining_ns& estimated;
  }
};

struct ThreadState {
  std::int32_t process = 0, tid = 0;
  std::string name;
  std::array<std::uint64_t, 27> registers{};  // struct user_regs_struct
  std::vector<std::byte> xstate;              // NT_X86_XSTATE, without zeros at its end
  std::uint64_t signal_mask = 0;
  std::uint64_t altstack_address = 0, altstack_bytes = 0;
  std::int32_t altstack_flags = 0;
  std::vector<QueuedSignal> pending;
  std::uint64_t tid_address = 0;
  std::uint64_t robust_list = 0, robust_list_bytes = 0;
  std::uint64_t rseq_address = 0;
  std::uint32_t rseq_bytes = 0, rseq_signature = 0;
  std::int32_t parent_death_signal = 0;
  SchedulingState scheduling;
  CredentialsState credentials;
  std::optional<WaitState> wait;
  std::vector<SeccompFilter> seccomp;  // the oldest first

  template <class A>
  void serialize(A& a, unsigned) {
    a& process& tid& name& registers& xstate& signal_mask& altstack_address& altstack_bytes& altstack_flags& pending&
        tid_address& robust_list& robust_list_bytes& rseq_address& rseq_bytes& rseq_signature& parent_death_signal&
            scheduling& credentials& wait& seccomp;
  }
};

}  // namespace drover
