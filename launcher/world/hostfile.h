// mpirun's hostfile, as far as Drover uses it: one host a line, `slots=N` for N nodes on it (1 without), # comments.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace drover {

struct Host {
  std::string name;
  int nodes = 1;
};

// Parses a hostfile's text. Hosts that are named twice are added up. Throws std::runtime_error naming `file`, line and
// reason.
std::vector<Host> parse_hostfile(std::string_view text, const std::string& file);
// Reads and parses it. Throws std::runtime_error, also for a file without hosts.
std::vector<Host> read_hostfile(const std::string& file);

// What mpirun gets: always with slots, since without them it takes the number of cores.
std::string format_hostfile(const std::vector<Host>& hosts);
int count_nodes(const std::vector<Host>& hosts);

}  // namespace drover
