// drover up: brings a cluster up and stays out of the way; a supervisor of its own keeps it up.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launcher/commands/commands.h"
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
  if (options.hostfile.empty())
    world.hosts = {{"localhost", options.nodes}};
  else
    world.hosts = read_hostfile(options.hostfile);
  const std::string node = start_world(instance_paths(), world, std::chrono::seconds(options.timeout));
  const int nodes = count_nodes(world.hosts);
  fmt::print("{} node{} up; this host's first is {}\n", nodes, nodes == 1 ? " is" : "s are", node);
}

}  // namespace

void add_up(CLI::App& app, Context&) {
  auto options = std::make_shared<UpOptions>();
  CLI::App* command = app.add_subcommand("up", "Bring a cluster up, on this machine or on a hostfile's");
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
  command->add_option("--timeout", options->timeout, "Seconds until it must be ready")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  command->footer("Examples: drover up -n 4;  drover up --hostfile hosts --net 10.0.0.0/24");
  command->callback([options, nodes, hostfile] {
    if (nodes->empty() && hostfile->empty())
      throw UsageError("up: say where: -n NODES for this machine, or --hostfile FILE");
    up(*options);
  });
}

}  // namespace drover
