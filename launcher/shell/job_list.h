// The shell's jobs in words, and where they run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/commands/commands.h"
#include "launcher/shell/jobs.h"

namespace drover::shell {

using Places = std::map<long, std::string>;  // the nodes of Drover's jobs that have not ended, by their ids

// Empty if no droverd answers soon.
Places ask_places(const Context& context);

// "[1]+  Running  7 on node1, 8 on node0  sleep 1000 | cat"
std::string job_line(const Jobs& jobs, const Jobs::Job& job, const Places& places);

// "node1 FREE" of the node that the shell talks to; empty if no droverd answers soon.
struct NodeState {
  std::string node, state;
};
NodeState ask_node_state(const Context& context);

}  // namespace drover::shell
