#include "ckpt/restore/terminals.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "ckpt/image/pty.h"
#include "ckpt/restore/freed_ids.h"
#include "ckpt/restore/held_process.h"
#include "ckpt/sys/error.h"

namespace drover {

// The kernel gives the lowest number that is free: the ones below are held until it is the wanted one.
static UniqueFd open_master(std::uint32_t number, const std::string& path) {
  constexpr std::size_t kMost = 4096;  // as many as the kernel allows by default (kernel.pty.max)
  for (std::vector<UniqueFd> below; below.size() < kMost;) {
    UniqueFd master(check(::open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), "open", path));
    std::uint32_t got = 0;
    check(::ioctl(master.get(), TIOCGPTN, &got), "TIOCGPTN", path);
    if (got == number) return master;
    if (got > number) break;
    below.push_back(std::move(master));
  }
  throw SystemError("make terminal", fmt::format("/dev/pts/{}", number), EEXIST);
}

static void set_locked(int master, int locked) {
  check(::ioctl(master, TIOCSPTLCK, &locked), "TIOCSPTLCK", "terminal");
}

RestoredTerminal make_terminal(const TerminalState& state, const std::string& path) {
  RestoredTerminal terminal;
  // One that is dead has no number any more.
  terminal.master = state.hung_up ? UniqueFd(check(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC), "open", path))
                                  : with_freed_id([&] { return open_master(state.number, path); });
  set_locked(terminal.master.get(), 0);
  terminal.slave = open_pty_peer(terminal.master.get());
  if (state.hung_up) return terminal;
  const int slave = terminal.slave.get();
  check(::fchmod(slave, state.mode & 0777), "chmod", fmt::format("/dev/pts/{}", state.number));
  write_pty_modes(slave, state);
  fill_pty(terminal.master.get(), slave, state);
  return terminal;
}

UniqueFd open_slave(const RestoredTerminal& terminal, int flags) {
  constexpr int kLargeFile = 0100000;  // of the kernel's; what openpty(3) opens by TIOCGPTPEER lacks it
  const int wanted = (flags & (O_ACCMODE | O_NONBLOCK | O_APPEND)) | O_NOCTTY;
  if ((flags & kLargeFile) == 0)  // and O_CLOEXEC would be remembered in its flags (ptm_open_peer())
    return UniqueFd(check(::ioctl(terminal.master.get(), TIOCGPTPEER, wanted), "TIOCGPTPEER", "terminal"));
  const std::string path = fmt::format("/proc/self/fd/{}", terminal.slave.get());
  return UniqueFd(check(::open(path.c_str(), wanted | O_CLOEXEC), "open", path));
}

void settle_terminal(const TerminalState& state, int master, int slave) {
  int on = 1;
  if (state.packet_mode) check(::ioctl(master, TIOCPKT, &on), "TIOCPKT", "terminal");
  if (state.exclusive) check(::ioctl(slave, TIOCEXCL), "TIOCEXCL", "terminal");
  if (state.locked) set_locked(master, 1);
}

void become_session_of(const RestoredTerminal& terminal) {
  check(::setsid(), "setsid");
  check(::ioctl(terminal.slave.get(), TIOCSCTTY, 0), "TIOCSCTTY", "terminal");
}

// After setsid(), before it has children: they inherit the terminal, and what was opened as /dev/tty. Below the parked
// descriptors nothing is open yet, so that open() returns 0.
void take_controlling_terminal(HeldProcess& leader, const OpenFilesState& files, std::int32_t session) {
  Batch batch = leader.batch();
  for (std::size_t i = 0; i < files.terminals.size(); ++i) {
    if (files.terminals[i].session != session || files.terminals[i].hung_up) continue;
    if (session == leader.pid)
      batch.must("TIOCSCTTY", SYS_ioctl, leader.terminals_fd + static_cast<int>(i), TIOCSCTTY, 0);
    for (std::size_t file = 0; file < files.files.size(); ++file) {
      if (files.files[file].kind != FileKind::ControllingTerminal || files.files[file].object != i) continue;
      leader.make_room(batch, 1024);
      batch.must("open /dev/tty", SYS_openat, AT_FDCWD, batch.push_string("/dev/tty"),
                 files.files[file].flags & (O_ACCMODE | O_NONBLOCK | O_APPEND), 0);
      batch.must("dup3 /dev/tty", SYS_dup3, 0, leader.parked_fd + static_cast<int>(file), 0);
      batch.must("close", SYS_close, 0);
    }
  }
  leader.run(batch);
}

// A group that has ended can still be a terminal's foreground group; its id is that of a process which is there just
// long enough.
static void set_foreground_of_gone(HeldProcess& setter, int terminal_fd, pid_t group) {
  constexpr std::int64_t kDeadlineNs = 3'000'000'000;
  Batch batch = setter.batch();
  clone_args args{};
  args.set_tid = batch.push_value(group);
  args.set_tid_size = 1;
  batch.must(fmt::format("clone3 with process id {}", group), SYS_clone3, batch.push_value(args), sizeof args);
  batch.must("TIOCSPGRP", SYS_ioctl, terminal_fd, TIOCSPGRP, batch.push_value(group));
  with_freed_id([&] { setter.run(batch); });
  Tracee(group).wait();
  ::kill(group, SIGKILL);
  for (auto stop = Tracee(group).wait_for(kDeadlineNs); stop && !stop->exited();)
    stop = Tracee(group).wait_for(kDeadlineNs);
  batch.clear();
  batch.must("wait4", SYS_wait4, group, 0, __WALL, 0);
  setter.run(batch);
}

void set_foreground_groups(RestoredTree& tree) {
  const auto& terminals = tree.model.open_files.terminals;
  for (std::size_t i = 0; i < terminals.size(); ++i) {
    const TerminalState& terminal = terminals[i];
    const auto in_session = [&](const HeldProcess& held) {
      return !held.zombie() && held.image.process.session == terminal.session;
    };
    const auto setter = std::find_if(tree.processes.begin(), tree.processes.end(), in_session);
    if (terminal.session == 0 || setter == tree.processes.end()) continue;
    const auto has_group = [&](pid_t group) {
      return std::any_of(tree.processes.begin(), tree.processes.end(),
                         [&](const HeldProcess& held) { return held.image.process.process_group == group; });
    };
    const bool led_outside = terminal.session != setter->pid && !tree.has_process(terminal.session);
    pid_t group = terminal.foreground_group;
    // What was in the foreground of somebody else's session is not here: the tree is alone with its terminal.
    if (led_outside && !has_group(group)) group = tree.root().pid;
    const int fd = setter->terminals_fd + static_cast<int>(i);
    if (group <= 0 || (led_outside && !has_group(group))) continue;
    if (!has_group(group)) {
      set_foreground_of_gone(*setter, fd, group);
      continue;
    }
    Batch batch = setter->batch();
    batch.must(fmt::format("TIOCSPGRP {}", group), SYS_ioctl, fd, TIOCSPGRP, batch.push_value(group));
    setter->run(batch);
  }
}

}  // namespace drover
