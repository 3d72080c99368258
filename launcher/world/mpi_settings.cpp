#include "launcher/world/mpi_settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <stdexcept>

#include "launcher/world/network.h"

namespace drover {

namespace {

constexpr std::size_t kDaemonPorts = 6;

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
      // In a job of Slurm: a host that is lost must not end what runs on the others.
      {"OMPI_MCA_plm_slurm_args", "--no-kill"},
  };
  if (::geteuid() == 0) {
    settings.emplace_back("OMPI_ALLOW_RUN_AS_ROOT", "1");
    settings.emplace_back("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
  return settings;
}

Environment agent_settings(const WorldOptions& options) {
  if (!options.agent.empty()) return {{"OMPI_MCA_plm_rsh_agent", options.agent}};
  // A question would wait for ever: nobody sits at the supervisor.
  return {{"OMPI_MCA_plm_rsh_args", "-o BatchMode=yes -o ConnectTimeout=15"}};
}

// Open MPI leaves loopback out, and does not start on a host that has nothing else.
static std::string only_network() {
  const auto interfaces = local_interfaces();
  const bool alone = !interfaces.empty() &&
                     std::all_of(interfaces.begin(), interfaces.end(), [](const auto& one) { return one.loopback; });
  return alone ? interfaces.front().name : "";
}

Environment mpi_settings(const WorldOptions& options) {
  Environment settings = base_mpi_settings();
  for (auto& setting : agent_settings(options)) settings.push_back(std::move(setting));
  const std::string network = options.network.empty() ? only_network() : options.network;
  if (!network.empty()) {
    settings.emplace_back("OMPI_MCA_oob_tcp_if_include", network);
    settings.emplace_back("OMPI_MCA_btl_tcp_if_include", network);
  }
  if (!options.network.empty()) settings.emplace_back("DROVER_NET", options.network);
  if (!options.network.empty() || !options.port_range.empty()) {
    // Both speak of IPv4; over IPv6 neither would hold.
    settings.emplace_back("OMPI_MCA_oob_tcp_disable_ipv6_family", "1");
    settings.emplace_back("OMPI_MCA_btl_tcp_disable_family", "6");
  }
  if (options.metrics_port != 0) settings.emplace_back("DROVER_METRICS_PORT", fmt::format("{}", options.metrics_port));
  if (!options.port_range.empty()) {
    const auto [first, last] = parse_ports(options.port_range);
    // mpirun and its daemons take the lower half, the ranks the upper one.
    const int middle = first + (last - first) / 2;
    // mpirun listens on every port of its lists, however long; with a few, other clusters of this host find some too.
    // It listens on IPv6 even if told not to, and such a socket takes the same port of IPv4.
    const auto ports = free_tcp_ports(first, middle - 1, kDaemonPorts);
    if (ports.size() < 2)
      throw std::runtime_error(
          fmt::format("--port-range {}: on this host the ports from {} to {} are taken; give another range",
                      options.port_range, first, middle - 1));
    const auto half = ports.begin() + static_cast<std::ptrdiff_t>(ports.size() / 2);
    settings.emplace_back("OMPI_MCA_oob_tcp_dynamic_ipv4_ports",
                          fmt::format("{}", fmt::join(ports.begin(), half, ",")));
    settings.emplace_back("OMPI_MCA_oob_tcp_dynamic_ipv6_ports", fmt::format("{}", fmt::join(half, ports.end(), ",")));
    for (const char* family : {"v4", "v6"}) {  // the ranks too listen on both
      settings.emplace_back(fmt::format("OMPI_MCA_btl_tcp_port_min_{}", family), fmt::format("{}", middle));
      settings.emplace_back(fmt::format("OMPI_MCA_btl_tcp_port_range_{}", family),
                            fmt::format("{}", last - middle + 1));
    }
    settings.emplace_back("DROVER_PORT_RANGE", options.port_range);
  }
  return settings;
}

std::vector<std::string> mpirun_command(const std::string& mpirun, const WorldOptions& options,
                                        const std::string& hostfile, const std::string& droverd) {
  std::vector<std::string> command = {mpirun, "--hostfile", hostfile, "-n",
                                      fmt::format("{}", count_nodes(options.hosts))};
  // Variables of these names reach the ranks on other hosts too; OMPI_* travel by themselves.
  for (const char* name :
       {"DROVER_GENERATION", "DROVER_INSTANCE", "DROVER_RUNTIME_DIR", "DROVER_STATE_DIR", "DROVER_CONFIG", "DROVER_LOG",
        "DROVER_NET", "DROVER_PORT_RANGE", "DROVER_METRICS_PORT", "DROVER_FAULT",
        // ssh gives a bare environment, and these say where Drover's files and libraries are.
        "XDG_STATE_HOME", "XDG_CONFIG_HOME", "LD_LIBRARY_PATH"})
    if (std::getenv(name) != nullptr) {
      command.emplace_back("-x");
      command.emplace_back(name);
    }
  command.push_back(droverd);
  return command;
}

}  // namespace drover
