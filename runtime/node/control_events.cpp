// The event logs of all nodes as one view: in the order of time, less what each node's clock is ahead now.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "ckpt/sys/unique_fd.h"
#include "runtime/control/clock.h"
#include "runtime/node/clock_ahead.h"
#include "runtime/node/control_server.h"

namespace drover {

using nlohmann::json;

std::optional<ClockAhead> clock_ahead(const json& answer, std::uint64_t asked_ns) {
  if (!answer.is_object() || !answer.contains("heard_ns")) return std::nullopt;
  const auto since_asked_ms = [&](const char* name) {
    return static_cast<double>(answer.at(name).get<std::int64_t>() - static_cast<std::int64_t>(asked_ns)) / 1e6;
  };
  const double took_ms = since_asked_ms("heard_ns");
  return ClockAhead{since_asked_ms("realtime_ns") - took_ms / 2, took_ms / 2};
}

namespace {

struct Event {
  std::int64_t time_ns;
  std::string line;
};

// What has come since the last call, whole lines only.
std::vector<Event> new_events(const std::string& dir, EventView& view) {
  std::vector<Event> events;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(dir, ignored)) {
    const UniqueFd fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    char part[65536];
    std::uint64_t& taken = view.read[entry.path().filename()];
    for (ssize_t n = 0; fd && (n = ::pread(fd.get(), part, sizeof part, static_cast<off_t>(taken + text.size()))) > 0;)
      text.append(part, static_cast<std::size_t>(n));
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      std::string line = text.substr(begin, end - begin);
      json event = json::parse(line, nullptr, false);
      if (!event.is_object()) continue;
      auto time_ns = event.value("time_ns", std::int64_t{0});
      if (const auto ahead = view.ahead_ms.find(event.value("node", "")); ahead != view.ahead_ms.end()) {
        time_ns -= static_cast<std::int64_t>(ahead->second * 1e6);
        event["clock_ahead_ms"] = ahead->second;
        line = event.dump(-1, ' ', false, json::error_handler_t::replace);
      }
      if (time_ns >= view.from_ns) events.push_back({time_ns, std::move(line)});
    }
    taken += begin;
  }
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.time_ns < b.time_ns; });
  return events;
}

}  // namespace

void ControlServer::events(ClientConnection& client, const json& request) {
  auto view = std::make_shared<EventView>();
  view->from_ns = request.value("from", std::int64_t{0});
  view->follow = request.value("follow", false);
  actions_.gather({{"what", "clock"}}, [this, alive = client.alive(), &client, view,
                                        asked_ns = realtime_ns()](const std::vector<json>& clocks) {
    if (const auto held = alive.lock(); !held || !*held) return;
    for (int rank = 0; rank < cluster_.size(); ++rank) {
      const auto ahead = clock_ahead(clocks[static_cast<std::size_t>(rank)], asked_ns);
      if (rank != cluster_.self() && ahead && ahead->told_apart()) view->ahead_ms[cluster_.node_name(rank)] = ahead->ms;
    }
    send_events(alive, client, view);
  });
}

void ControlServer::send_events(const std::weak_ptr<bool>& alive, ClientConnection& client,
                                const std::shared_ptr<EventView>& view) {
  auto events = std::make_shared<std::vector<Event>>();
  cluster_.in_background([events, view, dir = cluster_.paths().events_dir()] { *events = new_events(dir, *view); },
                         [this, alive, &client, events, view] {
                           if (const auto held = alive.lock(); !held || !*held) return;
                           for (Event& event : *events) client.send(ClientMessage::Item, std::move(event.line));
                           if (!view->follow) return client.reply(json::object());
                           cluster_.loop().after(std::chrono::milliseconds(200), [this, alive, &client, view] {
                             if (const auto still = alive.lock(); still && *still) send_events(alive, client, view);
                           });
                         });
}

}  // namespace drover
