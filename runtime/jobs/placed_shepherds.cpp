// Shepherds, and the links to them: new ones, which the spawner makes, and those of an earlier world.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "ckpt/sys/error.h"
#include "runtime/jobs/attempt.h"
#include "runtime/jobs/placed.h"

namespace drover {

using shepherd::Type;

void PlacedJobs::spawn(PlacedJob& job, bool namespaces) {
  int pair[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
  UniqueFd ours(pair[0]), theirs(pair[1]);
  const std::string request = pack(shepherd::SpawnRequest{job.facts.job, job.facts.epoch,
                                                          cluster_.paths().node_dir(cluster_.self_name()), namespaces});
  iovec io{const_cast<char*>(request.data()), request.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = theirs.get();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  check(::sendmsg(spawner_.get(), &message, MSG_NOSIGNAL), "ask the spawner");
  connect(job, std::move(ours));
}

void PlacedJobs::on_spawner() {
  char bytes[4096];
  const ssize_t n = ::recv(spawner_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) throw std::runtime_error("the spawner of this node has died; its jobs go on, restart droverd");
  const auto reply = unpack<shepherd::SpawnReply>({bytes, static_cast<std::size_t>(n)});
  PlacedJob* job = find(reply.job);
  if (job == nullptr || job->facts.epoch != reply.epoch) return;
  if (reply.pid > 0)
    job->init_pid = reply.pid;
  else
    spdlog::error("job {}: no shepherd: {}", reply.job, error_text(-reply.pid));
}

void PlacedJobs::connect(PlacedJob& job, UniqueFd fd) {
  const LinkKey key{job.facts.job, job.facts.epoch};
  job.link_epoch = job.facts.epoch;
  job.link = std::make_unique<FrameSocket>(
      cluster_.loop(), std::move(fd),
      FrameSocket::Handlers{[this, key](Frame&& frame) { on_frame(key, std::move(frame)); },
                            [this, key](const std::string&) { on_closed(key); },
                            {}});
  tell(job, Type::Hello,
       pack(shepherd::Hello{cluster_.generation(), cluster_.self_name(), cpus_, cluster_.paths().state}));
}

void PlacedJobs::adopt_existing() {
  struct Socket {
    std::int64_t job = 0, epoch = 0;
    std::string path;
  };
  std::vector<Socket> sockets;
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator(cluster_.paths().node_dir(cluster_.self_name()), ignored)) {
    const std::string name = entry.path().filename();
    Socket socket{0, 0, entry.path()};
    if (name.rfind("job-", 0) != 0) continue;
    const char* end = name.data() + name.size();
    const auto first = std::from_chars(name.data() + 4, end, socket.job);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') continue;
    if (std::from_chars(first.ptr + 1, end, socket.epoch).ec != std::errc()) continue;
    sockets.push_back(std::move(socket));
  }
  std::sort(sockets.begin(), sockets.end(), [](const Socket& a, const Socket& b) { return a.epoch < b.epoch; });
  for (const Socket& socket : sockets) adopt_socket(socket.path, socket.job, socket.epoch);
}

void PlacedJobs::adopt_socket(const std::string& path, std::int64_t id, std::int64_t epoch) {
  UniqueFd fd(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    if (errno == ECONNREFUSED) ::unlink(path.c_str());  // its shepherd is gone
    return;
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  check(::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size), "getsockopt SO_PEERCRED");
  if (PlacedJob* before = find(id); before != nullptr && attempt_of(before->facts.epoch) < attempt_of(epoch))
    dismiss(*before);
  PlacedJob& job = jobs_[id];
  job.facts.job = id;
  job.facts.epoch = epoch;
  job.facts.cpus = kMostCpus;  // until it says how many: nothing is to start here before
  job.init_pid = peer.pid;
  job.known_since_ns = monotonic_ns();
  connect(job, std::move(fd));
  spdlog::info("found the shepherd of job {} (epoch {})", id, epoch);
}

}  // namespace drover
