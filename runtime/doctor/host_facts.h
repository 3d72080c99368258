// What a host lets Drover do, as far as it can be found out without starting a job: read here, judged in findings.h.
#pragma once

#include <cstdint>
#include <string>

#include "ckpt/sys/features.h"

namespace drover {

struct HostFacts {
  KernelFeatures kernel;
  bool may_suspend_seccomp = false;
  int ptrace_scope = -1;                        // kernel.yama.ptrace_scope; -1: no Yama
  std::string no_namespaces;                    // why jobs get none of their own here; empty: they do
  bool root = false;                            // who asks
  std::uint64_t open_files = 0, processes = 0;  // soft limits; all bits set: none
  std::string state_dir, state_file_system;     // "nfs", "ext4", "0x1234" where we have no name for it
  std::uint64_t state_free_kib = 0;
  std::string state_error;  // why the decision register can't be made there; empty: it can
  std::uint64_t shm_free_kib = 0;
};

// Blocks: the state directory may be on another machine. Never throws; what can't be read stays as it is above.
// `no_namespaces` is the caller's to fill in.
HostFacts read_host_facts(const std::string& state_dir);

}  // namespace drover
