// The shepherds that are here already: of an earlier world, which are adopted, and of an earlier attempt of a job that
// has been started anew since (attempt.h), which are ended. A new attempt waits until the last one's shepherd is gone.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ckpt/sys/error.h"
#include "runtime/jobs/attempt.h"
#include "runtime/jobs/placed.h"

namespace drover {

using shepherd::Type;

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

PlacedJob* PlacedJobs::find_attempt(std::int64_t id, int attempt) {
  PlacedJob* job = find(id);
  return job != nullptr && attempt_of(job->facts.epoch) == attempt ? job : nullptr;
}

// One that is moving has its end when the move has: its next word to the origin leads here again.
void PlacedJobs::dismiss(PlacedJob& job) {
  if (job.reserved || job.moving_out || job.moving_in || !job.link) return;
  const std::int64_t id = job.facts.job;
  spdlog::warn("job {}: ending an attempt here, since a later one counts (epoch {})", id, job.facts.epoch);
  cluster_.log_event(nlohmann::json{
      {"event", "outdated"}, {"job", id}, {"attempt", attempt_of(job.facts.epoch)}, {"epoch", job.facts.epoch}}
                         .dump());
  finish_checkpoint(job, {"a later attempt counts", 0, 0});
  tell(job, Type::Quit, {});
  dismissed_[{id, job.link_epoch}] = std::move(job.link);
  jobs_.erase(id);
}

// Its shepherd goes at the order that comes after the end of its processes.
void PlacedJobs::on_dismissed_frame(const LinkKey& key, const Frame& frame) {
  const auto found = dismissed_.find(key);
  if (found == dismissed_.end()) return;
  const auto type = static_cast<Type>(frame.type);
  if (type == Type::Welcome || type == Type::Started || type == Type::StartFailed || type == Type::Ended)
    found->second->send(static_cast<std::uint16_t>(Type::Quit), {});
}

void PlacedJobs::on_dismissed_closed(const LinkKey& key) {
  const auto found = dismissed_.find(key);
  if (found == dismissed_.end()) return;
  retired_.push_back(std::move(found->second));
  dismissed_.erase(found);
  place_later(key.first);
}

bool PlacedJobs::is_dismissing(std::int64_t id) const {
  const auto left = dismissed_.lower_bound({id, 0});
  return left != dismissed_.end() && left->first.first == id;
}

// What waited for the shepherd of an earlier attempt. From the loop: this is called from inside handlers of links.
void PlacedJobs::place_later(std::int64_t id) {
  cluster_.loop().after(Nanoseconds::zero(), [this, id] {
    retired_.clear();
    // If anything of it is still here the order goes on waiting.
    if (auto waiting = waiting_.extract(id)) place(waiting.mapped().from, std::move(waiting.mapped().order));
  });
}

// False: it can be started now.
bool PlacedJobs::wait_for_attempt(int from, PlaceOrder& order) {
  const std::int64_t id = order.facts.job;
  PlacedJob* before = find(id);
  if (before != nullptr && before->reserved) before = nullptr;
  if (before == nullptr && !is_dismissing(id)) return false;
  if (before != nullptr && attempt_of(before->facts.epoch) >= attempt_of(order.facts.epoch))
    return true;  // a repeated order starts nothing
  waiting_[id] = {from, std::move(order)};
  if (before != nullptr) dismiss(*before);
  return true;
}

}  // namespace drover
