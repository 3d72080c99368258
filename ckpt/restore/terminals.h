// Pseudo-terminals made again, under their numbers.
#pragma once

#include <string>

#include "ckpt/image/state/files.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

struct RestoredTerminal {
  UniqueFd master;  // until it is a description of the tree, or taken by whoever restores
  UniqueFd slave;
};

// With all that was in it. `path`: of /dev/ptmx. Throws SystemError, EEXIST if the number is taken in the devpts file
// system here.
RestoredTerminal make_terminal(const TerminalState&, const std::string& path);

// Another description of its slave, or of a dead one's.
UniqueFd open_slave(const RestoredTerminal&, int flags);

// What would hinder further opening; when all is open.
void settle_terminal(const TerminalState&, int master, int slave);

// The calling process becomes the leader of a new session, whose controlling terminal it is.
void become_session_of(const RestoredTerminal&);

}  // namespace drover
