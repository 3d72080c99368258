#include "launcher/world/mpi_settings.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <stdexcept>

namespace drover {

namespace {

std::pair<int, int> parse_ports(const std::string& range) {
  int first = 0, last = 0;
  const char* const end = range.data() + range.size();
  const auto a = std::from_chars(range.data(), end, first);
  const bool dash = a.ec == std::errc{} && a.ptr != end && *a.ptr == '-';
  const auto b = dash ? std::from_chars(a.ptr + 1, end, last) : a;
  if (!dash || b.ec != std::errc{} || b.ptr != end || first < 1024 || last > 65535 || last - first < 15)
    throw std::runtime_error(fmt::format(
        "--port-range {}: must be A-B with 1024 <= A, B <= 65535 and at least 16 ports (a few for each node)", range));
  return {first, last};
}

void check_network(const std::string& network) {
  const auto slash = network.find('/');
  in_addr address{};
  int bits = -1;
  if (slash != std::string::npos) std::from_chars(network.data() + slash + 1, network.data() + network.size(), bits);
  if (::inet_pton(AF_INET, network.substr(0, slash).c_str(), &address) != 1 || bits < 0 || bits > 32)
    throw std::runtime_error(fmt::format("--net {}: must be an IPv4 network such as 10.0.0.0/24", network));
}

}  // namespace

Environment base_mpi_settings() {
  Environment settings = {
      // A dead rank must not take the others with it, and messages must not pass through a dead one.
      {"OMPI_MCA_orte_enable_recovery", "1"},
      {"OMPI_MCA_routed", "direct"},
      // More nodes than cores is fine: an idle droverd costs nothing.
      {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
      // Default binding pins each rank, and every job that it starts, to one core.
      {"OMPI_MCA_hwloc_base_binding_policy", "none"},
      // The plain engine: the others' progress threads and registrations do not survive a lost rank.
      {"OMPI_MCA_pml", "ob1"},
      {"OMPI_MCA_btl", "self,vader,tcp"},
      // Reading another rank's memory by pid would hit a stranger where PID namespaces differ.
      {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
      // Each host is started from here: no host needs to reach another by ssh.
      {"OMPI_MCA_plm_rsh_no_tree_spawn", "1"},
      // Hosts are reached by the names that the hostfile gives, not by their first part.
      {"OMPI_MCA_orte_keep_fqdn_hostnames", "1"},
  };
  if (::geteuid() == 0) {
    settings.emplace_back("OMPI_ALLOW_RUN_AS_ROOT", "1");
    settings.emplace_back("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
  return settings;
}

Environment mpi_settings(const WorldOptions& options) {
  Environment settings = base_mpi_settings();
  if (!options.agent.empty()) {
    settings.emplace_back("OMPI_MCA_plm_rsh_agent", options.agent);
  } else {  // a question would wait for ever: nobody sits at the supervisor
    settings.emplace_back("OMPI_MCA_plm_rsh_args", "-o BatchMode=yes -o ConnectTimeout=15");
  }
  if (!options.network.empty()) {
    check_network(options.network);
    settings.emplace_back("OMPI_MCA_oob_tcp_if_include", options.network);
    settings.emplace_back("OMPI_MCA_btl_tcp_if_include", options.network);
    settings.emplace_back("DROVER_NET", options.network);
  }
  if (!options.port_range.empty()) {
    const auto [first, last] = parse_ports(options.port_range);
    // mpirun and its daemons take the lower half, the ranks the upper one.
    const int middle = first + (last - first) / 2;
    settings.emplace_back("OMPI_MCA_oob_tcp_dynamic_ipv4_ports", fmt::format("{}-{}", first, middle - 1));
    settings.emplace_back("OMPI_MCA_btl_tcp_port_min_v4", fmt::format("{}", middle));
    settings.emplace_back("OMPI_MCA_btl_tcp_port_range_v4", fmt::format("{}", last - middle + 1));
    settings.emplace_back("DROVER_PORT_RANGE", options.port_range);
  }
  return settings;
}

std::vector<std::string> mpirun_command(const std::string& mpirun, const WorldOptions& options,
                                        const std::string& hostfile, const std::string& droverd) {
  std::vector<std::string> command = {mpirun, "--hostfile", hostfile, "-n",
                                      fmt::format("{}", count_nodes(options.hosts))};
  // Variables of these names reach the ranks on other hosts too; OMPI_* travel by themselves.
  for (const char* name : {"DROVER_GENERATION", "DROVER_INSTANCE", "DROVER_RUNTIME_DIR", "DROVER_STATE_DIR",
                           "DROVER_CONFIG", "DROVER_LOG", "DROVER_NET", "DROVER_PORT_RANGE", "DROVER_FAULT"})
    if (std::getenv(name) != nullptr) {
      command.emplace_back("-x");
      command.emplace_back(name);
    }
  command.push_back(droverd);
  return command;
}

}  // namespace drover
