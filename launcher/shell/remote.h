// A process of the shell that becomes the foreground of one job of Drover: what `drover run` is, without starting it.
//
// Where the job runs is the policy's decision: here if this node is not busy, else on a free one. Streams and signals
// of this process are the job's, so that pipes and job control between processes here work for jobs anywhere.
#pragma once

#include <string>
#include <vector>

#include "launcher/run/run_options.h"

namespace drover::shell {

struct Remote {
  std::vector<std::string> argv;
  std::string node = {};  // start exactly there
  bool terminal = false;  // lend it this terminal
  int report_fd = -1;     // gets the job's id, a long
  int pipe_fd = -1;       // with a terminal: its standard input, if that is another
};

// The exit code; messages are on stderr. 127 and 126 are found out before a job is made.
int run_remote(const Remote& remote, const Context& context, const SessionOptions& session);

// Where PATH has that program, or what it names if it has a slash; an errno in `error` if empty.
std::string find_program(const std::string& name, int& error);

}  // namespace drover::shell
