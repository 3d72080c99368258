// The operations of the control protocol.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/sys/error.h"
#include "runtime/doctor/findings.h"
#include "runtime/jobs/script.h"
#include "runtime/jobs/spec_json.h"
#include "runtime/node/clock_ahead.h"
#include "runtime/node/control_server.h"

namespace drover {

using nlohmann::json;

static std::string is_array(std::int64_t id) { return fmt::format("job {} is an array; see drover ps", id); }

static std::string not_run(std::int64_t id) {
  return fmt::format("job {} was submitted, not run; see drover logs", id);
}

static std::string submitted_elsewhere(std::int64_t id, const std::string& node) {
  return fmt::format("job {} was submitted at {}; what is to start after it must be, too: drover --at {} submit", id,
                     node, node);
}

void ControlServer::status(ClientConnection& client, const json&) { client.reply(actions_.status()); }
void ControlServer::nodes(ClientConnection& client, const json& request) {
  if (!request.value("own_load", false)) return client.reply(actions_.nodes());
  actions_.gather({{"what", "load"}}, [this, alive = client.alive(), &client](const std::vector<json>& answers) {
    if (const auto held = alive.lock(); !held || !*held) return;
    json reply = actions_.nodes();
    for (std::size_t rank = 0; rank < answers.size(); ++rank) {  // a rank that gave no answer has none of these
      json& node = reply.at("nodes").at(rank);
      const json marks = answers[rank].value("watermarks", json::object());
      for (const auto& [name, mark] : marks.items()) node["factors"][name].update(mark);
      if (answers[rank].contains("detail")) node["detail"] = answers[rank]["detail"];
    }
    client.reply(reply);
  });
}

std::string ControlServer::place_of(const OriginJob& job) const {
  return job.place >= 0 ? cluster_.node_name(job.place) : "";
}

// Who waits for a job must have its origin, which hears of its end. Of one that is in the archive its end is known, but
// jobs are named at one origin alone, whether they are old or not.
void ControlServer::refuse_after(ClientConnection& client, std::int64_t id) {
  actions_.gather(
      {{"what", "origin"}, {"job", id}}, [this, alive = client.alive(), &client, id](const std::vector<json>& answers) {
        if (const auto held = alive.lock(); !held || !*held) return;
        for (std::size_t rank = 0; rank < answers.size(); ++rank) {
          if (!answers[rank].is_object() || !answers[rank].value("yes", false)) continue;
          return client.refuse("refused", submitted_elsewhere(id, cluster_.node_name(static_cast<int>(rank))));
        }
        client.refuse("no-such-job", fmt::format("there is no job {}; see drover ps --all", id));
      });
}

void ControlServer::submit(ClientConnection& client, const json& request) {
  JobSpec spec = spec_from_json(request.at("spec"));
  check_script(spec);
  const bool follows = request.at("op") == "run";
  spec.attached = follows || spec.terminal;
  auto named = spec.exclude;
  if (!spec.node.empty()) named.push_back(spec.node);
  for (const std::string& node : named) {
    if (cluster_.rank_of(node) < 0)
      return client.refuse("no-such-node", fmt::format("there is no node '{}'; see drover nodes", node));
  }
  std::vector<std::int64_t> unknown;
  for (const After& after : spec.after)
    if (origin_.find(after.job) == nullptr) unknown.push_back(after.job);
  if (unknown.empty()) return submit_checked(client, std::move(spec), follows);
  read_past(client, unknown, [this, &client, spec, follows, unknown](const PastJobs& past) {
    for (const std::int64_t id : unknown) {
      const auto job = past.find(id);
      if (job == past.end()) return refuse_after(client, id);
      const std::string origin = job->second.value("origin", "");
      if (origin != cluster_.self_name()) return client.refuse("refused", submitted_elsewhere(id, origin));
    }
    submit_checked(client, spec, follows);
  });
}

void ControlServer::submit_checked(ClientConnection& client, JobSpec spec, bool follows) {
  const bool terminal = spec.terminal;
  origin_.submit(
      std::move(spec), follows && !terminal ? &client : nullptr,
      [this, alive = client.alive(), &client, follows, terminal, waits = false](const OriginJob& job) mutable {
        const auto held = alive.lock();
        const bool here = held && *held, failed = job.state == JobState::Failed;
        const bool replied = std::exchange(waits, job.state == JobState::Queued) && !follows;
        if (here && failed) client.attached_job = 0;
        if (here && failed && !replied) return client.refuse(job.error_code, job.error);
        if (terminal && !failed && !(waits && follows)) begin_terminal(client, job.id, follows);
        if (!here && follows) origin_.detach(job.id, &client);  // its launcher went away meanwhile
        if (!here) return;
        if (follows && !failed) client.attached_job = job.id;
        const json reply = {{"job", job.id}, {"node", place_of(job)}, {"why", job.why}};
        if (follows && waits) return client.item(reply);
        if (!replied) client.reply(reply);
        if (OriginJob* shown = terminal && !waits ? origin_.find(job.id) : nullptr) origin_.show(*shown, &client);
      });
}

// One that ended long ago.
static void attach_past(ClientConnection& client, const json& request, const json& job) {
  const auto id = job.at("job").get<std::int64_t>();
  const bool terminal = job.value("terminal", false);
  if (request.contains("rows") && !terminal) return client.refuse("refused", no_terminal(id));
  if (!job.at("tasks").is_null()) return client.refuse("refused", is_array(id));
  if (!terminal && !job.value("stdout", "").empty()) return client.refuse("refused", not_run(id));
  client.reply({{"job", id}, {"stdin", 0}, {"over", terminal}});
  client.ended(job);
}

void ControlServer::attach(ClientConnection& client, const json& request) {
  const auto id = request.at("job").get<std::int64_t>();
  const auto received = request.value("received", std::vector<std::uint64_t>{0, 0});
  if (received.size() != 2) return client.refuse("bad-request", "'received' is a list of two offsets");
  at_origin(
      client, request, id,
      [this, received, request](ClientConnection& c, OriginJob& job) {
        if (job.spec.terminal || request.contains("rows")) return attach_viewer(c, job, request);
        if (job.tasks) return c.refuse("refused", is_array(job.id));
        if (!job.spec.attached) return c.refuse("refused", not_run(job.id));
        if (OriginJobs::over(job)) {
          c.reply({{"job", job.id}, {"stdin", 0}});
          return c.ended(origin_.describe(job));
        }
        // A new world must have found its shepherd first: only that knows where the streams stand.
        if (!job.doubt.empty()) return c.refuse("no-such-job", fmt::format("job {}: {}", job.id, job.doubt));
        c.attached_job = job.id;
        c.reply({{"job", job.id}, {"node", place_of(job)}, {"stdin", job.input.base + job.input.held.size()}});
        origin_.attach(job, &c, received[0], received[1]);
      },
      [request](ClientConnection& c, const json& job) { attach_past(c, request, job); });
}

void ControlServer::kill(ClientConnection& client, const json& request) {
  const int signo = request.at("signal");
  if (signo < 1 || signo >= NSIG) return client.refuse("bad-request", fmt::format("{} is no signal", signo));
  at_origin(client, request, request.at("job"), [this, signo](ClientConnection& c, OriginJob& job) {
    if (OriginJobs::over(job)) return c.refuse("refused", fmt::format("job {} has ended already", job.id));
    origin_.signal(job, signo);
    c.reply({{"job", job.id}});
  });
}

void ControlServer::signal(ClientConnection& client, const json& request) {
  OriginJob* job = origin_.find(client.attached_job);
  const int signo = request.at("signal");
  if (job == nullptr || signo < 1 || signo >= NSIG) return;
  origin_.signal(*job, signo);
  // Ctrl-C at its launcher means that it shall end: it is let go, to get it.
  if (job->held && job->place >= 0 && ends_program(signo))
    origin_.hold(*job, false, "", [](const std::string&, const std::string&) {});
}

void ControlServer::migrate(ClientConnection& client, const json& request) {
  const std::string node = request.at("node");
  const int to = cluster_.rank_of(node);
  if (to < 0) return client.refuse("no-such-node", fmt::format("there is no node '{}'; see drover nodes", node));
  if (cluster_.lost(to)) return client.refuse("unavailable", fmt::format("{} does not answer", node));
  at_origin(client, request, request.at("job"), [this, to](ClientConnection& c, OriginJob& job) {
    if (OriginJobs::over(job)) return c.refuse("refused", fmt::format("job {} has ended already", job.id));
    if (job.tasks)
      return c.refuse("refused", fmt::format("job {} is an array; move its tasks, which are jobs: drover ps", job.id));
    if (job.place < 0) return c.refuse("refused", fmt::format("job {} has not started yet", job.id));
    actions_.migrate(job.place, MoveRequest{job.id, to, 0, "asked for"}, [alive = c.alive(), &c](const json& event) {
      if (const auto held = alive.lock(); !held || !*held) return;
      if (event.value("ok", false)) return c.reply({{"report", event}});
      c.refuse("refused", fmt::format("job {} can't be moved to {}: {}", event.value("job", 0), event.value("to", ""),
                                      event.value("error", "")));
    });
  });
}

// Every node looks for a file that this one has just made: whether all see the same directory is not told by its path.
void ControlServer::doctor(ClientConnection& client, const json&) {
  const auto token =
      std::make_shared<std::string>(fmt::format("{}/doctor.{:x}", cluster_.paths().state, realtime_ns()));
  cluster_.in_background(
      [token] { const UniqueFd fd(::open(token->c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)); },
      [this, alive = client.alive(), &client, token] {
        actions_.gather({{"what", "doctor"}, {"token", *token}},
                        [this, alive, &client, token](const std::vector<json>& answers) {
                          cluster_.in_background([token] { ::unlink(token->c_str()); }, {});
                          const auto held = alive.lock();
                          if (held && *held) compare_clocks(client, std::make_shared<std::vector<json>>(answers));
                        });
      });
}

void ControlServer::compare_clocks(ClientConnection& client, const std::shared_ptr<std::vector<json>>& findings) {
  const std::uint64_t asked_ns = realtime_ns();
  actions_.gather({{"what", "clock"}},
                  [this, alive = client.alive(), &client, findings, asked_ns](const std::vector<json>& clocks) {
                    if (const auto held = alive.lock(); !held || !*held) return;
                    json nodes = json::array();
                    for (int rank = 0; rank < cluster_.size(); ++rank) {
                      const auto index = static_cast<std::size_t>(rank);
                      json list = (*findings)[index].value("findings", json::array());
                      const auto ahead = clock_ahead(clocks[index], asked_ns);
                      if (rank != cluster_.self() && ahead)
                        list.push_back(finding_to_json(judge_clock(ahead->ms, ahead->within_ms)));
                      nodes.push_back({{"node", cluster_.node_name(rank)}, {"findings", std::move(list)}});
                    }
                    client.reply({{"nodes", nodes}});
                  });
}

void ControlServer::drain(ClientConnection& client, const json& request) {
  const auto nodes = request.at("nodes").get<std::vector<std::string>>();
  for (const std::string& node : nodes) {
    const int rank = cluster_.rank_of(node);
    if (rank < 0) return client.refuse("no-such-node", fmt::format("there is no node '{}'; see drover nodes", node));
    if (cluster_.lost(rank)) return client.refuse("unavailable", fmt::format("{} does not answer", node));
  }
  json question = {{"what", "drain"}, {"nodes", nodes}, {"reason", request.value("reason", "")}};
  if (request.contains("set")) question["set"] = request.at("set").get<bool>();
  actions_.gather(question, [this, alive = client.alive(), &client, nodes](const std::vector<json>& answers) {
    if (const auto held = alive.lock(); !held || !*held) return;
    json list = json::array();
    for (const std::string& node : nodes) {
      const json& answer = answers[static_cast<std::size_t>(cluster_.rank_of(node))];
      if (!answer.contains("draining")) return client.refuse("unavailable", fmt::format("{} does not answer", node));
      list.push_back(answer);
    }
    client.reply({{"nodes", list}});
  });
}

void ControlServer::ping(ClientConnection& client, const json&) {
  actions_.ping([alive = client.alive(), &client](const json& answer) {
    if (const auto held = alive.lock(); held && *held) client.reply(answer);
  });
}

void ControlServer::down(ClientConnection& client, const json& request) {
  const std::string mode = request.value("mode", "refuse");
  if (mode != "refuse" && mode != "kill" && mode != "leave")
    return client.refuse("bad-request", "mode is refuse, kill or leave");
  actions_.gather({{"what", "count"}}, [this, alive = client.alive(), &client, mode](const std::vector<json>& answers) {
    if (const auto held = alive.lock(); !held || !*held) return;
    std::int64_t running = 0;
    for (const auto& answer : answers) running += answer.value("running", 0);
    if (mode == "refuse" && running > 0)
      return client.refuse(
          "conflict", fmt::format("{} job{} running; wait for them (drover wait), or use --kill-jobs or --leave-jobs",
                                  running, running == 1 ? " is" : "s are"));
    actions_.down(mode, [alive, &client, running](const json&) {
      if (const auto still = alive.lock(); still && *still) client.reply({{"jobs", running}});
    });
  });
}

}  // namespace drover
