#include "ckpt/sys/unix_diag.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "ckpt/sys/unique_fd.h"

namespace drover {

// As much of `value` as T needs; all zero if there is less.
template <class T>
static T get(std::span<const std::byte> value) {
  T result{};
  if (value.size() >= sizeof result) std::memcpy(&result, value.data(), sizeof result);
  return result;
}

static void read_attribute(unsigned type, std::span<const std::byte> value, UnixSocketInfo& info) {
  switch (type) {
    case UNIX_DIAG_PEER:
      info.peer = get<std::uint32_t>(value);
      info.connected = true;
      return;
    case UNIX_DIAG_SHUTDOWN:
      info.shut_down = get<std::uint8_t>(value);
      return;
    case UNIX_DIAG_VFS:
      info.file_inode = get<unix_diag_vfs>(value).udiag_vfs_ino;
      return;
    case UNIX_DIAG_ICONS:
      for (; value.size() >= 4; value = value.subspan(4)) info.pending.push_back(get<std::uint32_t>(value));
      return;
    case UNIX_DIAG_RQLEN:
      (info.listening ? info.backlog : info.unread_by_peer) = get<unix_diag_rqlen>(value).udiag_wqueue;
      return;
    default:
      return;
  }
}

std::optional<UnixSocketInfo> parse_unix_diag(std::span<const std::byte> message) {
  const auto header = get<nlmsghdr>(message);
  constexpr std::size_t kBody = NLMSG_HDRLEN, kAttributes = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(unix_diag_msg));
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || header.nlmsg_len > message.size() || header.nlmsg_len < kAttributes)
    return std::nullopt;
  const auto body = get<unix_diag_msg>(message.subspan(kBody));
  UnixSocketInfo info;
  info.inode = body.udiag_ino;
  info.listening = body.udiag_state == TCP_LISTEN;
  // Of a datagram socket the state only says that somebody is connected to it (unix_dgram_connect()).
  info.connected = body.udiag_type != SOCK_DGRAM && body.udiag_state == TCP_ESTABLISHED;
  auto rest = message.subspan(kAttributes, header.nlmsg_len - kAttributes);
  while (rest.size() >= sizeof(rtattr)) {
    const auto attribute = get<rtattr>(rest);
    if (attribute.rta_len < RTA_LENGTH(0) || attribute.rta_len > rest.size()) break;
    read_attribute(attribute.rta_type, rest.subspan(RTA_LENGTH(0), attribute.rta_len - RTA_LENGTH(0)), info);
    rest = rest.subspan(std::min<std::size_t>(rest.size(), RTA_ALIGN(attribute.rta_len)));
  }
  return info;
}

// `inode` 0: all there are.
static UniqueFd send_question(std::uint32_t inode, std::uint32_t show) {
  UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | (inode == 0 ? NLM_F_DUMP : 0));
  question.request.sdiag_family = AF_UNIX;
  question.request.udiag_states = ~0U;
  question.request.udiag_ino = inode;
  question.request.udiag_show = show;
  question.request.udiag_cookie[0] = question.request.udiag_cookie[1] = ~0U;  // none known
  if (netlink && ::send(netlink.get(), &question, sizeof question, 0) < 0) netlink.reset();
  return netlink;
}

std::optional<UnixSocketInfo> ask_unix_socket(std::uint32_t inode) {
  const UniqueFd netlink = send_question(inode, UDIAG_SHOW_PEER | UDIAG_SHOW_VFS | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN);
  if (!netlink) return std::nullopt;
  // A backlog of n takes 4 n bytes; the kernel makes its answer as long as it must be (unix_diag_get_exact()).
  std::vector<std::byte> answer(8192);
  const ssize_t length = ::recv(netlink.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC);
  if (length > static_cast<ssize_t>(answer.size())) answer.resize(static_cast<std::size_t>(length));
  const ssize_t n = ::recv(netlink.get(), answer.data(), answer.size(), 0);
  return n > 0 ? parse_unix_diag(std::span(answer).first(static_cast<std::size_t>(n))) : std::nullopt;
}

bool is_unix_file_in_use(std::uint64_t inode) {
  const UniqueFd netlink = send_question(0, UDIAG_SHOW_VFS);
  std::array<std::byte, 32768> answer;
  bool found = false;
  while (netlink) {
    const ssize_t n = ::recv(netlink.get(), answer.data(), answer.size(), 0);
    if (n <= 0) return found;
    auto rest = std::span<const std::byte>(answer).first(static_cast<std::size_t>(n));
    while (rest.size() >= sizeof(nlmsghdr)) {
      const auto header = get<nlmsghdr>(rest);
      if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR || header.nlmsg_len < sizeof header)
        return found;
      const auto info = parse_unix_diag(rest);
      found |= info && info->file_inode == static_cast<std::uint32_t>(inode);
      rest = rest.subspan(std::min<std::size_t>(rest.size(), NLMSG_ALIGN(header.nlmsg_len)));
    }
  }
  return found;
}

}  // namespace drover
