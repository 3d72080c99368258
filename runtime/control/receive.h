// Reading from a unix socket over which descriptors may travel too (unix(7), SCM_RIGHTS).
#pragma once

#include <sys/types.h>

#include <deque>
#include <span>

#include "ckpt/sys/unique_fd.h"

namespace drover {

inline constexpr std::size_t kMaxFdsPerMessage = 8;  // nothing of ours sends more

// As recvmsg(2), once: the number of bytes, 0 at the end of the stream, or -1 with errno. Descriptors are appended.
ssize_t receive_with_fds(int socket, std::span<char> bytes, std::deque<UniqueFd>& fds);

// The oldest one, taken out; empty if there is none.
UniqueFd take_first(std::deque<UniqueFd>& fds);

}  // namespace drover
