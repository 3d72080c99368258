// The event logs of all nodes as one view: in the order of time, less what each node's clock is ahead now.
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

void ControlServer::events(ClientConnection& client, const json& request) {
  const EventReader::Span span{request.value("from", std::int64_t{0}), request.value("until", INT64_MAX)};
  actions_.gather(
      {{"what", "clock"}}, [this, alive = client.alive(), &client, span, follow = request.value("follow", false),
                            asked_ns = realtime_ns()](const std::vector<json>& clocks) {
        if (const auto held = alive.lock(); !held || !*held) return;
        std::map<std::string, double> ahead_ms;
        for (int rank = 0; rank < cluster_.size(); ++rank) {
          const auto ahead = clock_ahead(clocks[static_cast<std::size_t>(rank)], asked_ns);
          if (rank != cluster_.self() && ahead && ahead->told_apart()) ahead_ms[cluster_.node_name(rank)] = ahead->ms;
        }
        send_events(client, std::make_shared<EventReader>(cluster_.paths().events_dir(), span, std::move(ahead_ms)),
                    follow);
      });
}

void ControlServer::send_events(ClientConnection& client, const std::shared_ptr<EventReader>& reader, bool follow) {
  const auto lines = std::make_shared<std::vector<std::string>>();
  cluster_.in_background([lines, reader] { *lines = reader->next(); },
                         [this, alive = client.alive(), &client, lines, reader, follow] {
                           if (const auto held = alive.lock(); !held || !*held) return;
                           for (std::string& line : *lines) client.send(ClientMessage::Item, std::move(line));
                           if (!lines->empty())
                             return when_room(client,
                                              [this, &client, reader, follow] { send_events(client, reader, follow); });
                           if (!follow) return client.reply(json::object());
                           cluster_.loop().after(std::chrono::milliseconds(200), [this, alive, &client, reader] {
                             if (const auto still = alive.lock(); still && *still) send_events(client, reader, true);
                           });
                         });
}

}  // namespace drover
