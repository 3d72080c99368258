#include "ckpt/image/pty.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

namespace drover {

static constexpr std::size_t kReadBytes = 4096;  // N_TTY_BUF_SIZE of drivers/tty/n_tty.c: never more at once
static constexpr int kTimeoutMs = 5000;          // for the kernel's own work queue, which carries characters across

UniqueFd open_pty_peer(int master) {
  return UniqueFd(check(::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "TIOCGPTPEER", "terminal"));
}

static termios2 get_modes(int fd) {
  termios2 modes{};
  check(::ioctl(fd, TCGETS2, &modes), "TCGETS2", "terminal");
  return modes;
}

static void set_modes(int fd, const termios2& modes) { check(::ioctl(fd, TCSETS2, &modes), "TCSETS2", "terminal"); }

static termios2 modes_of(const TerminalState& state) {
  termios2 modes{};
  if (state.modes.size() != sizeof modes) throw SystemError("set modes of", "terminal", EINVAL);
  std::memcpy(&modes, state.modes.data(), sizeof modes);
  return modes;
}

// With EXTPROC the kernel leaves lines to whoever holds the master (ioctl_tty(2)).
static bool is_canonical(const termios2& modes) {
  return (modes.c_lflag & ICANON) != 0 && (modes.c_lflag & EXTPROC) == 0;
}

void read_pty_modes(int fd, TerminalState& state) {
  const termios2 modes = get_modes(fd);
  state.modes.resize(sizeof modes);
  std::memcpy(state.modes.data(), &modes, sizeof modes);
  winsize size{};
  check(::ioctl(fd, TIOCGWINSZ, &size), "TIOCGWINSZ", "terminal");
  state.rows = size.ws_row, state.columns = size.ws_col;
  state.width_pixels = size.ws_xpixel, state.height_pixels = size.ws_ypixel;
}

void write_pty_modes(int fd, const TerminalState& state) {
  set_modes(fd, modes_of(state));
  const winsize size{state.rows, state.columns, state.width_pixels, state.height_pixels};
  check(::ioctl(fd, TIOCSWINSZ, &size), "TIOCSWINSZ", "terminal");
}

// Where nothing is to be had poll() first waits for what is still on its way (n_tty_poll(), tty_buffer_flush_work()).
static bool is_ready(int fd, short event, int timeout_ms = 0) {
  pollfd ask{fd, event, 0};
  return ::poll(&ask, 1, timeout_ms) == 1 && (ask.revents & event) != 0;
}

static std::vector<std::byte> read_once(int fd) {
  std::vector<std::byte> bytes(kReadBytes);
  const auto n = check(::read(fd, bytes.data(), bytes.size()), "read", "terminal");
  bytes.resize(static_cast<std::size_t>(n));
  return bytes;
}

static void read_all(int fd, std::vector<std::byte>& to) {
  while (is_ready(fd, POLLIN)) {
    const auto bytes = read_once(fd);
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
}

static std::byte as_byte(cc_t character) { return std::byte{character}; }

static bool ends_line(std::byte last, const termios2& modes) {
  return last == std::byte{'\n'} || (modes.c_cc[VEOL] != 0 && last == as_byte(modes.c_cc[VEOL])) ||
         (modes.c_cc[VEOL2] != 0 && last == as_byte(modes.c_cc[VEOL2]));
}

static void read_lines(int slave, const termios2& modes, TerminalState& state) {
  while (is_ready(slave, POLLIN)) {
    TerminalLine line{read_once(slave), false};
    line.end_of_file = line.bytes.empty() || !ends_line(line.bytes.back(), modes);
    state.lines.push_back(std::move(line));
  }
}

// Nobody hears, sees or edits what is moved: no signals, no flow control, no translation.
static termios2 quiet_modes(termios2 modes) {
  modes.c_iflag = 0;
  modes.c_oflag = 0;
  modes.c_lflag = 0;
  modes.c_cflag |= CREAD;
  modes.c_cc[VMIN] = 1;
  modes.c_cc[VTIME] = 0;
  return modes;
}

// Output is not taken while the terminal is stopped. Only a program's own stop ends by TCOON (__start_tty()).
static TerminalFlow find_flow(int slave) {
  if (is_ready(slave, POLLOUT)) return TerminalFlow::Running;
  check(::ioctl(slave, TCXONC, TCOON), "TCOON", "terminal");
  return is_ready(slave, POLLOUT) ? TerminalFlow::StoppedByProgram : TerminalFlow::StoppedByKey;
}

void drain_pty(int master, int slave, TerminalState& state) {
  read_all(master, state.output);
  state.flow = find_flow(slave);  // before modes change: without IXON a terminal is not stopped by a key
  const termios2 modes = get_modes(slave);
  if (is_canonical(modes)) read_lines(slave, modes, state);
  set_modes(slave, quiet_modes(modes));
  read_all(slave, state.typed);
}

static void write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (!is_ready(fd, POLLOUT, kTimeoutMs)) throw SystemError("fill", "terminal", ETIMEDOUT);
    const auto n = check(::write(fd, bytes.data(), bytes.size()), "write", "terminal");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

static cc_t unused_character(const TerminalState& state, const termios2& modes) {
  std::array<bool, 256> used{};
  for (const auto& line : state.lines) {
    for (const std::byte byte : line.bytes) used[std::to_integer<unsigned>(byte)] = true;
  }
  for (const std::byte byte : state.typed) used[std::to_integer<unsigned>(byte)] = true;
  used[0] = used['\n'] = used[modes.c_cc[VEOL]] = used[modes.c_cc[VEOL2]] = true;
  const auto free = std::find(used.begin(), used.end(), false);
  if (free == used.end()) throw SystemError("fill", "terminal", EILSEQ);
  return static_cast<cc_t>(free - used.begin());
}

// Lines are made by the kernel from what is typed. That it has taken a character in is seen by its echo; only VEOF has
// none, but then either the line before it had one, or nothing can be read yet and poll() waits.
static void type_lines(int master, int slave, const TerminalState& state, const termios2& modes) {
  termios2 typing = quiet_modes(modes);
  typing.c_lflag = ICANON | IEXTEN | ECHO;
  for (const int key : {VERASE, VKILL, VWERASE, VREPRINT, VLNEXT, VINTR, VQUIT, VSUSP}) typing.c_cc[key] = 0;
  typing.c_cc[VEOF] = unused_character(state, modes);
  set_modes(slave, typing);
  std::vector<std::byte> keys;
  std::size_t echoes = 0;
  const auto add = [&](const std::vector<std::byte>& bytes) {
    keys.insert(keys.end(), bytes.begin(), bytes.end());
    echoes += bytes.size();
  };
  for (const TerminalLine& line : state.lines) {
    add(line.bytes);
    if (line.end_of_file) keys.push_back(as_byte(typing.c_cc[VEOF]));
  }
  add(state.typed);
  write_all(master, keys);
  is_ready(slave, POLLIN);
  for (std::vector<std::byte> echoed; echoed.size() < echoes;) {
    if (!is_ready(master, POLLIN, kTimeoutMs)) throw SystemError("fill", "terminal", ETIMEDOUT);
    read_all(master, echoed);
  }
}

static void type_raw(int master, int slave, const TerminalState& state, const termios2& modes) {
  set_modes(slave, quiet_modes(modes));
  write_all(master, state.typed);
  const auto wanted = static_cast<int>(std::min(state.typed.size(), kReadBytes - 1));
  for (int there = 0, ms = 0; there < wanted; ++ms) {
    if (ms > kTimeoutMs) throw SystemError("fill", "terminal", ETIMEDOUT);
    check(::ioctl(slave, FIONREAD, &there), "FIONREAD", "terminal");
    if (there < wanted) ::poll(nullptr, 0, 1);
  }
}

void fill_pty(int master, int slave, const TerminalState& state) {
  const termios2 modes = modes_of(state);
  if (!is_canonical(modes) && !state.typed.empty()) type_raw(master, slave, state, modes);
  if (is_canonical(modes) && !(state.lines.empty() && state.typed.empty())) type_lines(master, slave, state, modes);
  if (!state.output.empty()) {
    termios2 verbatim =
        get_modes(slave);  // canonical or not as it is now: a change would make one line of all that was typed
    verbatim.c_oflag = 0;
    set_modes(slave, verbatim);
    write_all(slave, state.output);
  }
  set_modes(slave, modes);
  if (state.flow == TerminalFlow::StoppedByProgram) check(::ioctl(slave, TCXONC, TCOOFF), "TCOOFF", "terminal");
  if (state.flow == TerminalFlow::StoppedByKey) write_all(master, std::vector{as_byte(modes.c_cc[VSTOP])});
}

}  // namespace drover
