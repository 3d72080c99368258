// The operations of the control protocol that look for jobs, wherever they are: in a droverd's memory or in the
// archive.
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "runtime/jobs/spec_json.h"
#include "runtime/node/control_server.h"

namespace drover {

using nlohmann::json;

namespace {
constexpr std::size_t kMostJobsInFrame = 1000;
constexpr std::size_t kMostBytesInFrame = std::size_t{1} << 20;

std::string no_such_job(std::int64_t id) { return fmt::format("there is no job {}; see drover ps --all", id); }
}  // namespace

void ControlServer::read_past(ClientConnection& client, std::vector<std::int64_t> ids,
                              std::function<void(const PastJobs&)> done) {
  const auto found = std::make_shared<PastJobs>();
  cluster_.in_background(
      [found, ids = std::move(ids), dir = cluster_.paths().archive_dir()] {
        for (const std::int64_t id : ids)
          if (auto job = find_archived(dir, id)) found->emplace(id, std::move(*job));
      },
      [found, done = std::move(done), alive = client.alive()] {
        if (const auto held = alive.lock(); held && *held) done(*found);
      });
}

void ControlServer::at_origin(ClientConnection& client, const json& request, std::int64_t id,
                              const std::function<void(ClientConnection&, OriginJob&)>& local,
                              const std::function<void(ClientConnection&, const json&)>& past) {
  if (OriginJob* job = origin_.find(id)) return local(client, *job);
  const auto look_back = [&client, id, past](const PastJobs& found) {
    if (found.empty()) return client.refuse("no-such-job", no_such_job(id));
    if (!past) return client.refuse("refused", fmt::format("job {} has ended already", id));
    past(client, found.begin()->second);
  };
  actions_.gather({{"what", "origin"}, {"job", id}},
                  [this, alive = client.alive(), &client, request, id, look_back](const std::vector<json>& answers) {
                    if (const auto held = alive.lock(); !held || !*held) return;
                    for (std::size_t rank = 0; rank < answers.size(); ++rank) {
                      if (!answers[rank].is_object() || !answers[rank].value("yes", false)) continue;
                      client.relayed_to = static_cast<int>(rank);
                      return relay(client, {static_cast<std::uint16_t>(ClientMessage::Request), request.dump()});
                    }
                    read_past(client, {id}, look_back);
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

void ControlServer::past(ClientConnection& client, const json& request) {
  const auto view = std::make_shared<PastView>();
  view->search = {.first = request.value("first", std::int64_t{0}),
                  .last = request.value("last", INT64_MAX),
                  .since_ns = request.value("since_ns", std::int64_t{0})};
  cluster_.in_background(
      [view, dir = cluster_.paths().archive_dir()] { view->blocks = blocks_to_search(dir, view->search); },
      [this, alive = client.alive(), &client, view] {
        if (const auto held = alive.lock(); held && *held) send_past(client, view);
      });
}

void ControlServer::send_past(ClientConnection& client, const std::shared_ptr<PastView>& view) {
  if (view->blocks.empty()) return client.reply({{"jobs", json::array()}});
  const auto found = std::make_shared<std::vector<std::string>>();
  const std::int64_t block = view->blocks.back();
  view->blocks.pop_back();
  cluster_.in_background(
      [found, view, block, dir = cluster_.paths().archive_dir()] { *found = search_block(dir, block, view->search); },
      [this, alive = client.alive(), &client, view, found] {
        if (const auto held = alive.lock(); !held || !*held) return;
        std::string list;
        const auto flush = [&] {
          if (!list.empty()) client.send(ClientMessage::Item, "{\"jobs\":[" + list + "]}");
          list.clear();
        };
        for (const std::string& job : *found) {
          list += (list.empty() ? "" : ",") + job;
          if (list.size() > kMostBytesInFrame) flush();
        }
        flush();
        when_room(client, [this, &client, view] { send_past(client, view); });
      });
}

void ControlServer::wait(ClientConnection& client, const json& request) {
  const auto ids = request.at("jobs").get<std::vector<std::int64_t>>();
  std::vector<std::int64_t> unknown;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(unknown),
               [this](std::int64_t id) { return origin_.find(id) == nullptr; });
  if (!unknown.empty())
    return read_past(client, unknown,
                     [this, &client, ids](const PastJobs& past) { wait_elsewhere(client, ids, past); });
  auto left = std::make_shared<std::set<std::int64_t>>(ids.begin(), ids.end());
  auto ended = std::make_shared<json>(json::array());
  if (left->empty()) return client.reply({{"jobs", *ended}});
  for (const auto id : std::set<std::int64_t>(*left))
    origin_.when_over(id, [this, left, ended, alive = client.alive(), &client](const OriginJob& job) {
      left->erase(job.id);
      ended->push_back(origin_.describe(job));
      if (const auto held = alive.lock(); held && *held && left->empty()) client.reply({{"jobs", *ended}});
    });
}

// Asks again and again.
void ControlServer::wait_elsewhere(ClientConnection& client, const std::vector<std::int64_t>& ids,
                                   const PastJobs& past) {
  actions_.gather({{"what", "jobs"}, {"all", true}, {"ids", ids}},
                  [this, alive = client.alive(), &client, ids, past](const std::vector<json>& answers) {
                    if (const auto held = alive.lock(); !held || !*held) return;
                    PastJobs known = past;
                    for (const auto& answer : answers)
                      for (const auto& job : answer.value("jobs", json::array())) known[job.at("job")] = job;
                    json ended = json::array();
                    std::vector<std::int64_t> unknown;
                    for (const auto id : ids) {
                      if (known.count(id) == 0) {
                        unknown.push_back(id);
                        continue;
                      }
                      const std::string state = known[id].at("state");
                      if (state == "ended" || state == "failed" || state == "lost") ended.push_back(known[id]);
                    }
                    if (ended.size() == ids.size()) return client.reply({{"jobs", ended}});
                    const auto again = [this, &client, ids, past, unknown](const PastJobs& found) {
                      PastJobs all = past;
                      all.insert(found.begin(), found.end());
                      for (const auto id : unknown)
                        if (found.count(id) == 0) return client.refuse("no-such-job", no_such_job(id));
                      wait_elsewhere(client, ids, all);
                    };
                    // Those that were there a moment ago have gone to the archive.
                    if (!unknown.empty()) return read_past(client, unknown, again);
                    cluster_.loop().after(std::chrono::milliseconds(100), [alive, again] {
                      if (const auto still = alive.lock(); still && *still) again({});
                    });
                  });
}

void ControlServer::logs(ClientConnection& client, const json& request) {
  const std::string name = request.value("stream", "stdout");
  const auto from = request.value("from", std::uint64_t{0});
  if (name != "stdout" && name != "stderr") return client.refuse("bad-request", "stream is stdout or stderr");
  LogView view;
  view.job = request.at("job");
  view.stream = name == "stdout" ? 1 : 2;
  view.follow = request.value("follow", false);
  const auto send = [this, view, from](ClientConnection& c, bool array, const std::string& path) {
    if (array)
      return c.refuse("refused", fmt::format("job {0} is an array; what its tasks have written: drover logs TASK, "
                                             "each task being a job of drover ps --all",
                                             view.job));
    if (path.empty())
      return c.refuse("refused",
                      fmt::format("job {} was run, not submitted: its output went to its launcher", view.job));
    LogView whole = view;
    whole.path = path;
    send_log(c.alive(), c, whole, from);
  };
  at_origin(
      client, request, view.job,
      [send, stream = view.stream](ClientConnection& c, const OriginJob& job) {
        send(c, job.tasks.has_value(), job.output[stream - 1].path);
      },
      [send, name](ClientConnection& c, const json& job) {
        send(c, !job.value("tasks", json()).is_null(), job.value(name, ""));
      });
}

void ControlServer::send_log(const std::weak_ptr<bool>& alive, ClientConnection& client, const LogView& view,
                             std::uint64_t offset) {
  // Asked before the file is read: what is written before a job is over is then certainly read.
  const OriginJob* job = origin_.find(view.job);
  const bool over = job == nullptr || OriginJobs::over(*job);
  auto bytes = std::make_shared<std::string>(kMaxStreamBytes, '\0');
  cluster_.in_background(
      [bytes, path = view.path, offset] {
        const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        const ssize_t n = fd ? ::pread(fd.get(), bytes->data(), bytes->size(), static_cast<off_t>(offset)) : 0;
        bytes->resize(n > 0 ? static_cast<std::size_t>(n) : 0);
      },
      [this, alive, &client, bytes, view, offset, over] {
        if (const auto held = alive.lock(); !held || !*held) return;
        if (!bytes->empty()) {
          client.output(view.stream, offset, *bytes);
          return send_log(alive, client, view, offset + bytes->size());
        }
        if (view.follow && !over) {
          cluster_.loop().after(std::chrono::milliseconds(100), [this, alive, &client, view, offset] {
            if (const auto still = alive.lock(); still && *still) send_log(alive, client, view, offset);
          });
          return;
        }
        client.output_end(view.stream, offset);
        client.reply({{"job", view.job}});
      });
}

}  // namespace drover
