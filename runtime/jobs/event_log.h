// This node's event log: one JSON object a line, appended by one writer, in the order of what happened. The log is the
// truth: what a node knows of its jobs is what replaying it gives.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ckpt/sys/unique_fd.h"

namespace drover {

class EventLog {
 public:
  // Opens (makes) `path`. A last line without an end, left by a crash, is cut off.
  explicit EventLog(const std::string& path);
  void append(std::string_view lines);  // whole lines; blocking

 private:
  UniqueFd fd_;
  std::string path_;
};

// Every whole line of the log at `path`; none if there is no such file.
std::vector<std::string> read_event_lines(const std::string& path);

}  // namespace drover
