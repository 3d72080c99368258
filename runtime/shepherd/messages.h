// What droverd and a job's shepherd say to each other, over framed unix sockets. Each message is a struct packed with
// ckpt/image/archive.h; its frame type stands beside it. Descriptors travel with the frames that say so.
//
// Two kinds of sockets: the link between droverd and init, which outlives droverd (a new one connects again), and one
// between droverd and a worker, which lives for one dump or restore and is its life line: when it closes, the worker
// knows that its rank is gone.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/image/archive.h"
#include "ckpt/image/state/files.h"
#include "runtime/jobs/spec.h"

namespace drover::shepherd {

enum class Type : std::uint16_t {
  // droverd → init
  Hello = 100,
  Start,
  Signal,
  Input,
  InputEnd,
  OutputAck,
  Dump,     // + 2 descriptors: the worker's end of its socket, the ring
  Restore,  // + 2 descriptors: the same
  EndedAck,
  Quit,
  Window,  // WindowSize
  Hold,
  Release,
  Checkpoint,    // Text: JobContext::record; + 1 descriptor: the file
  StartOfImage,  // + 1 descriptor: the image
  FrozenFor,     // std::uint64_t: JobFacts::frozen_ns, now that the last move is over
  // init → droverd
  Welcome = 120,
  Started,
  StartFailed,
  Output,
  OutputEnd,
  InputAck,
  Running,    // after a restore: the job is live here
  Thawed,     // after a dump that came to nothing: the job goes on here
  MovedAway,  // the job's copy here is gone, as it should be
  Ended,
  WorkerGone,  // the worker died without saying how it ended
  Superseded,  // a newer droverd has taken over: this link is at its end
  HandedBack,  // a restore failed after READY; the register gives the job back to the source
  HoldFailed,  // Text: why; the job runs on. What comes of Hold and Release else is told by Welcome's stage
  CheckpointDone,
  // worker ↔ droverd
  RingFilled = 140,
  RingFree,
  WorkerFailed,
  DumpDone,
  Ready,
  Resumed,
  Verdict,  // droverd → source worker
  SourceKilled,
  SourceThawed,
  LostRegister,
  InDoubt,
};

// Holding: it is being stopped for `drover hold`, and then Held.
enum class Stage : std::uint8_t { Empty, Starting, Running, Dumping, Restoring, Ended, Holding, Held };

struct Hello {
  std::uint64_t generation = 0;  // of droverd's world; a shepherd obeys the highest only
  std::string node;
  std::vector<std::int32_t> cpus;  // PUs that jobs of this node run on
  std::string state_dir;           // STATE/INSTANCE
  template <class A>
  void serialize(A& a, unsigned) {
    a& generation& node& cpus& state_dir;
  }
};

// What a shepherd knows of its job: enough for a new droverd to adopt it.
struct JobFacts {
  std::int64_t job = 0;
  std::int64_t epoch = 0;
  std::string origin;  // node name
  std::string name;
  std::vector<std::string> argv;
  std::uint64_t submitted_ns = 0, started_ns = 0;  // CLOCK_REALTIME
  std::uint32_t moves = 0;
  std::uint64_t frozen_ns = 0;   // over all moves: see docs/events.md
  std::uint64_t cpu_ns = 0;      // used on earlier places: the kernel counts from zero in a restored process
  std::uint64_t arrived_ns = 0;  // CLOCK_REALTIME when it came to this node
  std::string pinned;            // why it can't be moved by request or namespace; empty: nothing known
  bool pinned_here = false;      // started without namespaces or with --pin
  std::int32_t cpus = 1;         // PUs that it has asked for
  bool terminal = false;         // its streams are a terminal's, whose master the shepherd holds
  bool piped = false;            // but for standard input, which is a pipe
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& epoch& origin& name& argv& submitted_ns& started_ns& moves& frozen_ns& cpu_ns& arrived_ns& pinned&
        pinned_here& cpus& terminal& piped;
  }
};

struct StreamOffsets {
  std::uint64_t input_received = 0;        // bytes of stdin that the shepherd holds or has passed on
  std::uint64_t pipe_received = 0;         // the same of the pipe beside a terminal
  std::uint64_t output_acked[2] = {0, 0};  // stdout, stderr: what the origin has for certain
  std::uint64_t output_total[2] = {0, 0};  // what the job has written
  template <class A>
  void serialize(A& a, unsigned) {
    a& input_received& pipe_received& output_acked[0] & output_acked[1] & output_total[0] & output_total[1];
  }
};

struct Welcome {
  JobFacts facts;
  Stage stage = Stage::Empty;
  std::int32_t root_pid = 0;  // in the job's PID namespace, 0 if there is none
  StreamOffsets streams;
  // The pipes of the three streams, so that droverd can tell them from pipes that pin the job.
  std::uint64_t pipe_device = 0;
  std::array<std::uint64_t, 3> pipe_inodes{};
  template <class A>
  void serialize(A& a, unsigned) {
    a& facts& stage& root_pid& streams& pipe_device& pipe_inodes;
  }
};

