#include "ckpt/freeze/restartable_sequences.h"

#include <sys/ptrace.h>
#include <sys/uio.h>

#include <vector>

#include "ckpt/sys/uapi.h"

namespace drover {

static constexpr std::uint64_t kRseqCs = 8;  // struct rseq, rseq_cs

// `section`: what its rseq_cs says.
static void leave_restartable_sequence(const FrozenProcess& process, FrozenThread& thread, std::uint64_t section) {
  if (section == 0) return;
  struct CriticalSection {
    std::uint32_t version, flags;
    std::uint64_t start_ip, post_commit_offset, abort_ip;
  };
  const auto cs = process.memory.load<CriticalSection>(section);
  if (thread.present.rip - cs.start_ip >= cs.post_commit_offset) return;
  Registers aborted = thread.present;
  aborted.rip = cs.abort_ip;
  process.memory.store<std::uint64_t>(thread.rseq.address + kRseqCs, 0);
  Tracee(thread.tid).set_registers(aborted);
  thread.present = aborted;
}

void leave_restartable_sequences(FrozenProcess& process) {
  std::vector<iovec> fields;
  std::vector<FrozenThread*> registered;
  for (FrozenThread& thread : process.threads) {
    if (!thread.stopped) continue;
    const long size = ::ptrace(static_cast<__ptrace_request>(uapi::kGetRseqConfiguration), thread.tid,
                               sizeof thread.rseq, &thread.rseq);
    if (size < 0) thread.rseq = {};
    if (thread.rseq.address == 0) continue;
    fields.push_back({reinterpret_cast<void*>(thread.rseq.address + kRseqCs), sizeof(std::uint64_t)});
    registered.push_back(&thread);
  }
  std::vector<std::uint64_t> sections(fields.size());
  process.memory.read_ranges(fields, std::as_writable_bytes(std::span(sections)));
  for (std::size_t i = 0; i < sections.size(); ++i) leave_restartable_sequence(process, *registered[i], sections[i]);
}

}  // namespace drover
