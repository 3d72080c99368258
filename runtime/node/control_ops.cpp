// The operations of the control protocol.
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "ckpt/sys/error.h"
#include "runtime/doctor/findings.h"
#include "runtime/jobs/script.h"
#include "runtime/jobs/spec_json.h"
#include "runtime/node/clock_ahead.h"
#include "runtime/node/control_server.h"

namespace drover {

using nlohmann::json;

void ControlServer::at_origin(ClientConnection& client, const json& request, std::int64_t id,
                              const std::function<void(ClientConnection&, OriginJob&)>& local) {
  if (OriginJob* job = origin_.find(id)) return local(client, *job);
  actions_.gather({{"what", "origin"}, {"job", id}},
                  [this, alive = client.alive(), &client, request, id](const std::vector<json>& answers) {
                    if (const auto held = alive.lock(); !held || !*held) return;
                    for (std::size_t rank = 0; rank < answers.size(); ++rank) {
                      if (!answers[rank].is_object() || !answers[rank].value("yes", false)) continue;
                      client.relayed_to = static_cast<int>(rank);
                      return relay(client, {static_cast<std::uint16_t>(ClientMessage::Request), request.dump()});
                    }
                    client.refuse("no-such-job", fmt::format("there is no job {}; see drover ps --all", id));
                  });
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

// Who waits for a job must have its origin, which hears of its end.
void ControlServer::refuse_after(ClientConnection& client, std::int64_t id) {
  actions_.gather({{"what", "origin"}, {"job", id}}, [this, alive = client.alive(), &client,
                                                      id](const std::vector<json>& answers) {
    if (const auto held = alive.lock(); !held || !*held) return;
    for (std::size_t rank = 0; rank < answers.size(); ++rank) {
      if (!answers[rank].is_object() || !answers[rank].value("yes", false)) continue;
      const std::string& node = cluster_.node_name(static_cast<int>(rank));
      return client.refuse("refused", fmt::format("job {} was submitted at {}; what is to start after it must be, too: "
                                                  "drover --at {} submit",
                                                  id, node, node));
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
  for (const After& after : spec.after) {
    if (origin_.find(after.job) == nullptr) return refuse_after(client, after.job);
  }
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

void ControlServer::attach(ClientConnection& client, const json& request) {
  const auto id = request.at("job").get<std::int64_t>();
  const auto received = request.value("received", std::vector<std::uint64_t>{0, 0});
  if (received.size() != 2) return client.refuse("bad-request", "'received' is a list of two offsets");
  at_origin(client, request, id, [this, received, request](ClientConnection& c, OriginJob& job) {
    if (job.spec.terminal || request.contains("rows")) return attach_viewer(c, job, request);
    if (job.tasks) return c.refuse("refused", fmt::format("job {} is an array; see drover ps", job.id));
    if (!job.spec.attached)
      return c.refuse("refused", fmt::format("job {} was submitted, not run; see drover logs", job.id));
    if (OriginJobs::over(job)) {
      c.reply({{"job", job.id}, {"stdin", 0}});
      return c.ended(origin_.describe(job));
    }
    // A new world must have found its shepherd first: only that knows where the streams stand.
    if (!job.doubt.empty()) return c.refuse("no-such-job", fmt::format("job {}: {}", job.id, job.doubt));
    c.attached_job = job.id;
    c.reply({{"job", job.id}, {"node", place_of(job)}, {"stdin", job.input.base + job.input.held.size()}});
    origin_.attach(job, &c, received[0], received[1]);
  });
}

// A list of many jobs takes a hundred times its memory, which the heap would keep.
static void give_back_memory() { ::malloc_trim(0); }

void ControlServer::ps(ClientConnection& client, const json& request) {
  const bool all = request.value("all", false);
  actions_.gather({{"what", "jobs"}, {"all", all}, {"last", request.value("last", false)}},
                  [this, alive = client.alive(), &client](const std::vector<json>& answers) {
                    if (const auto held = alive.lock(); !held || !*held) return;
                    std::map<std::int64_t, json> jobs;
                    for (const auto& answer : answers)
                      for (const auto& job : answer.value("jobs", json::array())) jobs[job.at("job")] = job;
                    for (const auto& answer : answers)
                      for (const auto& placed : answer.value("placed", json::array())) {
                        const auto found = jobs.find(placed.at("job"));
                        if (found != jobs.end() && found->second.at("attempt") == placed.at("attempt"))
                          found->second.update(placed);
                      }
                    constexpr std::size_t kMostJobsInFrame = 1000;
                    if (jobs.size() > kMostJobsInFrame)
                      cluster_.loop().after(std::chrono::seconds(1), give_back_memory);
                    json list = json::array();
                    for (auto& [id, job] : jobs) {
                      list.push_back(std::move(job));
                      if (list.size() < kMostJobsInFrame) continue;
                      client.item({{"jobs", list}});
                      list.clear();
                    }
                    client.reply({{"jobs", list}});
                  });
}

void ControlServer::wait(ClientConnection& client, const json& request) {
  const auto ids = request.at("jobs").get<std::vector<std::int64_t>>();
  const bool here = std::all_of(ids.begin(), ids.end(), [&](std::int64_t id) { return origin_.find(id) != nullptr; });
  if (here) {
    auto left = std::make_shared<std::set<std::int64_t>>(ids.begin(), ids.end());
    auto ended = std::make_shared<json>(json::array());
    if (left->empty()) return client.reply({{"jobs", *ended}});
    for (const auto id : std::set<std::int64_t>(*left))
      origin_.when_over(id, [this, left, ended, alive = client.alive(), &client](const OriginJob& job) {
        left->erase(job.id);
        ended->push_back(origin_.describe(job));
        if (const auto held = alive.lock(); held && *held && left->empty()) client.reply({{"jobs", *ended}});
      });
    return;
  }
  actions_.gather({{"what", "jobs"}, {"all", true}, {"ids", ids}},
                  [this, alive = client.alive(), &client, request, ids](const std::vector<json>& answers) {
                    if (const auto held = alive.lock(); !held || !*held) return;
                    std::map<std::int64_t, json> known;
                    for (const auto& answer : answers)
                      for (const auto& job : answer.value("jobs", json::array())) known[job.at("job")] = job;
                    json ended = json::array();
                    for (const auto id : ids) {
                      if (known.count(id) == 0)
                        return client.refuse("no-such-job", fmt::format("there is no job {}; see drover ps --all", id));
                      const std::string state = known[id].at("state");
                      if (state == "ended" || state == "failed" || state == "lost") ended.push_back(known[id]);
                    }
                    if (ended.size() == ids.size()) return client.reply({{"jobs", ended}});
                    cluster_.loop().after(std::chrono::milliseconds(100), [this, alive, &client, request] {
                      if (const auto still = alive.lock(); still && *still) wait(client, request);
                    });
                  });
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

void ControlServer::logs(ClientConnection& client, const json& request) {
  const std::string stream = request.value("stream", "stdout");
  const auto from = request.value("from", std::uint64_t{0});
  const bool follow = request.value("follow", false);
  if (stream != "stdout" && stream != "stderr") return client.refuse("bad-request", "stream is stdout or stderr");
  at_origin(client, request, request.at("job"), [this, stream, from, follow](ClientConnection& c, OriginJob& job) {
    if (job.tasks)
      return c.refuse("refused", fmt::format("job {0} is an array; what its tasks have written: drover logs TASK, "
                                             "each task being a job of drover ps --all",
                                             job.id));
    if (job.output[stream == "stdout" ? 0 : 1].path.empty())
      return c.refuse("refused", fmt::format("job {} was run, not submitted: its output went to its launcher", job.id));
    send_log(c.alive(), c, job.id, stream == "stdout" ? 1 : 2, from, follow);
  });
}

void ControlServer::send_log(const std::weak_ptr<bool>& alive, ClientConnection& client, std::int64_t id, int stream,
                             std::uint64_t offset, bool follow) {
  const OriginJob* job = origin_.find(id);
  if (job == nullptr) return;
  // Asked before the file is read: what is written before a job is over is then certainly read.
  const bool over = OriginJobs::over(*job);
  auto bytes = std::make_shared<std::string>(kMaxStreamBytes, '\0');
  cluster_.in_background(
      [bytes, path = job->output[stream - 1].path, offset] {
        const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        const ssize_t n = fd ? ::pread(fd.get(), bytes->data(), bytes->size(), static_cast<off_t>(offset)) : 0;
        bytes->resize(n > 0 ? static_cast<std::size_t>(n) : 0);
      },
      [this, alive, &client, bytes, id, stream, offset, over, follow] {
        if (const auto held = alive.lock(); !held || !*held) return;
        if (!bytes->empty()) {
          client.output(stream, offset, *bytes);
          return send_log(alive, client, id, stream, offset + bytes->size(), follow);
        }
        if (follow && !over) {
          cluster_.loop().after(std::chrono::milliseconds(100), [this, alive, &client, id, stream, offset] {
            if (const auto still = alive.lock(); still && *still) send_log(alive, client, id, stream, offset, true);
          });
          return;
        }
        client.output_end(stream, offset);
        client.reply({{"job", id}});
      });
}

}  // namespace drover
