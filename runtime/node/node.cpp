#include "runtime/node/node.h"

#include <fmt/format.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <cstdlib>
#include <ctime>

#include "ckpt/sys/error.h"
#include "runtime/migrate/fault.h"

namespace drover {

using nlohmann::json;

namespace {
// The safety net under lost rings. Every heartbeat of a peer makes MPI progress too.
constexpr auto kTick = std::chrono::milliseconds(200);
constexpr Nanoseconds kFirstHotWait = std::chrono::microseconds(100);
constexpr int kEventSchema = 1;                                  // docs/events.md
constexpr auto kShepherdsEnd = std::chrono::milliseconds(1000);  // of jobs that have ended
constexpr std::uint64_t kHotWindowNs = 1'500'000;                // after any activity: an answer is likely to follow

}  // namespace

Node::Node(Start start)
    : world_(start.world),
      doorbell_(std::move(start.doorbell)),
      info_(std::move(start.info)),
      topology_(std::move(start.topology)),
      paths_(std::move(start.paths)),
      config_(std::move(start.config)),
      share_(deal_pus()),
      random_(info_.cookie + static_cast<std::uint64_t>(start.world.rank())),
      heard_(static_cast<std::size_t>(start.world.size())) {
  choose_watermarks();
  // The default slack of 50 us would be added to every wait of the hot window.
  ::prctl(PR_SET_TIMERSLACK, 1);
  make_private_directory(paths_.node_dir(self_name()));
  make_private_directory(paths_.events_dir());
  make_private_directory(paths_.state + "/jobs");
  arm_faults(paths_.node_dir(self_name()));
  make_parts(std::move(start.spawner));
}

Node::~Node() {
  remove_traces();
  loop_.forget(doorbell_.fd());
}

void Node::remove_traces() {
  control_.reset();
  // `drover down` runs on one host; on the others nobody else would. After a kill the next world finds it as it is.
  if (leaving_ && !superseded_)
    remove_node_dir(paths_, self_name(), leaving_jobs_ ? std::chrono::milliseconds::zero() : kShepherdsEnd);
}

void Node::make_parts(UniqueFd spawner) {
  const std::string log_path = fmt::format("{}/{}.jsonl", paths_.events_dir(), self_name());
  event_log_ = std::make_unique<EventLog>(log_path);
  background_ = std::make_unique<Background>(loop_);
  postbox_ = std::make_unique<mpi::Postbox>(
      world_,
      [this](int from, std::uint16_t type, std::string&& payload) { on_message(from, type, std::move(payload)); },
      [this](int rank) { doorbell_.ring(rank); });
  rounds_ = world_.duplicate();
  images_ = world_.duplicate();
  doorbell_.set_peers(info_.doorbells, info_.same_host, info_.cookie, self());
  begin_sharing();
  sampler_ = std::make_unique<LoadSampler>(share_, shared_host(), "/proc", counted_group());
  std::vector<std::int32_t> cpus(share_.pus.begin(), share_.pus.end());
  placed_ = std::make_unique<PlacedJobs>(*this, std::move(spawner), cpus);
  origin_ = std::make_unique<OriginJobs>(*this, placement_view());
  links_ = std::make_unique<LinkSpeeds>(info_.same_host);
  const MoveContext context{*this,
                            *placed_,
                            images_.get(),
                            *links_,
                            [this](const MoveOffer& offer) { return refuse_offer(offer); },
                            [this] { return own_view(); },
                            config_.answer_deadline};
  outgoing_ = std::make_unique<OutgoingMoves>(context);
  incoming_ = std::make_unique<IncomingMoves>(context);
  placed_->set_mover(shepherd_events());
  placed_->on_superseded([this] {
    spdlog::warn("a newer droverd has taken over this node; leaving");
    stop_ = superseded_ = true;
  });
  control_ = std::make_unique<ControlServer>(*this, *origin_, control_actions());
  serve_metrics();
  loop_.watch(doorbell_.fd(), EPOLLIN, [](std::uint32_t) {});  // emptied in turn()
}

ShepherdEvents Node::shepherd_events() {
  ShepherdEvents events;
  events.ready_to_restore = [this](PlacedJob& job) { incoming_->ready_to_restore(job); };
  events.running = [this](PlacedJob& job, const shepherd::RunningHere& here) { incoming_->running(job, here); };
  events.thawed = [this](PlacedJob& job, const std::string& why) { outgoing_->thawed(job, why); };
  events.moved_away = [this](PlacedJob& job, const std::vector<std::int32_t>& held) {
    outgoing_->moved_away(job, held);
  };
  events.ended = [this](PlacedJob& job) { outgoing_->ended(job); };
  events.killed_for_memory = [this] { return oom_kills_.have_risen(); };
  events.worker_gone = [this](PlacedJob& job) {
    if (job.moving_in)
      incoming_->worker_gone(job);
    else
      outgoing_->worker_gone(job);
  };
  events.handed_back = [this](PlacedJob& job) { incoming_->handed_back(job); };
  events.shepherd_lost = [this](PlacedJob& job) {
    if (job.moving_in)
      incoming_->shepherd_lost(job);
    else
      outgoing_->shepherd_lost(job);
  };
  return events;
}

Membership::Actions Node::membership_actions() {
  Membership::Actions actions;
  actions.send = [this](int to, const ViewMessage& message) {
    postbox_->set_lost(to, false);  // it is heard again, or it would not be asked
    send(to, Msg::View, message);
  };
  actions.changed = [this](const std::vector<int>& left, const std::vector<int>& returned) {
    view_changed(left, returned);
  };
  actions.communicators = [this](const ViewComms& comms, const std::vector<int>& view) {
    use_communicators(comms, view);
  };
  actions.no_communicator = [this] {
    exchange_->no_communicator();
    if (summaries_) summaries_->no_communicators();
  };
  return actions;
}

void Node::view_changed(const std::vector<int>& left, const std::vector<int>& returned) {
  for (const int rank : left) {
    spdlog::warn("{} does not answer and is excluded", node_name(rank));
    log_event(json{{"event", "excluded"}, {"who", node_name(rank)}}.dump());
    postbox_->set_lost(rank, true);
    origin_->rank_lost(rank);
    outgoing_->rank_lost(rank);
    incoming_->rank_lost(rank);
    control_->rank_lost(rank);
    fail_move_waiters(rank);
  }
  for (const int rank : returned) {
    spdlog::info("{} is back", node_name(rank));
    log_event(json{{"event", "returned"}, {"who", node_name(rank)}}.dump());
    postbox_->set_lost(rank, false);
    origin_->rank_returned(rank);
  }
}

static const char* move_message_name(Msg type) {
  switch (type) {
    case Msg::MoveOffer:
      return "send.MoveOffer";
    case Msg::MoveAccept:
      return "send.MoveAccept";
    case Msg::MoveEnd:
      return "send.MoveEnd";
    case Msg::MoveReady:
      return "send.MoveReady";
    case Msg::MoveFailed:
      return "send.MoveFailed";
    case Msg::MoveResumed:
      return "send.MoveResumed";
    case Msg::MoveHandback:
      return "send.MoveHandback";
    default:
      return nullptr;
  }
}

void Node::send_bytes(int to, Msg type, std::string payload) {
  if (const char* name = move_message_name(type); name != nullptr && fault_drop(name)) return;
  postbox_->send(to, static_cast<std::uint16_t>(type), std::move(payload));
  hot_until_ns_ = monotonic_ns() + kHotWindowNs;
  hot_wait_ = kFirstHotWait;
}

void Node::in_background(std::function<void()> blocking, std::function<void()> done) {
  background_->run(std::move(blocking), std::move(done));
}

// Group commit: what one turn of the loop logs is one write.
void Node::log_event(std::string text) {
  json event = json::parse(text, nullptr, false);
  if (!event.is_object()) return;
  event["time_ns"] = realtime_ns();
  event["node"] = self_name();
  const bool first = events_waiting_.empty();
  events_waiting_ += event.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  if (!first) return;
  loop_.after(Nanoseconds::zero(), [this] {
    auto lines = std::make_shared<std::string>(std::exchange(events_waiting_, {}));
    in_background([this, lines] { event_log_->append(*lines); }, {});
  });
}

void Node::on_message(int from, std::uint16_t type, std::string&& payload) {
  try {
    dispatch(from, static_cast<Msg>(type), payload);
  } catch (const ImageError& error) {
    spdlog::error("{} sent a message of type {} that is none: {}", node_name(from), type, error.what());
  } catch (const ProtocolError& error) {
    spdlog::error("{} broke the protocol: {}", node_name(from), error.what());
  }
}

void Node::dispatch(int from, Msg type, const std::string& payload) {
  switch (type) {
    case Msg::Reserve:
      return on_reserve(from, unpack<Reserve>(payload));
    case Msg::ReserveReply:
    case Msg::Placed:
    case Msg::PlaceFailed:
    case Msg::PlaceIs:
    case Msg::JobOutput:
    case Msg::JobOutputEnd:
    case Msg::JobInputAck:
    case Msg::JobEnded:
    case Msg::JobMoving:
    case Msg::JobHoldFailed:
    case Msg::JobCheckpointed:
      return origin_->handle(from, type, payload);
    case Msg::Place:
    case Msg::JobOutputAck:
    case Msg::JobInput:
    case Msg::JobInputEnd:
    case Msg::JobSignal:
    case Msg::JobWindow:
    case Msg::JobHold:
    case Msg::JobCheckpoint:
    case Msg::JobEndedAck:
    case Msg::JobOutdated:
      return placed_->handle(from, type, payload);
    case Msg::MoveReport:
      return on_move_report(unpack<MoveReportMsg>(payload));
    case Msg::PullAsk:
      return on_pull_ask(from, unpack<PullAsk>(payload));
    case Msg::PullReply:
      return on_pull_reply(from, unpack<PullReply>(payload));
    case Msg::MoveAsk:
    case Msg::MoveAccept:
    case Msg::MoveRefuse:
    case Msg::MoveReady:
    case Msg::MoveFailed:
    case Msg::MoveResumed:
    case Msg::MoveHandback:
      return outgoing_->handle(from, type, payload);
    case Msg::MoveOffer:
    case Msg::MoveEnd:
    case Msg::MoveAbort:
      return incoming_->handle(from, type, payload);
    case Msg::Ping:
      return send_bytes(from, Msg::Pong, payload);
    case Msg::Pong: {
      const auto found = pings_.find(unpack<Question>(payload).request);
      if (found == pings_.end()) return;
      const auto ping = std::move(found->second);
      pings_.erase(found);
      return ping.done(from, monotonic_ns() - ping.sent_ns);
    }
    case Msg::Gather: {
      const auto question = unpack<Question>(payload);
      const json asked = json::parse(question.json, nullptr, false);
      if (asked.is_object() && asked.value("what", "") == "doctor")
        return answer_doctor(from, question.request, asked.value("token", ""));
      return send(from, Msg::GatherReply,
                  Question{question.request, answer(asked).dump(-1, ' ', false, json::error_handler_t::replace)});
    }
    case Msg::GatherReply:
      return on_gather_reply(from, unpack<Question>(payload));
    case Msg::Relay:
    case Msg::RelayClose:
      return control_->handle_relay(from, type, unpack<RelayFrame>(payload));
    case Msg::Down:
      return obey_down(from, unpack<Question>(payload).json);
    case Msg::DownDone:
      if (!down_missing_.empty()) down_missing_[static_cast<std::size_t>(from)] = false;
      return;
    case Msg::Goodbye:
      stop_ = true;
      return;
    case Msg::View:
      return membership_->handle(from, unpack<ViewMessage>(payload), monotonic_ns());
  }
}

// Once a period: measure, tell, decide.
void Node::every_round() {
  placed_->refresh_facts();
  take_sample();
  told_ns_ = monotonic_ns();
  exchange_->post(told_ns_);
  send_heartbeats();
  membership_->tick(monotonic_ns());
  if (const GroupWatch* watch = membership_->watch())
    leads_group_ = watch->leads(membership_->members(), monotonic_ns());
  origin_->tick();
  if (!leaving_) pull();
  drain_step();
}

// One turn: MPI first, then how long the loop may sleep.
Nanoseconds Node::turn() {
  const std::uint64_t now = monotonic_ns();
  bool active =
      doorbell_.drain([&](int rank, std::span<const std::byte> payload) { on_heartbeat(rank, payload, now); });
  active = postbox_->progress() || active;
  active = outgoing_->progress() || active;
  active = incoming_->progress() || active;
  if (exchange_->progress(now)) {
    active = true;
    if (!leaving_) pair();
  }
  active = summaries_progress(now) || active;
  if (now >= exchange_->next_due_ns(told_ns_)) {
    every_round();
    active = true;  // who posts last hears of nobody that the round has ended
  }
  active = share_summary(now) || active;
  if (const double demand = placed_->demand(); demand != demand_before_) {
    demand_before_ = demand;
    announce();
  }
  if (active) {
    hot_until_ns_ = monotonic_ns() + kHotWindowNs;
    hot_wait_ = kFirstHotWait;
  }
  if (outgoing_->bulk() || incoming_->bulk()) {
    // No naps while bulk flows; but a rank that waits for a worker or for its peer must not use up the time slices that
    // they need: on two cores at load 6, 512 MiB took 0.8 s instead of 15.
    if (!active) ::sched_yield();
    return Nanoseconds::zero();
  }
  // What has not followed at once follows later, as a rule: each look costs a wake-up, and an idle node has few else.
  if (monotonic_ns() < hot_until_ns_) return std::exchange(hot_wait_, 2 * hot_wait_);
  std::uint64_t due = exchange_->next_due_ns(told_ns_);
  if (leads_group_) due = std::min(due, summaries_->next_due_ns(summary_told_ns_));
  const std::uint64_t then = monotonic_ns();
  return std::min<Nanoseconds>(kTick, Nanoseconds(due > then ? due - then : 0));
}

bool Node::run() {
  for_each_event_line(fmt::format("{}/{}.jsonl", paths_.events_dir(), self_name()),
                      [this](const std::string& line) { origin_->replay(line); });
  origin_->end_replay();
  log_event(json{{"event", "up"},
                 {"schema", kEventSchema},
                 {"generation", info_.generation},
                 {"ranks", size()},
                 {"version", DROVER_VERSION}}
                .dump());
  // The socket first: while an older droverd answers there, its shepherds are its own.
  control_->listen(paths_.control_socket(self_name()));
  placed_->adopt_existing();
  read_drain();
  while (!stop_) loop_.run_once(turn());
  // What is on its way out (the answer to the launcher, the last events) still goes.
  const std::uint64_t deadline = monotonic_ns() + 2'000'000'000ULL;
  while (monotonic_ns() < deadline && !(postbox_->idle() && background_->idle() && events_waiting_.empty()))
    loop_.run_once(std::min<Nanoseconds>(turn(), std::chrono::milliseconds(1)));
  return !superseded_ && !membership_->anyone_ever_lost();
}

}  // namespace drover
