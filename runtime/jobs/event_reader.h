// The event logs of all nodes as one, in the order of time, read piece by piece: however long they are, only a part is
// in memory. Goes on where it stopped, so what is appended meanwhile comes, too.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace drover {

class EventReader {
 public:
  // Only events of that time, by the clock of this node. `ahead_ms`: of the nodes whose clocks are known to be wrong.
  struct Span {
    std::int64_t from_ns = 0, until_ns = INT64_MAX;
  };
  EventReader(std::string events_dir, Span span, std::map<std::string, double> ahead_ms);

  // About a megabyte of them at most, each without its newline; none where all that is there has been read. Those of
  // one log are in its order. Blocking.
  std::vector<std::string> next();

 private:
  struct Event {
    std::int64_t order_ns = 0, time_ns = 0;
    std::string line;
  };
  struct Log {
    std::uint64_t taken = 0;  // bytes of it
    std::int64_t order_ns = INT64_MIN;
    std::deque<Event> read;  // and not given yet
    bool known = false;
  };
  void refill(const std::string& path, Log& log) const;
  Event parse(std::string line, std::int64_t not_before_ns) const;

  std::string events_dir_;
  Span span_;
  std::map<std::string, double> ahead_ms_;
  std::map<std::string, Log> logs_;  // by path
};

}  // namespace drover
