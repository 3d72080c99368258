#include "ckpt/dump/plan_terminals.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "ckpt/dump/sockets.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"

namespace drover {

// Documentation/admin-guide/devices.txt: /dev/tty is 5:0, /dev/ptmx 5:2, the slaves are 136:N (of old also 137 to 143).
static constexpr unsigned kTtyMajor = 5, kMasterMinor = 2, kSlaveMajor = 136;

static bool is_slave_number(dev_t device) { return major(device) == kSlaveMajor; }

bool TerminalPlanner::is_terminal(const Descriptor& d) {
  if (!S_ISCHR(d.info.st_mode)) return false;
  const unsigned minor = minor(d.info.st_rdev);
  return is_slave_number(d.info.st_rdev) ||
         (major(d.info.st_rdev) == kTtyMajor && (minor == 0 || minor == kMasterMinor));
}

// The devpts file system in which a process opens terminals.
static dev_t devpts_of(pid_t process) {
  struct stat info {};
  return ::stat(proc_path(process, "root/dev/pts").c_str(), &info) == 0 ? info.st_dev : 0;
}

std::uint32_t TerminalPlanner::find_or_add(const Descriptor& d, dev_t device, std::uint32_t number, bool hung_up) {
  for (std::size_t i = 0; i < terminals_.size(); ++i) {
    const Terminal& known = terminals_[i];
    if (known.device == device && known.state.number == number && known.state.hung_up == hung_up)
      return static_cast<std::uint32_t>(i);
  }
  Terminal& terminal = terminals_.emplace_back();
  terminal.state.number = number;
  terminal.state.hung_up = hung_up;
  terminal.place.process = d.process;
  terminal.device = device;
  terminal.name = fmt::format("{} ({})", d.name(), d.link);
  return static_cast<std::uint32_t>(terminals_.size() - 1);
}

std::optional<Refusal> TerminalPlanner::add_master(const Descriptor& d, OpenFileState& file) {
  const UniqueFd master = borrow(d.process, d.fd);
  unsigned number = 0;
  int discipline = 0;
  if (!master || ::ioctl(master.get(), TIOCGPTN, &number) != 0 || ::ioctl(master.get(), TIOCGETD, &discipline) != 0 ||
      discipline != 0)  // N_TTY
    return Refusal{fmt::format("holds a terminal of an unknown kind, {} ({})", d.name(), d.link)};
  file.kind = FileKind::TerminalMaster;
  file.object = find_or_add(d, devpts_of(d.process), number, false);
  if (terminals_[file.object].place.master.fd >= 0)
    return Refusal{fmt::format("holds terminals of two devpts file systems, {} ({})", d.name(), d.link)};
  terminals_[file.object].place.master = {d.process, d.fd};
  return std::nullopt;
}

std::optional<Refusal> TerminalPlanner::add_slave(const Descriptor& d, OpenFileState& file) {
  file.kind = FileKind::Terminal;
  const bool hung_up = without_deleted(d.link).has_value();  // its name goes with the master
  file.object = find_or_add(d, d.info.st_dev, minor(d.info.st_rdev), hung_up);
  terminals_[file.object].place.slave = {d.process, d.fd};
  return std::nullopt;
}

std::optional<Refusal> TerminalPlanner::add(const Descriptor& d, OpenFileState& file) {
  file.file.path = d.link;
  if (is_slave_number(d.info.st_rdev)) return add_slave(d, file);
  if (minor(d.info.st_rdev) == kMasterMinor) return add_master(d, file);
  file.kind = FileKind::ControllingTerminal;  // of which terminal is known at the end
  return std::nullopt;
}

// The terminal of a session, also where nobody has it open.
std::optional<Refusal> TerminalPlanner::find_controlling(pid_t pid) {
  const auto text = try_read_text(proc_path(pid, "stat"));
  if (!text) return std::nullopt;  // ended meanwhile
  const TaskStat stat = parse_task_stat(*text);
  if (stat.terminal == 0) return std::nullopt;
  const auto device = static_cast<dev_t>(stat.terminal);
  const auto refusal = Refusal{fmt::format("process {} has a controlling terminal of an unknown kind", pid)};
  if (!is_slave_number(device)) return refusal;
  std::vector<Terminal*> found;
  for (Terminal& terminal : terminals_) {
    if (!terminal.state.hung_up && terminal.state.number == minor(device)) found.push_back(&terminal);
  }
  if (found.empty()) {
    struct stat info {};
    const std::string path = fmt::format("/dev/pts/{}", minor(device));
    if (::stat(proc_path(pid, "root" + path).c_str(), &info) != 0 || info.st_rdev != device) return refusal;
    found.push_back(&terminals_.emplace_back());
    found[0]->state.number = minor(device);
    found[0]->device = info.st_dev;
    found[0]->place.process = pid;
    found[0]->name = fmt::format("process {} ({})", pid, path);
  }
  if (found.size() > 1) return refusal;
  found[0]->state.session = stat.session;
  found[0]->state.foreground_group = std::max(0, stat.foreground_group);
  return std::nullopt;
}

// A description of /dev/tty is made by the leader of the session; whoever else has it must have inherited it.
std::optional<Refusal> TerminalPlanner::check_tty_files(const std::vector<std::string>& names, FilePlan& plan) {
  for (const FilesState& table : plan.tables) {
    for (const DescriptorState& d : table.descriptors) {
      OpenFileState& file = plan.state.files[d.open_file];
      if (file.kind != FileKind::ControllingTerminal) continue;
      const auto text = try_read_text(proc_path(table.process, "stat"));
      if (!text) continue;
      const TaskStat stat = parse_task_stat(*text);
      dev_t behind = 0;
      unsigned number = 0;
      if (::ioctl(borrow(table.process, d.fd).get(), TIOCGDEV, &number) == 0) behind = number;
      const auto terminal = std::find_if(terminals_.begin(), terminals_.end(), [&](const Terminal& one) {
        return one.state.session == stat.session && !one.state.hung_up && one.state.number == minor(behind);
      });
      if (!is_slave_number(behind) || behind != static_cast<dev_t>(stat.terminal) || terminal == terminals_.end())
        return Refusal{fmt::format("holds a terminal that is not its session's any more, {}", names[d.open_file])};
      file.object = static_cast<std::uint32_t>(terminal - terminals_.begin());
      if (terminal->place.slave.fd < 0) terminal->place.slave = {table.process, d.fd};
    }
  }
  return std::nullopt;
}

// Has the last of those who had the slave closed it? (n_tty_poll(), TTY_OTHER_CLOSED)
static bool slave_closed(const FilePlan::Place& master) {
  const UniqueFd copy = borrow(master.process, master.fd);
  pollfd ask{copy.get(), 0, 0};
  return copy && ::poll(&ask, 1, 0) == 1 && (ask.revents & POLLHUP) != 0;
}

std::optional<Refusal> TerminalPlanner::check_masters(std::span<const pid_t> living, bool may_be_given) {
  int given = 0;
  for (Terminal& terminal : terminals_) {
    TerminalState& state = terminal.state;
    const auto& place = terminal.place;
    if (state.hung_up) continue;
    state.given = place.master.fd < 0;
    if (state.given && (!may_be_given || ++given > 1))
      return Refusal{fmt::format("holds a terminal of somebody else, {}", terminal.name)};
    // These two pass when a shell in it is about to start or to end.
    if (!state.given && place.slave.fd < 0 && !slave_closed(place.master))
      return Refusal{fmt::format("holds a terminal of which nobody in the tree has the slave, {}", terminal.name),
                     true};
    const bool leads = std::find(living.begin(), living.end(), state.session) != living.end();
    if (!state.given && state.session != 0 && !leads)
      return Refusal{fmt::format("holds the terminal of a session of somebody else, {}", terminal.name), true};
  }
  return std::nullopt;
}

std::optional<Refusal> TerminalPlanner::finish(std::span<const pid_t> living, const DumpOptions& options,
                                               const std::vector<std::string>& names, FilePlan& plan) {
  for (const pid_t pid : living) {
    if (auto refusal = find_controlling(pid)) return refusal;
  }
  if (auto refusal = check_tty_files(names, plan)) return refusal;
  if (auto refusal = check_masters(living, options.terminal)) return refusal;
  for (Terminal& terminal : terminals_) {
    plan.state.terminals.push_back(std::move(terminal.state));
    plan.terminals.push_back(terminal.place);
  }
  return std::nullopt;
}

}  // namespace drover
