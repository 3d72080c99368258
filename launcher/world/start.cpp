#include "launcher/world/start.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "ckpt/sys/error.h"
#include "launcher/client.h"
#include "launcher/world/host_check.h"
#include "launcher/world/network.h"
#include "launcher/world/supervisor.h"

namespace drover {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(30);
constexpr auto kStatusTimeout = std::chrono::seconds(2);
constexpr auto kSlowStart = std::chrono::seconds(5);  // a good start takes one or two
constexpr const char* kInterrupted = "interrupted: the cluster was not started";
constexpr auto kLongestAnswer = std::chrono::seconds(10);  // of a host that is asked what is wrong with it

volatile std::sig_atomic_t interrupted = 0;

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// In the child: becomes the supervisor and never returns.
[[noreturn]] void supervise(const InstancePaths& paths, const WorldOptions& options, const std::string& mpirun,
                            PidFile pid_file, UniqueFd ready) {
  int exit_code = 1;
  try {
    ::setsid();
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);  // not as drover up has them
    const std::string log = paths.runtime + "/up.log";
    std::error_code ignored;  // the first one has no earlier log
    std::filesystem::rename(log, log + ".1", ignored);
    const UniqueFd out(check(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), "open", log));
    const UniqueFd in(check(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open", "/dev/null"));
    check(::dup2(in.get(), STDIN_FILENO), "dup2");
    check(::dup2(out.get(), STDOUT_FILENO), "dup2");
    check(::dup2(out.get(), STDERR_FILENO), "dup2");
    exit_code =
        Supervisor(paths, options, mpirun, program_directory() + "/droverd", std::move(pid_file), std::move(ready))
            .run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "drover up: {}\n", error.what());
  }
  ::_exit(exit_code);
}

// A droverd may accept and not answer yet: the wait is bounded.
std::optional<Json> status_of(const InstancePaths& paths, const std::string& node) {
  try {
    Client client = Client::connect(paths, node);
    client.send_request({{"op", "status"}});
    pollfd wait{client.connection().fd(), POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kStatusTimeout).count())) <= 0) return std::nullopt;
    return Client::parse_reply(client.receive());
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::optional<std::string> ready_node(const InstancePaths& paths, int nodes, long older_than) {
  for (const std::string& node : local_nodes(paths)) {
    const auto status = status_of(paths, node);
    if (status && status->value("ready", false) && status->value("world", 0) == nodes &&
        status->value("generation", 0L) > older_than)
      return node;
  }
  return std::nullopt;
}

long last_generation(const InstancePaths& paths) {
  long generation = 0;
  std::ifstream(paths.state + "/generation") >> generation;
  return generation;
}

void stop_supervisor(pid_t pid) {
  ::kill(pid, SIGTERM);
  ::waitpid(pid, nullptr, 0);
}

std::string failure(const InstancePaths& paths, const std::string& what) {
  const std::string log = paths.runtime + "/up.log", text = read_file(log);
  std::string reason = reason_of_ranks(text);
  if (reason.empty()) reason = reason_in_log(text);
  return fmt::format("{}: {}; see {}", what, reason.empty() ? "mpirun gave no reason" : reason, log);
}

std::string wait_until_ready(const InstancePaths& paths, const WorldOptions& options, pid_t supervisor, long older_than,
                             std::chrono::seconds timeout) {
  for (const auto begin = Clock::now();;) {
    if (auto node = ready_node(paths, count_nodes(options.hosts), older_than)) return *node;
    int status = 0;
    if (::waitpid(supervisor, &status, WNOHANG) == supervisor)
      throw std::runtime_error(failure(paths, "the cluster did not start"));
    if (interrupted != 0) {
      stop_supervisor(supervisor);
      throw std::runtime_error(kInterrupted);
    }
    const auto waited = Clock::now() - begin;
    // One rank that says why it leaves is enough: the others may wait for it for ever.
    if (waited > kSlowStart && !reason_of_ranks(read_file(paths.runtime + "/up.log")).empty()) {
      stop_supervisor(supervisor);
      throw std::runtime_error(failure(paths, "the cluster did not start"));
    }
    if (waited > timeout) {
      stop_supervisor(supervisor);
      throw std::runtime_error(failure(
          paths, fmt::format("no node on this host was ready within {} s (does the hostfile name this host, and do "
                             "firewalls let the nodes reach each other, see --port-range?)",
                             timeout.count())));
    }
    ::poll(nullptr, 0, static_cast<int>(kPollInterval.count()));
  }
}

}  // namespace

std::string program_directory() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) throw SystemError("readlink", "/proc/self/exe", error.value());
  return program.parent_path();
}

