// This node's event log: one JSON object a line, appended by one writer, in the order of what happened. The log is the
// truth: what a node knows of its jobs is what replaying it gives.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

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

// Calls with every whole line of the log at `path`, without its newline; with none if there is no such file. Logs grow
// for as long as there are jobs: they are never held in memory as a whole.
void for_each_event_line(const std::string& path, const std::function<void(std::string&& line)>& line);

}  // namespace drover
