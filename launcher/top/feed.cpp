#include "launcher/top/feed.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/top/event_row.h"
#include "runtime/control/client_message.h"
#include "runtime/control/clock.h"

namespace drover::top {

namespace {

using namespace std::chrono_literals;

constexpr auto kRetry = 500ms;                             // after droverd was lost
constexpr auto kSlow = 3s;                                 // then a person is told
constexpr auto kMarksEvery = 60s;                          // watermarks change when a node is calibrated, or joins
constexpr std::uint64_t kEventsOf_ns = 3'600'000'000'000;  // the log may be long

Json events_request(bool follow) {
  const std::uint64_t now = realtime_ns();
  return {{"op", "events"}, {"follow", follow}, {"from", now - std::min(now, kEventsOf_ns)}};
}

}  // namespace

Feed::Feed(Connect connect, World& world, Clock::duration interval)
    : connect_(std::move(connect)), world_(world), interval_(interval) {}

void Feed::lost(const std::string& why) {
  world_.trouble = why;
  next_ask_ = std::min(next_ask_, Clock::now() + kRetry);
}

void Feed::answered() {
  if (nodes_open_ || jobs_open_) return;
  world_.heard = true;
  world_.trouble.clear();
}

// A failure to connect is the same as one later.
void Feed::call(const Json& request, const Handlers& handlers) {
  try {
    Client client = connect_();
    client.send_request(request);
    calls_.push_back({std::move(client), handlers, Clock::now()});
  } catch (const std::exception&) {
    handlers.failed("lost droverd, trying again");
  }
}

void Feed::ask() {
  if (nodes_open_ || jobs_open_) return;
  next_ask_ = Clock::now() + interval_;
  nodes_open_ = jobs_open_ = true;
  call({{"op", "nodes"}}, {[this](const Json& reply) {
                             world_.nodes = node_rows(reply.at("nodes"));
                             nodes_open_ = false;
                             answered();
                           },
                           [this](const std::string& error) {
                             nodes_open_ = false;
                             lost(error);
                           },
                           nullptr, true});
  call({{"op", "ps"}, {"all", false}}, {[this](const Json& reply) {
                                          world_.jobs = job_rows(reply.at("jobs"));
                                          jobs_open_ = false;
                                          answered();
                                        },
                                        [this](const std::string& error) {
                                          jobs_open_ = false;
                                          lost(error);
                                        },
                                        nullptr, true});
  follow_events();
}

void Feed::take_event(const Json& event) {
  if (auto row = event_row(event)) add_event(world_.events, std::move(*row));
}

void Feed::follow_events() {
  if (events_open_) return;
  events_open_ = true;
  call(events_request(true),
       {[this](const Json&) { events_open_ = false; }, [this](const std::string&) { events_open_ = false; },
        [this](const Json& event) { take_event(event); }});
  if (events_open_) world_.events.clear();  // a droverd is there, and tells them again
}

void Feed::command(const Action& action) {
  call(request_of(action), {[this, action](const Json& reply) {
                              on_outcome(outcome_of(action, reply));
                              ask();
                            },
                            [this](const std::string& error) {
                              on_outcome({error, false});
                            }});
}

Feed::Clock::time_point Feed::run_due() {
  const auto now = Clock::now();
  if (now >= next_ask_) {
    next_ask_ = now + interval_;
    ask();
  }
  if (now >= next_marks_ && !marks_open_) {
    next_marks_ = now + kMarksEvery;
    marks_open_ = true;
    call({{"op", "nodes"}, {"own_load", true}}, {[this](const Json& reply) {
                                                   world_.watermarks = watermarks_of(reply.at("nodes"));
                                                   marks_open_ = false;
                                                 },
                                                 [this](const std::string&) {
                                                   marks_open_ = false;
                                                   next_marks_ = Clock::now() + kRetry;
                                                 }});
  }
  for (const Call& call : calls_)
    if (call.handlers.news && now - call.begin > kSlow)
      world_.trouble =
          fmt::format("droverd has not answered for {:.0f} s", std::chrono::duration<double>(now - call.begin).count());
  return std::min({next_ask_, std::max(next_marks_, now + kRetry), now + 1s});
}

std::vector<pollfd> Feed::descriptors() const {
  std::vector<pollfd> descriptors;
  for (const Call& call : calls_) descriptors.push_back({call.client.fd(), POLLIN, 0});
  return descriptors;
}

bool Feed::take(Call& call) {
  try {
    const bool more = call.client.connection().fill();
    while (auto frame = call.client.connection().buffered()) {
      if (frame->type == static_cast<std::uint16_t>(ClientMessage::Reply)) {
        call.handlers.replied(Client::parse_reply(*frame));
        return true;
      }
      if (frame->type != static_cast<std::uint16_t>(ClientMessage::Item) || !call.handlers.item) continue;
      if (const Json item = Json::parse(frame->payload, nullptr, false); item.is_object()) call.handlers.item(item);
    }
    if (!more) call.handlers.failed("lost droverd, trying again");
    return !more;
  } catch (const RequestError& error) {
    call.handlers.failed(error.what());
  } catch (const std::exception&) {  // the connection broke, or what came is no answer
    call.handlers.failed("lost droverd, trying again");
  }
  return true;
}

// A handler may make calls: those come behind and were not polled.
bool Feed::take(const std::vector<pollfd>& ready) {
  bool changed = false;
  const auto is_ready = [&](int fd) {
    return std::any_of(ready.begin(), ready.end(),
                       [&](const pollfd& entry) { return entry.fd == fd && entry.revents != 0; });
  };
  for (auto call = calls_.begin(); call != calls_.end();) {
    if (!is_ready(call->client.fd())) {
      ++call;
      continue;
    }
    changed = true;
    call = take(*call) ? calls_.erase(call) : std::next(call);
  }
  return changed;
}

World ask_once(const std::function<Client()>& connect, const std::string& instance) {
  World world;
  world.instance = instance;
  world.nodes = node_rows(connect().request({{"op", "nodes"}}).at("nodes"));
  world.jobs = job_rows(connect().request({{"op", "ps"}, {"all", false}}).at("jobs"));
  Client client = connect();
  client.send_request(events_request(false));
  for (;;) {
    const Frame frame = client.receive();
    if (frame.type == static_cast<std::uint16_t>(ClientMessage::Reply)) break;
    const Json event = Json::parse(frame.payload, nullptr, false);
    if (!event.is_object()) continue;
    if (auto row = event_row(event)) add_event(world.events, std::move(*row));
  }
  constexpr std::size_t kShown = 10;
  if (world.events.size() > kShown) world.events.erase(world.events.begin(), world.events.end() - kShown);
  world.heard = true;
  world.now_ns = realtime_ns();
  return world;
}

}  // namespace drover::top
