#include "ckpt/restore/sockets.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "ckpt/image/error.h"
#include "ckpt/image/udp_routes.h"
#include "ckpt/restore/image_sockets.h"
#include "ckpt/restore/socket_names.h"
#include "ckpt/sys/socket_address.h"
#include "ckpt/sys/socket_options.h"
#include "ckpt/sys/unix_diag.h"

namespace drover {
namespace {

SocketAddress unix_address(const std::string& name) {
  SocketAddress address(sizeof(sa_family_t) + name.size());
  const sa_family_t family = AF_UNIX;
  std::memcpy(address.data(), &family, sizeof family);
  std::memcpy(address.data() + sizeof family, name.data(), name.size());
  return address;
}

SocketAddress v4(std::uint32_t host, std::uint16_t port) {
  SocketAddress address = make_loopback(AF_INET, port);
  const std::uint32_t bytes = htonl(host);
  std::memcpy(address.data() + offsetof(sockaddr_in, sin_addr), &bytes, sizeof bytes);
  return address;
}

TEST(SocketAddress, IsShownAsPeopleWriteIt) {
  EXPECT_EQ(show_address(v4(0x7f000001, 80)), "127.0.0.1:80");
  EXPECT_EQ(show_address(make_loopback(AF_INET6, 80)), "[::1]:80");
  EXPECT_EQ(show_address(unix_address(std::string("/run/it\0", 8))), "/run/it");
  EXPECT_EQ(show_address(unix_address(std::string("\0na\1me", 6))), "@na@me");
  EXPECT_EQ(show_address({}), "");
}

TEST(SocketAddress, TellsNamesApart) {
  const auto chosen =
      unix_address(std::string("\0"
                               "00a1f",
                               6));
  EXPECT_TRUE(is_autobound(chosen) && is_abstract(chosen));
  EXPECT_FALSE(
      is_autobound(unix_address(std::string("\0"
                                            "00A1F",
                                            6))));
  EXPECT_FALSE(is_abstract(unix_address("x")));
  EXPECT_EQ(path_of(chosen), "");
  EXPECT_EQ(port_of(unix_address("x")), 0);
}

TEST(SocketAddress, KnowsIpv4WrittenAsIpv6) {
  const auto plain = v4(0x7f000002, 5), wide = mapped(plain);
  EXPECT_EQ(family_of(wide), AF_INET6);
  EXPECT_EQ(unmapped(wide), plain);
  EXPECT_TRUE(is_loopback(wide) && same_host(wide, plain));
  EXPECT_FALSE(same_host(plain, make_loopback(AF_INET, 5)));
  EXPECT_FALSE(is_loopback(v4(0x0a000001, 5)));
  EXPECT_TRUE(is_wildcard(v4(0, 5)));
}

struct DiagMessage {
  nlmsghdr header{};
  unix_diag_msg body{};
  rtattr attribute{};
  std::uint32_t value[2] = {3, 9};
};

TEST(UnixDiag, ReadsHowManyMayWait) {
  DiagMessage message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_len = sizeof message;
  message.body.udiag_state = TCP_LISTEN;
  message.body.udiag_ino = 77;
  message.attribute.rta_len = sizeof message.attribute + sizeof message.value;
  message.attribute.rta_type = UNIX_DIAG_RQLEN;
  const auto info = parse_unix_diag(std::as_bytes(std::span(&message, 1)));
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->listening);
  EXPECT_EQ(info->inode, 77U);
  EXPECT_EQ(info->backlog, 9U);
  message.attribute.rta_len = 60000;  // longer than the message
  EXPECT_EQ(parse_unix_diag(std::as_bytes(std::span(&message, 1)))->backlog, 0U);
  message.header.nlmsg_len = sizeof message + 1;
  EXPECT_FALSE(parse_unix_diag(std::as_bytes(std::span(&message, 1))));
}

TEST(SocketNames, PlacesANameWithinARoot) {
  EXPECT_EQ(place_in_root("/run/it").path, "/run/it");
  EXPECT_EQ(place_in_root("/run/it").folder, "/");
  EXPECT_EQ(place_in_root("it").path, "/it");
  EXPECT_EQ(place_in_root("a/./b//it").path, "/a/b/it");
  EXPECT_EQ(place_in_root("/../it").path, "/it");
  const auto up = place_in_root("../a/../../it");
  EXPECT_EQ(up.folder, "/up/up/up");
  EXPECT_EQ(up.path, "/up/it");
  EXPECT_EQ(up.folders.size(), 4U);  // a, too, is walked through
}

// As in a live migration: the source's socket listens meanwhile.
class TakenName : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root for chroot";
    char folder[] = "/tmp/drover-name-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    name_ = unix_address(folder_ + "/it" + '\0');
    old_ = listen_on([&](int fd) { EXPECT_EQ(bind_socket(fd, name_), 0); });
    struct stat info {};
    ASSERT_EQ(::lstat((folder_ + "/it").c_str(), &info), 0);
    file_ = {folder_ + "/it", S_IFSOCK | 0600, info.st_uid, info.st_gid, info.st_ino};
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  template <class F>
  UniqueFd listen_on(F bind) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    bind(fd.get());
    EXPECT_EQ(::listen(fd.get(), 1), 0);
    return fd;
  }
  // Who hears somebody that connects now?
  bool hears(const UniqueFd& listener) {
    const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect_socket(client.get(), name_), 0);
    const UniqueFd server(::accept(listener.get(), nullptr, nullptr));
    return static_cast<bool>(server);
  }
  std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator());
  }

  std::string folder_;
  SocketAddress name_;
  UniqueFd old_;
  SocketFile file_;
};