struct Start {
  JobFacts facts;
  JobSpec spec;
  bool claim = false;  // win the decision register for facts.epoch before the program is started
  template <class A>
  void serialize(A& a, unsigned) {
    a& facts& spec& claim;
  }
};

// A job that goes on from an image. Its streams of output begin at these offsets, whatever the image says.
struct StartOfImage {
  JobFacts facts;
  bool claim = false;                         // as in Start
  std::uint64_t output_base[2] = {0, 0};      // what the files hold already
  bool output_continued[2] = {false, false};  // they are the image's own: what they lack of its bytes is written there
  bool truncate = false;                      // RestoreOptions::truncate
  template <class A>
  void serialize(A& a, unsigned) {
    a& facts& claim& output_base[0] & output_base[1] & output_continued[0] & output_continued[1] & truncate;
  }
};

struct Started {
  std::int32_t root_pid = 0;
  std::uint64_t started_ns = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& root_pid& started_ns;
  }
};

struct StartFailed {
  std::int32_t error = 0;  // errno
  std::string step;        // "chdir", "exec", "register", ...
  std::string subject;     // the path
  bool lost = false;       // another node won the register: the job runs there
  template <class A>
  void serialize(A& a, unsigned) {
    a& error& step& subject& lost;
  }
};

inline constexpr std::uint8_t kPipeStream = 3;

struct Chunk {
  std::uint8_t stream = 0;  // 0 stdin, 1 stdout, 2 stderr, 3 the pipe beside a terminal
  std::uint64_t offset = 0;
  std::string bytes;
  template <class A>
  void serialize(A& a, unsigned) {
    a& stream& offset& bytes;
  }
};

struct Mark {  // acks and ends
  std::uint8_t stream = 0;
  std::uint64_t offset = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& stream& offset;
  }
};

struct WindowSize {
  std::uint16_t rows = 0, columns = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& rows& columns;
  }
};

struct RingShape {
  std::uint32_t slots = 0;
  std::uint32_t slot_bytes = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& slots& slot_bytes;
  }
};

struct Dump {
  std::int64_t epoch = 0;  // of the ownership to come
  RingShape ring;
  bool compress = false;
  std::string source, destination;      // node names, as in the register
  std::vector<std::string> carry = {};  // DumpOptions::carry
  template <class A>
  void serialize(A& a, unsigned) {
    a& epoch& ring& compress& source& destination& carry;
  }
};
using Restore = Dump;

struct Ended {
  std::int32_t wait_status = 0;  // as from waitpid
  std::uint64_t cpu_ns = 0;
  std::uint64_t max_rss_kib = 0;
  std::uint64_t ended_ns = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& wait_status& cpu_ns& max_rss_kib& ended_ns;
  }
};

struct RingSlot {
  std::uint32_t slot = 0;
  std::uint32_t bytes = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& slot& bytes;
  }
};

struct Text {
  std::string text;
  template <class A>
  void serialize(A& a, unsigned) {
    a& text;
  }
};

struct WorkerFailure {
  std::string reason;
  std::vector<std::string> differing;  // Refusal::differing
  template <class A>
  void serialize(A& a, unsigned) {
    a& reason& differing;
  }
};

struct CheckpointDone {
  std::string error;  // empty: the image is whole
  std::uint64_t image_bytes = 0, frozen_ns = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& error& image_bytes& frozen_ns;
  }
};

// Nanoseconds each phase took on one side, and what went; the source's droverd puts both sides together.
struct PhaseTimes {
  std::uint64_t freeze_ns = 0, dump_ns = 0;                    // source
  std::uint64_t restore_ns = 0, commit_ns = 0, resume_ns = 0;  // destination
  std::uint64_t register_ns = 0;                               // the decision register's part of commit
  std::uint64_t frozen_at_ns = 0;                              // source: CLOCK_MONOTONIC when the freeze began
  std::uint64_t image_bytes = 0, page_bytes = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& freeze_ns& dump_ns& restore_ns& commit_ns& resume_ns& register_ns& frozen_at_ns& image_bytes& page_bytes;
  }
};

// DumpDone
struct Dumped {
  PhaseTimes times;
  std::vector<MemoryFile> memory_files;  // DumpResult::memory_files
  template <class A>
  void serialize(A& a, unsigned) {
    a& times& memory_files;
  }
};

// Running
struct RunningHere {
  Welcome welcome;
  PhaseTimes times;
  std::vector<std::string> made_files;  // HeldTree::made_files()
  template <class A>
  void serialize(A& a, unsigned) {
    a& welcome& times& made_files;
  }
};

enum class VerdictKind : std::uint8_t {
  Abort,       // before END: give up, thaw
  PeerFailed,  // the destination has promised not to claim: thaw
  PeerLost,    // nobody can tell: ask the register
  Resumed,     // the job runs there: end the copy here
  HandedBack,  // the register's next epoch names the source: thaw
};
struct Verdict {
  VerdictKind kind = VerdictKind::Abort;
  std::string reason;
  template <class A>
  void serialize(A& a, unsigned) {
    a& kind& reason;
  }
};

}  // namespace drover::shepherd
