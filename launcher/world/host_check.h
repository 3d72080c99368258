// Asks every host whether it can run droverd, before mpirun is started: that names no host in many of its messages
// ("Host key verification failed."), waits for ever without a word when only droverd is missing on one, and then leaves
// its files on the others.
#pragma once

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "launcher/world/mpi_settings.h"

namespace drover {

// How one host answered.
struct HostAnswer {
  std::string host;
  int exit_code = 0;  // 255: ssh itself failed; -1: no answer in time
  std::string text;   // everything it wrote
};

// What is wrong with the host and what to do about it, as one line that begins with its name; empty if nothing is.
// `droverd` is the path that was asked for its version, which should be `version`.
std::string explain_answer(const HostAnswer& answer, const std::string& droverd, const std::string& version);

// Asks each host but this one, side by side, through ssh or whatever stands in for it, for as long as `longest`.
// Returns one line for the first host with a fault, with the names of the others; empty if there is none, if there was
// nobody to ask (a batch system starts the nodes), or if `stop` has become nonzero.
std::string fault_of_hosts(const WorldOptions& options, const std::string& mpirun, const std::string& droverd,
                           std::chrono::seconds longest, const volatile std::sig_atomic_t& stop);

}  // namespace drover
