// What a submission asks for. Travels from the launcher (as JSON, runtime/control/PROTOCOL.md) to the origin's droverd,
// and from there to the shepherd on the node where the job starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace drover {

struct ResourceLimit {
  std::int32_t resource = 0;         // RLIMIT_*
  std::uint64_t soft = 0, hard = 0;  // RLIM_INFINITY: none
  template <class A>
  void serialize(A& a, unsigned) {
    a& resource& soft& hard;
  }
};

inline constexpr std::int32_t kMostCpus = 65535;

// A job that has to be over before another starts.
struct After {
  std::int64_t job = 0;
  bool any = false;  // however it ended; else with exit status 0
  template <class A>
  void serialize(A& a, unsigned) {
    a& job& any;
  }
};

// The indices first, first + step, ... up to last.
struct IndexRange {
  std::int64_t first = 0, last = 0, step = 1;
};

struct JobSpec {
  std::vector<std::string> argv;  // at least one; argv[0] is looked up in PATH of `env`
  std::vector<std::string> env;   // NAME=value
  std::string cwd;                // absolute
  std::string name;
  std::uint32_t umask = 022;
  std::vector<ResourceLimit> limits;
  // Absolute paths opened at the origin; empty: see PROTOCOL.md.
  std::string stdin_path, stdout_path, stderr_path;
  std::string node;                  // exactly there; empty: the policy chooses
  std::vector<std::string> exclude;  // nodes where it must not start
  std::uint64_t memory_kib = 0;      // available where it starts
  std::int32_t cpus = 1;             // PUs that it needs
  std::int32_t priority = 0;         // a higher one starts first
  std::int32_t retries = 0;          // at most so often it is started anew when it fails or is lost
  std::uint16_t rows = 0, columns = 0;
  bool attached = false;   // a launcher holds the streams
  bool namespaces = true;  // false: no namespaces of its own, and pinned
  bool pinned = false;     // never to be moved
  bool terminal = false;   // the streams are a terminal's, of `rows` and `columns`
  bool piped = false;      // with a terminal: but standard input is a pipe, which its launcher fills
  bool hold = false;       // waits until it is released
  bool truncate = false;   // of an image: files that have grown since are cut back
  // Absolute: an image that it goes on from, instead of its program's beginning.
  std::string image;
  std::string script;                    // its text, until the origin has made a file of it, which is then argv[0]
  std::uint64_t time_limit_s = 0;        // 0: none
  std::uint64_t checkpoint_every_s = 0;  // so long after its start, and after the last, an image is written; 0: never
  std::vector<After> after;              // of the same origin
  // An array has a task for each of these indices, at most `array_limit` at a time (0: any number), and may have an
  // item for each. Its origin makes a job of each task; nobody else sees these.
  std::vector<IndexRange> array;
  std::int32_t array_limit = 0;
  std::vector<std::string> array_items;
  template <class A>
  void serialize(A& a, unsigned) {
    a& argv& env& cwd& name& umask& limits& stdin_path& stdout_path& stderr_path& attached& node& namespaces& pinned;
    a& cpus& memory_kib& priority& exclude& terminal& rows& columns& piped& image& script& time_limit_s& retries& after;
    a& checkpoint_every_s& truncate;
  }
};

}  // namespace drover
