// The workers: forked by a shepherd's init for one dump, one restore or one hold, the only processes that ptrace. They
// block as they like, speak to their rank through a socket and a ring of shared memory, and to their init through a
// channel.
//
// The hard part is the commit: from the moment the image's end has left, neither side may decide alone. The source
// keeps its copy frozen, dying with its worker, until it has been told or has read in the register who won.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/freeze/still_waiting.h"
#include "ckpt/image/archive.h"
#include "ckpt/sys/unique_fd.h"
#include "runtime/shepherd/messages.h"
#include "runtime/shepherd/streams.h"

namespace drover::shepherd {

// Between a worker and its init. The payload stands beside each.
enum class Channel : std::uint16_t {
  Snapshot = 200,  // source worker → init: the job is frozen, give me what must travel
  SnapshotIs,      // init → source worker: JobContext
  EndSent,         // source worker → init: from here on my death is the copy's death
  Thawed,          // source worker → init: ThawedHere
  Moved,           // source worker → init: the copy here is about to be ended, for good reason
  ReadySent,   // destination worker → init: JobContext, + its terminal's master; from here on the register decides
  Resumed,     // destination worker → init: ResumedHere
  Held,        // holding worker → init
  Release,     // init → holding worker: let the job go on; Thawed follows
  Checkpoint,  // init → holding worker: WorkerTask, + 1 or 2 descriptors: the file, its terminal's master
  CheckpointDone,  // worker → init: CheckpointDone; of one that holds the job, which stays held
  RestoreFailed,   // worker that starts a job of an image → init: StartFailed
  // A worker that lives on because threads of the job must stay traced (ckpt/freeze/still_waiting.h):
  Wanted,     // init → worker: something is to be done to the job again
  Lingering,  // worker → init: I am still here, and wait for one of the two that follow
  TaskAgain,  // init → worker: WorkerTask, + its socket and ring (Move) or its file (Checkpoint), its terminal's master
  NoTask,     // init → worker: it was not wanted any longer
};

// The runtime's part of an image (DumpOptions::context).
struct JobContext {
  JobFacts facts;
  StreamState input, output[2];
  StreamState pipe;    // beside a terminal
  std::string record;  // of a checkpoint: what its job was, JSON (runtime/jobs/checkpoint_record.h)
  template <class A>
  void serialize(A& a, unsigned) {
    a& facts& input& output[0] & output[1] & pipe& record;
  }
};

struct ResumedHere {
  std::int32_t root_pid = 0;
  PhaseTimes times;
  std::vector<KnownWait> known_waits;
  std::vector<std::string> made_files;  // HeldTree::made_files()
  template <class A>
  void serialize(A& a, unsigned) {
    a& root_pid& times& known_waits& made_files;
  }
};

struct ThawedHere {
  std::string reason;
  std::vector<KnownWait> known_waits;
  template <class A>
  void serialize(A& a, unsigned) {
    a& reason& known_waits;
  }
};

enum class Work : std::uint8_t { Move, Hold, Checkpoint };

struct WorkerTask {
  Work work = Work::Move;
  Dump order;           // or Restore: the same fields
  pid_t root = 0;       // source: the job's first process
  std::string job_dir;  // STATE/INSTANCE/jobs/ID
  std::string node_dir;
  std::vector<std::int32_t> cpus;
  bool namespaces = true;
  // Source: the pipes of the job's standard streams, and what is known of its waits.
  std::uint64_t pipe_device = 0;
  std::array<std::uint64_t, 3> pipe_inodes{};
  std::vector<KnownWait> known;
  std::string record;     // Checkpoint: JobContext::record
  bool claim = false;     // start of an image: win the register first
  bool truncate = false;  // of one: RestoreOptions::truncate
  // Destination: the job's ends of its streams.
  std::array<int, 3> stream_fds{-1, -1, -1};
  UniqueFd socket, ring, channel;
  UniqueFd terminal;  // source: the master of the job's terminal, if it has one
  UniqueFd image;     // Checkpoint: the file to write to; start of an image: that
  template <class A>
  void serialize(A& a, unsigned) {  // without descriptors
    a& work& order& root& job_dir& node_dir& cpus& namespaces& pipe_device& pipe_inodes& known& record& claim& truncate;
  }
};

// Both end the process: in order with code 0, whatever came of the move (that is told through socket and channel).
[[noreturn]] void run_source_worker(WorkerTask task);
[[noreturn]] void run_destination_worker(WorkerTask task);
[[noreturn]] void run_start_worker(WorkerTask task);  // of an image in a file

// Gives the job of a failed restore back to its source in the register, waiting as long as the register can't be
// reached. Exit code 0: it is the source's; used by init in a child of its own. `from` is the epoch that READY was
// about.
[[noreturn]] void run_handback(const std::string& job_dir, std::int64_t from, const std::string& source,
                               const std::string& destination);
// After the source's worker died past END: 0 if the source now owns `epoch` (so nobody else will run the job), 1 if the
// destination does.
[[noreturn]] void run_settle(const std::string& job_dir, std::int64_t epoch, const std::string& source);

}  // namespace drover::shepherd
