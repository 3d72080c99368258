// What a node answers: to launchers through its control server, and to other ranks that gather.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "ckpt/sys/error.h"
#include "runtime/control/metrics_text.h"
#include "runtime/node/node.h"

namespace drover {

using nlohmann::json;

namespace {
constexpr auto kGatherDeadline = std::chrono::seconds(2);
constexpr auto kDoctorDeadline = std::chrono::seconds(20);  // it looks at file systems
constexpr auto kDownDeadline = std::chrono::seconds(20);
}  // namespace

ControlActions Node::control_actions() {
  ControlActions actions;
  actions.status = [this] { return describe_status(); };
  actions.nodes = [this] { return describe_nodes(); };
  actions.gather = [this](const json& question, std::function<void(Answers)> done) {
    gather(question, std::move(done));
  };
  actions.migrate = [this](int rank, const MoveRequest& request, std::function<void(const json&)> done) {
    MoveRequest ask = request;
    ask.request = next_request_++;
    move_waiters_[ask.request] = {rank, ask.to, ask.job, std::move(done)};
    if (lost(rank)) return fail_move_waiters(rank);
    send(rank, Msg::MoveAsk, ask);
  };
  actions.down = [this](const std::string& mode, std::function<void(const json&)> done) {
    begin_down(mode, std::move(done));
  };
  actions.ping = [this](const std::function<void(const json&)>& done) { ping_all(done); };
  return actions;
}

// Of a host's droverds the first serves them: all would say the same.
void Node::serve_metrics() {
  const char* const asked = std::getenv("DROVER_METRICS_PORT");
  const int port = asked == nullptr ? 0 : std::atoi(asked);
  const auto& hosts = info_.same_host;
  if (port < 1 || port > 65535 || std::find(hosts.begin(), hosts.end(), true) - hosts.begin() != self()) return;
  try {
    metrics_ = std::make_unique<MetricsServer>(loop_, static_cast<std::uint16_t>(port),
                                               [this] { return metrics_text(describe_nodes().at("nodes")); });
  } catch (const SystemError& error) {
    // The last world's droverd may be about to leave it.
    if (!std::exchange(metrics_refused_, true)) spdlog::warn("no metrics yet: {}", error.what());
    loop_.after(std::chrono::seconds(1), [this] { serve_metrics(); });
  }
}

json Node::describe_status() const {
  json excluded = json::array();
  for (int rank = 0; rank < size(); ++rank)
    if (lost(rank)) excluded.push_back(node_name(rank));
  json status = {
      {"node", self_name()},
      {"rank", self()},
      {"world", size()},
      {"generation", info_.generation},
      {"ready", (exchange_->first_round_done() || size() == 1) && (!summaries_ || summaries_->first_news_done())},
      {"version", DROVER_VERSION},
      {"pid", ::getpid()},
      {"rounds", exchange_->counts().rounds},
      {"late_rounds", exchange_->counts().late},
      {"excluded", excluded}};
  status.update(describe_sharing());
  return status;
}

json Node::describe_nodes() const {
  json nodes = json::array();
  const std::uint64_t now = monotonic_ns();
  for (int rank = 0; rank < size(); ++rank) {
    const LoadEntry& entry = exchange_->table()[static_cast<std::size_t>(rank)];
    const LoadSample& sample = entry.sample;
    const NodeInfo& info = info_.nodes[static_cast<std::size_t>(rank)];
    json factors = json::object();
    for (std::size_t i = 0; i < kFactors; ++i) {
      factors[std::string(factor_name(static_cast<Factor>(i)))] = {{"value", sample.factors[i]},
                                                                   {"known", (sample.known >> i & 1U) != 0}};
    }
    const auto known = [&](Factor factor) { return sample.factors[static_cast<std::size_t>(factor)]; };
    nodes.push_back({{"node", info.name},
                     {"rank", rank},
                     {"host", info.host},
                     {"state", lost(rank)                        ? "EXCLUDED"
                               : entry.received_ns == 0          ? "UNKNOWN"
                               : (sample.flags & kDraining) != 0 ? (sample.jobs == 0 ? "DRAINED" : "DRAINING")
                                                                 : std::string(state_name(sample.state))},
                     {"group", layout_.group_of(rank)},
                     {"second_hand", entry.second_hand},
                     {"stale", exchange_->stale(rank, now)},
                     {"round", sample.round},
                     {"age_ms", entry.received_ns == 0 ? -1.0 : static_cast<double>(now - entry.received_ns) / 1e6},
                     {"pus", info.pus},
                     {"cores", info.cores},
                     {"packages", info.packages},
                     {"capacity", sample.capacity},
                     {"slots", sample.slots},
                     {"free_slots", sample.free_slots},
                     {"speed", sample.speed},
                     {"memory_kib", info.memory_kib},
                     {"memory_available_kib", sample.memory_available_kib},
                     {"allowed_pus", info.allowed_pus},
                     {"shared_host", info.shared_host},
                     {"jobs", sample.jobs},
                     {"foreign_jobs", sample.foreign_jobs},
                     {"own",
                      {{"run_queue", std::max(0.0F, known(Factor::RunQueue) - sample.foreign_run_queue)},
                       {"cpu_share", std::max(0.0F, known(Factor::CpuShare) - sample.foreign_cpu_share)}}},
                     {"foreign", {{"run_queue", sample.foreign_run_queue}, {"cpu_share", sample.foreign_cpu_share}}},
                     {"factors", factors}});
  }
  return {{"nodes", nodes}, {"groups", describe_groups()}};
}

std::vector<const OriginJob*> Node::jobs_asked_for(bool all, bool last, const std::vector<std::int64_t>& ids) const {
  constexpr std::size_t kMostTold = 20000;  // about 14 MiB of the 16 that a message may have
  std::vector<const OriginJob*> jobs;
  if (!ids.empty()) {
    for (const std::int64_t id : ids)
      if (const OriginJob* job = origin_->find(id)) jobs.push_back(job);
    return jobs;
  }
  const auto& known = origin_->all();
  for (auto next = known.rbegin(); next != known.rend(); ++next) {
    const OriginJob& job = next->second;
    if (last && job.array != 0) continue;
    if (OriginJobs::over(job) && (!all || jobs.size() >= kMostTold)) continue;
    jobs.push_back(&job);
    if (last) break;
  }
  return jobs;
}

json Node::answer(const json& question) {
  if (!question.is_object()) return json::object();
  const std::string what = question.value("what", "");
  if (what == "origin") return {{"yes", origin_->find(question.value("job", std::int64_t{0})) != nullptr}};
  if (what == "load") return describe_own_load();
  if (what == "drain") {
    const auto nodes = question.value("nodes", std::vector<std::string>{});
    if (std::find(nodes.begin(), nodes.end(), self_name()) == nodes.end()) return json::object();
    if (question.contains("set")) set_drain(question.value("set", false), question.value("reason", ""));
    return describe_drain();
  }
  if (what == "clock") return {{"realtime_ns", realtime_ns()}};
  if (what == "count") return {{"running", origin_->unfinished()}};
  if (what != "jobs") return json::object();
  const bool all = question.value("all", false);
  const auto ids = question.value("ids", std::vector<std::int64_t>{});
  json jobs = json::array(), placed = json::array();
  for (const OriginJob* job : jobs_asked_for(all, question.value("last", false), ids))
    jobs.push_back(origin_->describe(*job));
  for (const auto& [id, job] : placed_->all()) {
    if (job.stage != shepherd::Stage::Running && job.stage != shepherd::Stage::Held) continue;
    placed.push_back({{"job", id},
                      {"attempt", attempt_of(job.facts.epoch)},
                      {"cpu_seconds", job.cpu_seconds},
                      {"memory_kib", job.holdings.memory.resident_kib()},
                      {"pinned", job.facts.pinned}});
  }
  return {{"jobs", jobs}, {"placed", placed}};
}

void Node::gather(const json& question, std::function<void(Answers)> done) {
  const std::uint64_t request = next_request_++;
  Gathering& gathering = gatherings_[request];
  gathering.answers.assign(static_cast<std::size_t>(size()), json::object());
  gathering.missing.assign(static_cast<std::size_t>(size()), false);
  gathering.done = std::move(done);
  const std::string text = question.dump();
  for (int rank = 0; rank < size(); ++rank) {
    if (lost(rank)) continue;
    gathering.missing[static_cast<std::size_t>(rank)] = true;
    send(rank, Msg::Gather, Question{request, text});
  }
  const auto deadline = question.value("what", "") == "doctor" ? kDoctorDeadline : kGatherDeadline;
  loop_.after(deadline, [this, request] {
    const auto found = gatherings_.find(request);
    if (found == gatherings_.end()) return;
    auto late = std::move(found->second);
    gatherings_.erase(found);
    late.done(std::move(late.answers));
  });
}

void Node::on_gather_reply(int from, const Question& reply) {
  const auto found = gatherings_.find(reply.request);
  if (found == gatherings_.end()) return;
  Gathering& gathering = found->second;
  json answer = json::parse(reply.json, nullptr, false);
  if (answer.is_object() && answer.contains("realtime_ns")) answer["heard_ns"] = realtime_ns();
  if (answer.is_object()) gathering.answers[static_cast<std::size_t>(from)] = std::move(answer);
  gathering.missing[static_cast<std::size_t>(from)] = false;
  if (std::count(gathering.missing.begin(), gathering.missing.end(), true) > 0) return;
  auto whole = std::move(gathering);
  gatherings_.erase(found);
  whole.done(std::move(whole.answers));
}

void Node::on_move_report(const MoveReportMsg& report) {
  if (report.request == 0) return origin_->moved(report.event);
  const auto found = move_waiters_.find(report.request);
  if (found == move_waiters_.end()) return;
  const auto done = std::move(found->second.done);
  move_waiters_.erase(found);
  done(json::parse(report.event, nullptr, false));
}

// Of a node that is gone: no report comes, and whether the job has moved its destination says to the origin.
void Node::fail_move_waiters(int source) {
  std::vector<MoveWaiter> left;
  for (auto waiter = move_waiters_.begin(); waiter != move_waiters_.end();) {
    if (waiter->second.source != source) {
      ++waiter;
      continue;
    }
    left.push_back(std::move(waiter->second));
    waiter = move_waiters_.erase(waiter);
  }
  for (const MoveWaiter& waiter : left)
    waiter.done({{"ok", false},
                 {"job", waiter.job},
                 {"to", node_name(waiter.to)},
                 {"error", fmt::format("{}, where it was, does not answer; see drover show {}", node_name(source),
                                       waiter.job)}});
}

// One rank after the other: what is measured is the round trip and not a burst.
void Node::ping_all(const std::function<void(const json&)>& done) {
  auto answer = std::make_shared<json>(json::object());
  auto next = std::make_shared<std::function<void(int)>>();
  *next = [this, answer, done, weak = std::weak_ptr(next)](int rank) {
    const auto self_next = weak.lock();
    while (rank < size() && (rank == self() || lost(rank))) ++rank;
    if (rank >= size()) return done({{"round_trip_us", *answer}});
    const std::uint64_t request = next_request_++;
    pings_[request] = {monotonic_ns(), [this, answer, self_next, rank](int, std::uint64_t took_ns) {
                         (*answer)[node_name(rank)] = static_cast<double>(took_ns) / 1e3;
                         (*self_next)(rank + 1);
                       }};
    send(rank, Msg::Ping, Question{request, {}});
    loop_.after(kGatherDeadline, [this, request, answer, self_next, rank] {
      if (pings_.erase(request) == 0) return;
      (*answer)[node_name(rank)] = nullptr;
      (*self_next)(rank + 1);
    });
  };
  (*next)(0);
}

// The rank whose launcher asked tells everyone how to end, waits until all have, answers, and says goodbye.
void Node::begin_down(const std::string& mode, std::function<void(const json&)> done) {
  down_done_ = std::move(done);
  down_missing_.assign(static_cast<std::size_t>(size()), false);
  for (int rank = 0; rank < size(); ++rank) {
    if (lost(rank)) continue;
    down_missing_[static_cast<std::size_t>(rank)] = true;
    send(rank, Msg::Down, Question{0, mode});
  }
  const std::uint64_t deadline = monotonic_ns() + static_cast<std::uint64_t>(Nanoseconds(kDownDeadline).count());
  auto check = std::make_shared<std::function<void()>>();
  *check = [this, deadline, check] {
    const auto open = std::count(down_missing_.begin(), down_missing_.end(), true);
    if (open > 0 && monotonic_ns() < deadline) {
      loop_.after(std::chrono::milliseconds(20), *check);
      return;
    }
    down_done_(json::object());
    // The answer leaves this process before the launcher may see the world end.
    loop_.after(std::chrono::milliseconds(20), [this, check] {
      for (int rank = 0; rank < size(); ++rank)
        if (!lost(rank)) send(rank, Msg::Goodbye, Question{});
      *check = nullptr;
    });
  };
  (*check)();
}

void Node::obey_down(int from, const std::string& mode) {
  leaving_ = true;
  leaving_jobs_ = mode == "leave";
  log_event(json{{"event", "down"}, {"mode", mode}}.dump());
  if (mode == "kill") origin_->cancel_waiting();
  if (mode == "kill") placed_->kill_all();
  auto wait = std::make_shared<std::function<void()>>();
  *wait = [this, from, mode, wait] {
    const bool jobs_gone = placed_->count() == 0 && origin_->unfinished() == 0;
    const bool moves_over = !outgoing_->any() && !incoming_->any();
    if (moves_over && (mode != "kill" || jobs_gone)) {
      send(from, Msg::DownDone, Question{});
      // Broken here and not in its own call: the function object must outlive its execution.
      loop_.after(Nanoseconds::zero(), [wait] { *wait = nullptr; });
      return;
    }
    if (mode == "kill") placed_->kill_all();
    loop_.after(std::chrono::milliseconds(20), *wait);
  };
  (*wait)();
}

}  // namespace drover
