// droverd: one rank of Drover, one node of the cluster. Started by mpirun, usually through `drover up`.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/cfg/env.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "ckpt/sys/error.h"
#include "runtime/node/node.h"
#include "runtime/shepherd/spawner.h"

namespace drover {
namespace {

// Before MPI_Init: what shepherds are forked from must never have seen MPI.
UniqueFd start_spawner() {
  int pair[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), "socketpair");
  UniqueFd ours(pair[0]), theirs(pair[1]);
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "drover-shepherd";
  if (::access(program.c_str(), X_OK) < 0)
    throw std::runtime_error(fmt::format("{}: {}; install it beside droverd", program, error_text(errno)));
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    const int fd = ::dup(theirs.get());  // without close-on-exec
    const std::string number = std::to_string(fd);
    ::execl(program.c_str(), "drover-shepherd", "--spawner", number.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  return ours;
}

// Before MPI_Init: its threads inherit the mask, and the kernel hands a signal that ends the process to any thread that
// does not block it.
UniqueFd watch_end_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signo : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signo);
  check(::sigprocmask(SIG_BLOCK, &set, nullptr), "sigprocmask");
  ::signal(SIGPIPE, SIG_IGN);
  return UniqueFd(check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// Open MPI would warn and use every network; then ranks that are on it and ranks that are not wait for each other.
void check_network(const mpi::Doorbell& doorbell, const std::string& network) {
  if (network.empty() || doorbell.address().count > 0) return;
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  throw std::runtime_error(
      fmt::format("--net {}: no address in it on {}; give a network that every node is on", network, host));
}

int print_findings() {
  const UniqueFd spawner = start_spawner();
  char bytes[4096];
  const ssize_t n = check(::recv(spawner.get(), bytes, sizeof bytes, 0), "receive", "spawner");
  const auto hello = unpack<shepherd::SpawnerHello>({bytes, static_cast<std::size_t>(n)});
  const InstancePaths paths = instance_paths();
  make_private_directory(paths.state);
  HostFacts facts = read_host_facts(paths.state);
  if (!hello.namespaces) facts.no_namespaces = hello.why_not;
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : judge(facts)) list.push_back(finding_to_json(finding));
  fmt::print("{}\n", list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return 0;
}

int run(int argc, char** argv) {
  const InstancePaths paths = instance_paths();
  const NodeConfig config = load_config();
  UniqueFd spawner = start_spawner();
  mpi::Doorbell doorbell(variable("DROVER_NET"), variable("DROVER_PORT_RANGE"));
  // Ranks of one host need no network.
  if (variable("OMPI_COMM_WORLD_LOCAL_SIZE") != variable("OMPI_COMM_WORLD_SIZE"))
    check_network(doorbell, variable("DROVER_NET"));
  const UniqueFd signals = watch_end_signals();  // before MPI makes threads
  mpi::World world(&argc, &argv);
  // Not earlier: a rank that waits in there for one that never comes is killed and leaves what it made.
  make_private_directory(paths.runtime);
  make_private_directory(paths.state);
  Topology topology = Topology::load();
  WorldInfo info = introduce(world, topology, doorbell.address(), paths);
  if (world.size() > 1)
    if (const auto missing = missing_mpi_option(); !missing.empty()) throw std::runtime_error(missing);
  spdlog::default_logger()->set_pattern(
      fmt::format("%Y-%m-%dT%H:%M:%S.%e {} %l: %v", info.nodes[static_cast<std::size_t>(world.rank())].name));

  bool may_finalize = false;
  {
    const NodeConfig own = config_of(config, info.nodes[static_cast<std::size_t>(world.rank())].name);
    Node node({world, std::move(doorbell), std::move(info), std::move(topology), paths, own, std::move(spawner)});
    bool told = false;
    node.loop().watch(signals.get(), EPOLLIN, [&](std::uint32_t) {
      told = true;
      node.stop();
    });
    may_finalize = node.run() && !told;
    // The rest of a world that was told to end by a signal, or that lost a rank, may never come to a collective.
    if (!may_finalize) {
      node.remove_traces();
      ::_exit(0);
    }
  }
  world.finalize();
  return 0;
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    fmt::print("droverd {}\n", DROVER_VERSION);
    return 0;
  }
  if (argc == 3 && std::strcmp(argv[1], "--check-net") == 0) try {  // asked on each host by drover up
      drover::check_network(drover::mpi::Doorbell(argv[2]), argv[2]);
      return 0;
    } catch (const std::exception& error) {
      fmt::print(stderr, "droverd: {}\n", error.what());
      return 1;
    }
  if (argc == 2 && std::strcmp(argv[1], "--doctor") == 0) try {  // asked by drover doctor where no world is up
      return drover::print_findings();
    } catch (const std::exception& error) {
      fmt::print(stderr, "droverd: {}\n", error.what());
      return 1;
    }
  if (argc > 1) {
    fmt::print(stderr,
               "usage: mpirun ... droverd   (or, simpler: drover up)\ndroverd takes no arguments; see hostfiles/ for "
               "ways to start it\n");
    return argc == 2 && (std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0) ? 0 : 2;
  }
  spdlog::set_default_logger(spdlog::stderr_logger_mt("droverd"));
  spdlog::set_pattern("droverd: %l: %v");
  spdlog::cfg::load_env_levels();
  try {
    return drover::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "droverd: {}\n", error.what());
    std::fflush(stderr);
    try {
      drover::remove_empty_dirs(drover::instance_paths());
    } catch (const std::exception&) {  // then there are none
    }
    // Peers may wait in a collective for this rank: mpirun ends them when one exits like this. No MPI_Abort, it can
    // hang.
    ::_exit(1);
  }
}
