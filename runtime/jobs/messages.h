// What ranks say to each other about jobs, and how: each a struct packed with ckpt/image/archive.h, its type beside it.
// O is a job's origin, P its place, S and D the source and destination of a move.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/image/archive.h"
#include "runtime/jobs/spec.h"
#include "runtime/policy/place.h"
#include "runtime/shepherd/messages.h"

namespace drover {

enum class Msg : std::uint16_t {
  // placement
  Reserve = 1,   // O → P: would you start this job?
  ReserveReply,  // P → O
  Place,         // O → P: start it (PlaceOrder)
  Placed,        // P → O
  PlaceFailed,   // P → O
  PlaceIs,       // P → O: the job is here (after a move, a hand-back, or adoption by a new world)
  // a running job
  JobOutput = 20,   // P → O: JobChunk
  JobOutputEnd,     // P → O: JobMark
  JobOutputAck,     // O → P: JobMark
  JobInput,         // O → P: JobChunk
  JobInputEnd,      // O → P: JobMark
  JobInputAck,      // P → O: JobMark
  JobSignal,        // O → P
  JobEnded,         // P → O
  JobEndedAck,      // O → P
  JobMoving,        // S → O: a move has begun, is in doubt, or came to nothing (JobNotice)
  JobWindow,        // O → P: the size of its terminal
  JobOutdated,      // O → P: a later attempt counts: end what you have of those before (JobMark)
  JobHold,          // O → P: stop it where it is, or let it go on; PlaceIs follows, or
  JobHoldFailed,    // P → O
  JobCheckpoint,    // O → P: write an image of it
  JobCheckpointed,  // P → O
  // moves
  MoveAsk = 40,  // anyone → S: move this job there (MoveRequest)
  MoveReport,    // S → who asked, and O: how it went
  PullAsk,       // D → S: I am FREE, have you a job for me?
  MoveOffer,     // S → D
  MoveAccept,    // D → S
  MoveRefuse,    // D → S
  MoveEnd,       // S → D: the image is complete
  MoveReady,     // D → S
  MoveFailed,    // D → S: nothing of it lives here, and never will
  MoveResumed,   // D → S
  MoveHandback,  // D → S: the register gives it back
  MoveAbort,     // S → D
  PullReply,     // S → D
  // the cluster
  Ping = 60,
  Pong,
  Gather,       // JSON question to every rank
  GatherReply,  // JSON
  Relay,        // a launcher's frame, on its way to another rank's control server or back
  RelayClose,
  Down,  // how to end
  DownDone,
  Goodbye,
  View = 80,  // membership: ViewMessage
};

struct Reserve {
  std::int64_t job = 0;
  Terms terms;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& terms;
  }
};

struct ReserveReply {
  std::int64_t job = 0;
  bool accepted = false;
  std::string reason;
  NodeView now;  // the node that answers, with the job if it has accepted
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& accepted& reason& now;
  }
};

struct PlaceOrder {
  shepherd::JobFacts facts;
  JobSpec spec;
  bool claim = false;
  // If spec.image is set: as in StartOfImage.
  std::uint64_t output_base[2] = {0, 0};
  bool output_continued[2] = {false, false};
  template <class A>
  void serialize(A& a, unsigned) {
    a& facts& spec& claim& output_base[0] & output_base[1] & output_continued[0] & output_continued[1];
  }
};

struct Placed {
  std::int64_t job = 0, epoch = 0;
  std::int32_t pid = 0;
  std::uint64_t started_ns = 0;
  std::string pinned;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& epoch& pid& started_ns& pinned;
  }
};

struct PlaceFailed {
  std::int64_t job = 0, epoch = 0;
  shepherd::StartFailed failure;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& epoch& failure;
  }
};

struct PlaceIs {
  shepherd::Welcome job;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job;
  }
};

// What has no epoch tells the attempt (attempt.h): the streams of each begin anew, and what is still said of an earlier
// one is passed over.
struct JobChunk {
  std::int64_t job = 0;
  std::int32_t attempt = 1;
  shepherd::Chunk chunk;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& attempt& chunk;
  }
};

struct JobMark {
  std::int64_t job = 0;
  std::int32_t attempt = 1;
  shepherd::Mark mark;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& attempt& mark;
  }
};

struct JobSignal {
  std::int64_t job = 0;
  std::int32_t attempt = 1;
  std::int32_t signo = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& attempt& signo;
  }
};