std::string find_mpirun() {
  const char* path = std::getenv("PATH");
  std::istringstream directories(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  std::error_code ignored;
  for (std::string directory; std::getline(directories, directory, ':');)
    if (::access((directory + "/mpirun").c_str(), X_OK) == 0)
      // mpirun takes the prefix of Open MPI on the other hosts from its own path, and refuses "/": not /bin, where that
      // is a link to /usr/bin.
      return std::filesystem::canonical(directory, ignored) / "mpirun";
  throw std::runtime_error("mpirun: not found in PATH; install it with: apt install openmpi-bin");
}

std::string reason_of_ranks(const std::string& text) {
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)  // a failed MPI call is the consequence of something else
    if (line.rfind("droverd: ", 0) == 0 && line.rfind("droverd: MPI_", 0) != 0 &&
        line.rfind("droverd: warning: ", 0) != 0 && line.rfind("droverd: info: ", 0) != 0)
      return line;
  return {};
}

std::string reason_in_log(const std::string& text) {
  static constexpr std::array<std::string_view, 14> kTelling = {"droverd:",           "ssh:",
                                                                "Permission denied",  "Host key verification",
                                                                "Could not resolve",  "No route to host",
                                                                "Connection refused", "command not found",
                                                                "No such file",       "not enough slots",
                                                                "drover up: ",        "Network is unreachable",
                                                                "unable to",          "error"};
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);)
    if (line.find_first_not_of("-= \t\r") != std::string::npos && line.find("drover up [") == std::string::npos &&
        line.find("Warning: setpgid") == std::string::npos)  // harmless: its helper was quicker
      lines.push_back(line);
  const auto trim = [](std::string line) {
    line.erase(0, line.find_first_not_of(" \t"));
    line.erase(line.find_last_not_of(" \t\r.") + 1);
    return line;
  };
  for (const std::string_view telling : kTelling)
    for (const std::string& line : lines)
      if (line.find(telling) != std::string::npos) return trim(line);
  return lines.empty() ? "" : trim(lines.front());
}

std::string start_world(const InstancePaths& paths, const WorldOptions& options, std::chrono::seconds timeout) {
  const std::string mpirun = find_mpirun(), droverd = program_directory() + "/droverd";
  if (::access(droverd.c_str(), X_OK) != 0)
    throw std::runtime_error(fmt::format("{}: {}; it must lie beside drover", droverd, error_text(errno)));
  mpi_settings(options);  // complains now, not in the log
  if (!options.network.empty()) check_network(options.network, local_interfaces());
  if (options.metrics_port != 0 && free_tcp_ports(options.metrics_port, options.metrics_port, 1).empty())
    throw std::runtime_error(
        fmt::format("--metrics-port {}: is taken on this host; give another", options.metrics_port));
  make_private_directory(paths.runtime);
  make_private_directory(paths.state);
  auto pid_file = PidFile::acquire(paths.runtime + "/up.pid");
  const std::string instance = paths.runtime.substr(paths.runtime.rfind('/') + 1);
  if (!pid_file)
    throw std::runtime_error(
        fmt::format("instance {}: already up (supervisor {}); use drover down first, or another DROVER_INSTANCE",
                    instance, PidFile::holder(paths.runtime + "/up.pid").value_or(0)));
  for (const std::string& node : local_nodes(paths))
    if (status_of(paths, node))
      throw std::runtime_error(fmt::format(
          "instance {}: {} runs already, started by an mpirun of its own; use drover down first", instance, node));
  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  const std::string fault = fault_of_hosts(options, mpirun, droverd, kLongestAnswer, interrupted);
  if (fault.empty() && interrupted == 0) {
    ::unlink(down_request_file(paths).c_str());
  } else {  // nothing has been started
    pid_file->remove();
    remove_empty_dirs(paths);
    throw std::runtime_error(fault.empty() ? kInterrupted : fault);
  }
  const long older_than = last_generation(paths);
  int pipe[2];
  check(::pipe2(pipe, O_CLOEXEC | O_NONBLOCK), "pipe");
  UniqueFd reading(pipe[0]), writing(pipe[1]);
  const pid_t supervisor = check(::fork(), "fork");
  if (supervisor == 0) {
    writing.reset();
    supervise(paths, options, mpirun, std::move(*pid_file), std::move(reading));
  }
  pid_file.reset();
  reading.reset();
  std::string node = wait_until_ready(paths, options, supervisor, older_than, timeout);
  check(::write(writing.get(), "r", 1), "write", "supervisor's pipe");
  return node;
}

}  // namespace drover
