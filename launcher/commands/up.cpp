// drover up: brings a cluster up and stays out of the way; a supervisor of its own keeps it up.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/world/allocation.h"
#include "launcher/world/start.h"

namespace drover {

namespace {

struct UpOptions {
  int nodes = 0;
  int timeout = 60;
  std::string hostfile;
  WorldOptions world;
};

void up(const UpOptions& options) {
  WorldOptions world = options.world;
  std::string where;
  if (!options.hostfile.empty()) {
    world.hosts = read_hostfile(options.hostfile);
  } else if (options.nodes != 0) {
    world.hosts = {{"localhost", options.nodes}};
  } else if (auto allocation = find_allocation()) {
    world.hosts = std::move(allocation->hosts);
    where = ", those of " + allocation->name;
  } else {
    throw UsageError(
        "up: say where: -n NODES for this machine, or --hostfile FILE; without both it takes the hosts of the Slurm or "
        "PBS job "
        "that it runs in, and it runs in none");
  }
  const std::string node = start_world(instance_paths(), world, std::chrono::seconds(options.timeout));
  const int nodes = count_nodes(world.hosts);
  fmt::print("{} node{} up{}; this host's first is {}\n", nodes, nodes == 1 ? " is" : "s are", where, node);
}

}  // namespace

void add_up(CLI::App& app, Context&) {
  auto options = std::make_shared<UpOptions>();
  CLI::App* command =
      app.add_subcommand("up", "Bring a cluster up, on this machine, a hostfile's or those of a batch job");
  auto* nodes =
      command->add_option("-n,--nodes", options->nodes, "So many nodes on this machine")->check(CLI::Range(1, 4096));
  auto* hostfile = command->add_option("--hostfile", options->hostfile, "mpirun's hostfile: HOST [slots=NODES] a line")
                       ->type_name("FILE");
  nodes->excludes(hostfile);
  command->add_option("--agent", options->world.agent, "Reach hosts with CMD HOST COMMAND instead of ssh")
      ->type_name("CMD");
  command->add_option("--net", options->world.network, "Use the interface of this network, such as 10.0.0.0/24")
      ->type_name("CIDR");
  command->add_option("--port-range", options->world.port_range, "Use only these ports, TCP and UDP")->type_name("A-B");
  command
      ->add_option("--metrics-port", options->world.metrics_port,
                   "Serve figures for Prometheus on this port of each host's loopback interface")
      ->type_name("PORT")
      ->check(CLI::Range(1024, 65535));
  command->add_option("--timeout", options->timeout, "Seconds until it must be ready")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  command->footer(
      "Examples: drover up -n 4;  drover up --hostfile hosts --net 10.0.0.0/24;  drover up (in a job of Slurm or PBS)");
  command->callback([options] { up(*options); });
}

}  // namespace drover