struct JobWindow {
  std::int64_t job = 0;
  std::int32_t attempt = 1;
  shepherd::WindowSize size;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& attempt& size;
  }
};

struct JobEnded {
  std::int64_t job = 0, epoch = 0;
  shepherd::Ended end;
  bool out_of_memory = false;  // most likely the kernel killed it for want of memory (runtime/load/oom_kills.h)
  bool shepherd_died = false;  // and the job with it
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& epoch& end& out_of_memory& shepherd_died;
  }
};

struct JobNotice {
  std::int64_t job = 0, epoch = 0;
  std::string state;  // "moving", "in-doubt", "running"
  std::string text;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& epoch& state& text;
  }
};

struct JobHold {
  std::int64_t job = 0;
  bool on = true;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& on;
  }
};

struct JobHoldFailed {
  std::int64_t job = 0;
  std::string error;
  bool passing = false;  // it is being moved, or the like: to be tried again
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& error& passing;
  }
};

struct JobCheckpoint {
  std::int64_t job = 0;
  std::uint64_t request = 0;  // echoed in the answer
  std::string path;           // absolute
  std::string record;         // JobContext::record
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& request& path& record;
  }
};

struct JobCheckpointed {
  std::int64_t job = 0;
  std::uint64_t request = 0;
  shepherd::CheckpointDone done;
  bool passing = false;  // as in JobHoldFailed
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& request& done& passing;
  }
};

struct MoveRequest {
  std::int64_t job = 0;
  std::int32_t to = 0;        // rank
  std::uint64_t request = 0;  // echoed in the report; 0: no report wanted
  std::string reason;
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& to& request& reason;
  }
};

struct MoveReportMsg {
  std::int64_t job = 0;
  std::uint64_t request = 0;
  std::string event;  // JSON: the `migrated` event of PROTOCOL.md
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& request& event;
  }
};

struct PullAsk {
  NodeView asker;
  template <class A>
  void serialize(A& a, unsigned) {
    a& asker;
  }
};

struct PullReply {
  bool given = false;  // an offer follows
  NodeView now;
  template <class A>
  void serialize(A& a, unsigned) {
    a& given& now;
  }
};

struct MoveOffer {
  std::uint32_t transfer = 0;  // chosen by S, unique between S and D; the MPI tag of its image
  shepherd::JobFacts facts;
  std::int64_t epoch = 0;  // of the ownership to come
  std::uint64_t resident_kib = 0;
  shepherd::RingShape ring;
  bool asked = false;  // by a person, not by policy: taken even if it gains nothing
  NodeView source;     // of the node that offers, with the job
  template <class A>
  void serialize(A& a, unsigned) {
    a& transfer& facts& epoch& resident_kib& ring& asked& source;
  }
};

// MoveAccept, MoveRefuse, MoveReady, MoveFailed, MoveHandback
struct MoveWord {
  std::uint32_t transfer = 0;
  std::string text;
  std::vector<std::string> differing = {};  // MoveFailed: files that the source can send along in another attempt
  template <class A>
  void serialize(A& a, unsigned) {
    a& transfer& text& differing;
  }
};

struct MoveEnd {  // and MoveAbort
  std::uint32_t transfer = 0;
  std::uint64_t chunks = 0;  // sent in all
  std::string text;
  std::uint64_t frozen_ns = 0;  // MoveEnd: so far
  template <class A>
  void serialize(A& a, unsigned) {
    a& transfer& chunks& text& frozen_ns;
  }
};

struct MoveResumed {
  std::uint32_t transfer = 0;
  shepherd::PhaseTimes times;
  std::vector<std::string> made_files;  // HeldTree::made_files()
  std::uint64_t frozen_ns = 0;          // in all
  template <class A>
  void serialize(A& a, unsigned) {
    a& transfer& times& made_files& frozen_ns;
  }
};

struct Question {  // Gather, GatherReply, Ping, Pong
  std::uint64_t request = 0;
  std::string json;
  template <class A>
  void serialize(A& a, unsigned) {
    a& request& json;
  }
};

struct RelayFrame {  // Relay, RelayClose
  std::uint64_t connection = 0;
  bool to_server = false;  // true: towards the rank that serves it
  std::uint16_t type = 0;
  std::string payload;
  template <class A>
  void serialize(A& a, unsigned) {
    a& connection& to_server& type& payload;
  }
};

}  // namespace drover
