// What belongs to a process as a whole and to no other record.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace drover {

struct LimitState {
  std::uint64_t soft = 0, hard = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& soft& hard;
  }
};

// What is not the process's own (clone(2)): the first process of the image that has the same one; 0: its own, or it is
// the first. Whoever comes later has nothing of it in its own records.
struct SharedState {
  std::int32_t memory = 0, handlers = 0, files = 0, directories = 0;  // CLONE_VM, _SIGHAND, _FILES, _FS
  template <class A>
  void serialize(A& a, unsigned) {
    a& memory& handlers& files& directories;
  }
};

// Of a zombie only the first block and `name` count, and no other record speaks of it.
struct ProcessState {
  bool zombie = false;
  // Others go on without it (pthread_exit(3)). Of its ThreadState only name and credentials are its own.
  bool main_thread_ended = false;
  std::int32_t exit_status = 0;  // of a zombie, or of that thread: as wait(2) will tell it
  std::string name;
  std::int32_t pid = 0, parent = 0, process_group = 0, session = 0;
  std::int32_t exit_signal = 17;
  std::int32_t stopped_by = 0;  // group-stopped by this signal; 0: running
  bool stop_reported = false;   // its parent has been told by wait(2)
  bool continued = false;       // it runs again, of which its parent has not been told yet
  std::uint32_t thread_count = 0;
  std::uint32_t umask = 022;
  std::uint64_t personality = 0;
  std::int32_t dumpable = 1;
  std::int32_t oom_score_adj = 0;
  bool child_subreaper = false;
  bool thp_disabled = false;
  std::string cwd, root;
  std::int32_t cwd_object = -1;    // index into OpenFilesState::objects of one that is gone; -1: `cwd` is there
  std::vector<LimitState> limits;  // by RLIMIT_*
  SharedState shared;

  template <class A>
  void serialize(A& a, unsigned) {
    a& zombie& main_thread_ended& exit_status& name& pid& parent& process_group& session& exit_signal& stopped_by&
        stop_reported& continued& thread_count& umask& personality& dumpable& oom_score_adj& child_subreaper&
            thp_disabled& cwd& root& cwd_object& limits& shared;
  }
};

}  // namespace drover
