#include "ckpt/sys/unix_diag.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "ckpt/sys/unique_fd.h"

namespace drover {

static std::optional<UnixSocketInfo> read_answer(const std::byte* bytes, std::size_t size) {
  nlmsghdr header{};
  unix_diag_msg message{};
  if (size < NLMSG_HDRLEN + sizeof message) return std::nullopt;
  std::memcpy(&header, bytes, sizeof header);
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || header.nlmsg_len > size) return std::nullopt;
  std::memcpy(&message, bytes + NLMSG_HDRLEN, sizeof message);
  UnixSocketInfo info;
  info.listening = message.udiag_state == TCP_LISTEN;
  info.connected = message.udiag_state == TCP_ESTABLISHED;
  std::size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof message);
  for (rtattr attribute{}; at + sizeof attribute <= header.nlmsg_len; at += RTA_ALIGN(attribute.rta_len)) {
    std::memcpy(&attribute, bytes + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > header.nlmsg_len) break;
    const std::byte* value = bytes + at + RTA_LENGTH(0);
    if (attribute.rta_type == UNIX_DIAG_PEER) {
      std::memcpy(&info.peer, value, sizeof info.peer);
      info.connected = true;
    }
    if (attribute.rta_type == UNIX_DIAG_SHUTDOWN) info.shut_down = std::to_integer<std::uint32_t>(*value);
  }
  return info;
}

std::optional<UnixSocketInfo> ask_unix_socket(std::uint32_t inode) {
  const UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) return std::nullopt;
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  question.request.sdiag_family = AF_UNIX;
  question.request.udiag_states = ~0U;
  question.request.udiag_ino = inode;
  question.request.udiag_show = UDIAG_SHOW_PEER;
  question.request.udiag_cookie[0] = question.request.udiag_cookie[1] = ~0U;  // none known
  if (::send(netlink.get(), &question, sizeof question, 0) < 0) return std::nullopt;
  std::array<std::byte, 8192> answer;
  const ssize_t n = ::recv(netlink.get(), answer.data(), answer.size(), 0);
  return n > 0 ? read_answer(answer.data(), static_cast<std::size_t>(n)) : std::nullopt;
}

}  // namespace drover
