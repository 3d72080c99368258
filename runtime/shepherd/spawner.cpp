#include "runtime/shepherd/spawner.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstring>
#include <optional>

#include "ckpt/sys/error.h"
#include "runtime/shepherd/init.h"
#include "runtime/shepherd/namespaces.h"

namespace drover::shepherd {

namespace {

struct Received {
  SpawnRequest request;
  UniqueFd link;
};

std::optional<Received> receive(int socket) {
  char bytes[8192];
  iovec io{bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) return std::nullopt;
  Received received;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return std::nullopt;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  received.link.reset(fd);
  received.request = unpack<SpawnRequest>({bytes, static_cast<std::size_t>(n)});
  return received;
}

void send_packet(int socket, const std::string& bytes) {
  while (::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

[[noreturn]] void become_shepherd(Received received, int spawner_socket, bool namespaces) {
  ::close(spawner_socket);
  ::signal(SIGCHLD, SIG_DFL);
  int code = 1;
  try {
    code = run_init(received.request, std::move(received.link), namespaces);
  } catch (const std::exception& error) {
    const std::string line = std::string("shepherd: ") + error.what() + "\n";
    (void)!::write(STDERR_FILENO, line.data(), line.size());
  }
  ::_exit(code);
}

}  // namespace

int run_spawner(UniqueFd socket) {
  ::setsid();  // mpirun ends its ranks by process group: shepherds must outlive their rank
  ::prctl(PR_SET_NAME, "drover-spawner");
  ::signal(SIGPIPE, SIG_IGN);
  const auto why_not = probe_namespaces();
  // Shepherds' zombies reap themselves; a shepherd sets its own SIGCHLD back.
  ::signal(SIGCHLD, SIG_IGN);
  send_packet(socket.get(), pack(SpawnerHello{!why_not, why_not.value_or("")}));
  while (auto received = receive(socket.get())) {
    const bool namespaces = received->request.namespaces && !why_not;
    SpawnReply reply{received->request.job, received->request.epoch, 0, namespaces};
    bool child = false;
    try {
      reply.pid = namespaces ? fork_into_namespaces() : fork_plain();
      child = reply.pid == 0;
    } catch (const std::exception& error) {
      ::_exit(1);  // only the child can throw: its namespaces could not be set up, droverd sees the link close
    }
    if (child) become_shepherd(std::move(*received), socket.release(), namespaces);
    send_packet(socket.get(), pack(reply));
  }
  return 0;
}

}  // namespace drover::shepherd
