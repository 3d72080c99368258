// Draining: a node that takes nothing more, and gives away what it has, until it is told otherwise; also in the worlds
// that follow.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "ckpt/sys/error.h"
#include "runtime/node/node.h"
#include "runtime/policy/pair_up.h"

namespace drover {

using nlohmann::json;

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000, kLongestPauseNs = 30 * kSecondNs;

// By rename(2), so that nobody reads half of it.
void write_whole(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const UniqueFd fd(check(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "create", fresh));
  check(::write(fd.get(), text.data(), text.size()), "write", fresh);
  check(::rename(fresh.c_str(), path.c_str()), "rename", fresh);
}

}  // namespace

void Node::read_drain() {
  std::ifstream file(paths_.drain_file(self_name()));
  if (!file) return;
  const json kept = json::parse(file, nullptr, false);
  drain_.on = true;
  if (!kept.is_object()) return;
  drain_.reason = kept.value("reason", "");
  drain_.since_ns = kept.value("since_ns", std::uint64_t{0});
}

void Node::set_drain(bool on, const std::string& reason) {
  if (on == drain_.on && (!on || reason.empty() || reason == drain_.reason)) return;
  const std::uint64_t since = drain_.on ? drain_.since_ns : realtime_ns();
  drain_ = {on, on ? reason : "", on ? since : 0, {}};
  log_event(json{{"event", on ? "drain" : "undrain"}, {"reason", reason}}.dump());
  in_background(
      [on, path = paths_.drain_file(self_name()), folder = paths_.state + "/drain",
       text = json{{"reason", reason}, {"since_ns", since}}.dump()] {
        make_private_directory(folder);
        if (on)
          write_whole(path, text);
        else
          ::unlink(path.c_str());
      },
      {});
  // At once: what others know of this node is a round old else, and they would send jobs.
  LoadSample now = as_of_now(exchange_->table()[static_cast<std::size_t>(self())].sample);
  now.taken_ns = realtime_ns();
  exchange_->set_own(now);
  send_heartbeats();
  drain_step();
}

// Gives one job, to the node that loses least by it. The next follows when that one has gone, and with every round.
void Node::drain_step() {
  if (!drain_.on || leaving_ || outgoing_->any() || placed_->count() == 0) return;
  const auto table = view_table();
  for (const int rank : list_refuges(table)) {
    if (rank == self()) continue;
    NodeView there = table[static_cast<std::size_t>(rank)];
    if (!give(rank, there, fmt::format("{} is drained", self_name()).c_str())) continue;
    // Until it tells so itself.
    there.load += 1;
    ++there.jobs;
    return heard(rank, there);
  }
}

// Of a job that this node gives while it drains: one that fails must not keep the others from going.
std::uint64_t Node::watch_drain_move(std::int64_t job) {
  const std::uint64_t request = next_request_++;
  const auto done = [this, job](const json& event) {
    if (event.value("ok", false)) {
      drain_.troubles.erase(job);
    } else {
      DrainTrouble& trouble = drain_.troubles[job];
      trouble.error = event.value("error", "");
      trouble.not_before_ns = monotonic_ns() + std::min(kSecondNs << std::min(trouble.times, 5U), kLongestPauseNs);
      ++trouble.times;
    }
    loop_.after(Nanoseconds::zero(), [this] { drain_step(); });
  };
  move_waiters_[request] = {self(), self(), job, done};
  return request;
}

bool Node::may_drain_now(std::int64_t job) const {
  const auto trouble = drain_.troubles.find(job);
  return trouble == drain_.troubles.end() || monotonic_ns() >= trouble->second.not_before_ns;
}

json Node::describe_drain() const {
  json jobs = json::array();
  for (const auto& [id, job] : placed_->all()) {
    if (job.moving_in || job.stage == shepherd::Stage::Ended) continue;
    const auto trouble = drain_.troubles.find(id);
    std::string why = job.is_held() ? held_text(id) : job.facts.pinned;
    if (why.empty() && trouble != drain_.troubles.end()) why = trouble->second.error;
    jobs.push_back({{"job", id},
                    {"name", job.facts.name},
                    {"origin", job.facts.origin},
                    {"pinned", job.is_held() || !job.facts.pinned.empty()},
                    {"moving", job.moving_out},
                    {"failed", trouble == drain_.troubles.end() ? 0U : trouble->second.times},
                    {"why", why}});
  }
  const auto table = view_table();
  const auto refuges = list_refuges(table);
  const bool refuge = std::any_of(refuges.begin(), refuges.end(), [this](int rank) { return rank != self(); });
  return {{"node", self_name()},         {"draining", drain_.on}, {"reason", drain_.reason},
          {"since_ns", drain_.since_ns}, {"refuge", refuge},      {"jobs", jobs}};
}

}  // namespace drover
