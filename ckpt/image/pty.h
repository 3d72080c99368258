// Looking at a pseudo-terminal and setting one up, through descriptors of both sides. No terminal has a way to look at
// what lies in it: it is read out and put back, so nobody else may use it meanwhile.
#pragma once

#include <string>
#include <variant>

#include "ckpt/image/state/terminal.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

// The slave of a master, opened without becoming anybody's controlling terminal, and whatever /dev/pts is here (Linux
// >= 4.13, TIOCGPTPEER). Throws SystemError.
UniqueFd open_pty_peer(int master);

// Modes and size; of either side.
void read_pty_modes(int fd, TerminalState&);
void write_pty_modes(int fd, const TerminalState&);

// Takes out what lies in it. The terminal's modes are changed meanwhile; fill_pty() sets them again.
void drain_pty(int master, int slave, TerminalState&);

// Puts content into an empty terminal, and then sets its modes and its flow.
void fill_pty(int master, int slave, const TerminalState&);

}  // namespace drover