TEST_F(TakenName, StaysTheSourcesUntilCommit) {
  SocketNames names;
  const UniqueFd fresh = listen_on([&](int fd) { names.bind(fd, name_, file_); });
  EXPECT_TRUE(hears(old_));
  names.commit();
  EXPECT_TRUE(hears(fresh));
  struct stat info {};
  ASSERT_EQ(::lstat(file_.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  EXPECT_EQ(files(), 1);
  sockaddr_un told{};
  socklen_t size = sizeof told;
  ASSERT_EQ(::getsockname(fresh.get(), reinterpret_cast<sockaddr*>(&told), &size), 0);
  EXPECT_EQ(told.sun_path, folder_ + "/it");
}

TEST_F(TakenName, StaysTheSourcesIfTheDestinationFails) {
  {
    SocketNames names;
    const UniqueFd fresh = listen_on([&](int fd) { names.bind(fd, name_, file_); });
  }
  EXPECT_TRUE(hears(old_));
  EXPECT_EQ(files(), 1);
}

OpenFilesState udp_pair() {
  OpenFilesState files;
  for (const std::uint16_t port : {std::uint16_t{1000}, std::uint16_t{2000}}) {
    OpenFileState& file = files.files.emplace_back();
    file.kind = FileKind::Socket;
    SocketState& socket = file.socket.emplace();
    socket.domain = AF_INET;
    socket.type = SOCK_DGRAM;
    socket.protocol = IPPROTO_UDP;
    socket.name = v4(0x7f000001, port);
  }
  return files;
}

TEST(UdpRoutes, GoThroughTheSocketThatHadSent) {
  auto files = udp_pair();
  const auto route = find_udp_route(files, 0, {{}, v4(0x7f000001, 2000), {}, {}});
  ASSERT_TRUE(route);
  EXPECT_EQ(route->sender, 1U);
  EXPECT_EQ(route->to, files.files[0].socket->name);
  const auto gone = find_udp_route(files, 0, {{}, mapped(v4(0x7f000001, 3000)), {}, {}});
  ASSERT_TRUE(gone);
  EXPECT_FALSE(gone->sender);
  EXPECT_EQ(gone->from, v4(0x7f000001, 3000));
}

TEST(UdpRoutes, LeadNowhereFromElsewhere) {
  auto files = udp_pair();
  EXPECT_FALSE(find_udp_route(files, 0, {{}, v4(0x0a000001, 2000), {}, {}}));
  EXPECT_FALSE(find_udp_route(files, 0, {{}, v4(0x7f000002, 2000), {}, {}}));  // that port is 127.0.0.1's
  files.files[1].socket->name = v4(0, 1000);                                   // may get what is for the other
  EXPECT_FALSE(find_udp_route(files, 0, {{}, v4(0x7f000001, 3000), {}, {}}));
}

TEST(ImageSockets, RefusesWhatCannotBe) {
  EXPECT_NO_THROW(check_sockets(udp_pair()));
  const auto damaged = [](auto change) {
    auto files = udp_pair();
    change(*files.files[0].socket);
    EXPECT_THROW(check_sockets(files), ImageError);
  };
  damaged([](SocketState& s) { s.domain = AF_PACKET; });
  damaged([](SocketState& s) { s.protocol = IPPROTO_TCP; });
  damaged([](SocketState& s) { s.name.pop_back(); });
  damaged([](SocketState& s) { s.peer = 1; });
  damaged([](SocketState& s) { s.listening = true; });
  damaged([](SocketState& s) { s.file = SocketFile{"/x", S_IFSOCK, 0, 0, 0}; });
  damaged([](SocketState& s) { s.pending.push_back({1, {}}); });
  damaged([](SocketState& s) { s.options.push_back({SOL_SOCKET, SO_DEBUG, {}}); });
  damaged([](SocketState& s) { s.queue.push_back({{}, v4(0x0a000001, 1), {}, {}}); });
  damaged([](SocketState& s) { s.queue.push_back({{}, v4(0x7f000001, 2000), {7}, {}}); });
}

TEST(ImageSockets, RefusesUnixSocketsOfOthers) {
  OpenFilesState files;
  for (int i = 0; i < 3; ++i) {
    files.files.emplace_back().kind = FileKind::Socket;
    SocketState& socket = files.files.back().socket.emplace();
    socket.connected = true;
  }
  auto& all = files.files;
  all[0].socket->peer = 1, all[1].socket->peer = 0;
  EXPECT_NO_THROW(check_sockets(files));
  all[2].socket->peer = 0;
  EXPECT_THROW(check_sockets(files), ImageError);
  all[2].socket->peer = 77;
  EXPECT_THROW(check_sockets(files), ImageError);
  all[2].socket->peer = -1;
  all[2].socket->queue.push_back({{std::byte{1}}, {}, {3}, {}});
  EXPECT_THROW(check_sockets(files), ImageError);
}

TEST(SocketOptions, AreFoundByTheirNumbers) {
  const auto* const kind = find_socket_option(SOL_SOCKET, SO_LINGER);
  ASSERT_NE(kind, nullptr);
  EXPECT_EQ(kind->bytes, sizeof(linger));
  EXPECT_EQ(find_socket_option(SOL_SOCKET, SO_ATTACH_FILTER), nullptr);
}

}  // namespace
}  // namespace drover
