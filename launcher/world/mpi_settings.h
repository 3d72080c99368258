// How mpirun must be told to run droverd: the settings as environment variables, and the command line.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "launcher/world/hostfile.h"

namespace drover {

// What `drover up` was asked for.
struct WorldOptions {
  std::vector<Host> hosts;  // where; for nodes on this machine alone: one "localhost"
  std::string agent;        // instead of ssh: gets the host's name and the command as arguments
  std::string network;      // CIDR of the interface to use; empty: MPI's choice
  std::string port_range;   // "A-B": all connections within these ports; empty: any
  int metrics_port = 0;     // on each host's loopback interface, for Prometheus; 0: none
};

using Environment = std::vector<std::pair<std::string, std::string>>;

// The variables that every way of starting needs (hostfiles/drover.env says the same), with each one's reason in the
// .cpp.
Environment base_mpi_settings();
// How hosts are reached: ssh, or what `options` gives instead.
Environment agent_settings(const WorldOptions& options);
// base_mpi_settings() and those for `options`. Throws std::runtime_error for a bad port range, or one that is all taken
// on this host. Not a constant: it names ports that are free now.
Environment mpi_settings(const WorldOptions& options);

// mpirun's command line; `hostfile` is the one to give it, `droverd` its path.
std::vector<std::string> mpirun_command(const std::string& mpirun, const WorldOptions& options,
                                        const std::string& hostfile, const std::string& droverd);

}  // namespace drover
