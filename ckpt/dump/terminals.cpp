// What a frozen tree's terminals are set to and what lies in them.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ckpt/dump/obstacles.h"
#include "ckpt/dump/sockets.h"
#include "ckpt/image/pty.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"

namespace drover {

static UniqueFd open_slave(const FilePlan::TerminalPlace& place, const TerminalState& state) {
  if (place.slave.fd >= 0) return borrow(place.slave.process, place.slave.fd);
  const std::string path = proc_path(place.process, fmt::format("root/dev/pts/{}", state.number));
  return UniqueFd(check(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC), "open", path));
}

static bool get_flag(int fd, unsigned long request) {
  int value = 0;
  check(::ioctl(fd, request, &value), "ask", "terminal");
  return value != 0;
}

static void set_packet_mode(int master, int on) { check(::ioctl(master, TIOCPKT, &on), "TIOCPKT", "terminal"); }

// Read out and put back; also if that fails half-way.
static void look_inside(int master, int slave, TerminalState& state) {
  if (state.packet_mode) set_packet_mode(master, 0);
  try {
    drain_pty(master, slave, state);
  } catch (...) {
    fill_pty(master, slave, state);
    throw;
  }
  fill_pty(master, slave, state);
  if (state.packet_mode) set_packet_mode(master, 1);
}

static std::optional<Refusal> collect_own(const FilePlan::TerminalPlace& place, TerminalState& state) {
  const UniqueFd master = borrow(place.master.process, place.master.fd);
  state.locked = get_flag(master.get(), TIOCGPTLCK);
  state.packet_mode = get_flag(master.get(), TIOCGPKT);
  pollfd ask{master.get(), POLLPRI, 0};
  if (state.packet_mode && ::poll(&ask, 1, 0) == 1 && (ask.revents & POLLPRI) != 0)
    return Refusal{fmt::format("has not read what packet mode tells of its terminal, fd {} of process {}",
                               place.master.fd, place.master.process),
                   true};
  const UniqueFd slave = place.slave.fd >= 0 ? open_slave(place, state) : open_pty_peer(master.get());
  state.exclusive = get_flag(slave.get(), TIOCGEXCL);
  struct stat info {};
  check(::fstat(slave.get(), &info), "stat", "terminal");
  // Through /dev/tty one sees the mode of that.
  if (major(info.st_rdev) != 136)
    ::stat(proc_path(place.process, fmt::format("root/dev/pts/{}", state.number)).c_str(), &info);
  state.mode = info.st_mode & 07777;
  read_pty_modes(slave.get(), state);
  look_inside(master.get(), slave.get(), state);
  return std::nullopt;
}

static bool is_master_of(int master, const UniqueFd& slave) {
  struct stat peer {
  }, seen{};
  return ::fstat(open_pty_peer(master).get(), &peer) == 0 && ::fstat(slave.get(), &seen) == 0 &&
         (major(seen.st_rdev) != 136 || (peer.st_dev == seen.st_dev && peer.st_ino == seen.st_ino));
}

// What was typed into a terminal whose master is elsewhere stays there, unless whoever dumps holds that.
static std::optional<Refusal> collect_given(const FilePlan::TerminalPlace& place, TerminalState& state, int master) {
  const UniqueFd slave = open_slave(place, state);
  state.mode = 0620;
  read_pty_modes(slave.get(), state);
  if (master < 0) return std::nullopt;
  if (!is_master_of(master, slave))
    return Refusal{fmt::format("holds a terminal of somebody else, /dev/pts/{}", state.number)};
  look_inside(master, slave.get(), state);
  return std::nullopt;
}

std::optional<Refusal> collect_terminals(FilePlan& plan, int given_master) {
  for (std::size_t i = 0; i < plan.state.terminals.size(); ++i) {
    TerminalState& state = plan.state.terminals[i];
    if (state.hung_up) continue;
    auto refusal =
        state.given ? collect_given(plan.terminals[i], state, given_master) : collect_own(plan.terminals[i], state);
    if (refusal) return refusal;
  }
  return std::nullopt;
}

}  // namespace drover
