// drover down: ends the cluster, and says so only when it is gone.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>

#include "ckpt/sys/error.h"
#include "launcher/commands/commands.h"
#include "launcher/world/pid_file.h"
#include "launcher/world/supervisor.h"

namespace drover {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSupervisorEnds = std::chrono::seconds(15);       // it needs at most 2 + 2 + 2
constexpr auto kShepherdsEnd = std::chrono::milliseconds(1000);  // of jobs that have ended
constexpr auto kDroverdsEnd = std::chrono::seconds(10);          // of a world that plain mpirun started

// Written before the world is asked to end, so that its supervisor does not start another; removed if it refuses.
class DownRequest {
 public:
  explicit DownRequest(std::string file) : file_(std::move(file)) {
    const UniqueFd fd(check(::open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), "open", file_));
  }
  ~DownRequest() {
    if (!kept_) ::unlink(file_.c_str());
  }
  DownRequest(const DownRequest&) = delete;
  DownRequest& operator=(const DownRequest&) = delete;
  void keep() { kept_ = true; }

 private:
  std::string file_;
  bool kept_ = false;
};

template <class Condition>
bool wait_for(Clock::duration longest, Condition condition) {
  for (const auto deadline = Clock::now() + longest; !condition();) {
    if (Clock::now() > deadline) return false;
    ::poll(nullptr, 0, 20);
  }
  return true;
}

bool answers(const InstancePaths& paths) {
  for (const std::string& node : local_nodes(paths)) try {
      Connection::connect(paths.control_socket(node));
      return true;
    } catch (const SystemError&) {
    }
  return false;
}

// What a world leaves in the runtime folder of this host if its droverds were killed. A folder in which a shepherd
// lives stays as it is but for the socket.
void remove_left_overs(const InstancePaths& paths, const std::string& mode) {
  std::error_code ignored;
  std::vector<std::string> nodes;
  for (const auto& entry : std::filesystem::directory_iterator(paths.runtime, ignored))
    if (entry.is_directory(ignored)) nodes.push_back(entry.path().filename());
  for (const std::string& node : nodes)
    remove_node_dir(paths, node, mode == "leave" ? std::chrono::milliseconds::zero() : kShepherdsEnd);
}

int ask_world(const Context& context, const std::string& mode, bool supervised) {
  try {
    return context.connect().request({{"op", "down"}, {"mode", mode}}).value("jobs", 0);
  } catch (const NoDroverd&) {
    if (!supervised) throw;
    return 0;  // between two worlds: the supervisor alone is to be ended
  }
}

void down(const Context& context, const std::string& mode) {
  const InstancePaths paths = instance_paths();
  const std::string pid_path = paths.runtime + "/up.pid";
  const auto supervisor = PidFile::holder(pid_path);
  if (!supervisor && local_nodes(paths).empty()) context.connect();  // says that none is up
  DownRequest request(down_request_file(paths));
  const int jobs = ask_world(context, mode, supervisor.has_value());
  if (supervisor) {
    request.keep();  // the supervisor removes it at its end
    ::kill(*supervisor, SIGUSR1);
    if (!wait_for(kSupervisorEnds, [&] { return !PidFile::holder(pid_path); }))
      throw std::runtime_error(fmt::format("supervisor {}: did not end within {} s; see {}/up.log", *supervisor,
                                           kSupervisorEnds.count(), paths.runtime));
  } else if (!wait_for(kDroverdsEnd, [&] { return !answers(paths); })) {
    throw std::runtime_error(
        fmt::format("the droverds of this host did not end within {} s; end their mpirun", kDroverdsEnd.count()));
  }
  if (!answers(paths)) remove_left_overs(paths, mode);
  if (jobs > 0 && mode == "leave")
    fmt::print("{} job{} left running; drover up finds them again\n", jobs, jobs == 1 ? "" : "s");
}

}  // namespace

void add_down(CLI::App& app, Context& context) {
  struct Flags {
    bool kill = false, leave = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("down", "End the cluster (refused while jobs run, without an option)");
  auto* kill = command->add_flag("--kill-jobs", flags->kill, "End the running jobs too");
  command->add_flag("--leave-jobs", flags->leave, "Leave them running; the next drover up adopts them")->excludes(kill);
  command->footer("Examples: drover down;  drover down --leave-jobs");
  command->callback([&context, flags] { down(context, flags->kill ? "kill" : flags->leave ? "leave" : "refuse"); });
}

}  // namespace drover
