// Talks to droverd without ever waiting for it: requests go out, and answers are taken when the session's poll(2) says
// that there are some.
//
// At most one question of each kind is open. A droverd that is slow or stopped is thus waited for with what is open
// already, and is not sent more; one that is gone is looked for again until there is one.
#pragma once

#include <poll.h>

#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "launcher/client.h"
#include "launcher/top/controls.h"
#include "launcher/top/requests.h"

namespace drover::top {

class Feed {
 public:
  using Clock = std::chrono::steady_clock;
  using Connect = std::function<Client()>;  // throws NoDroverd

  Feed(Connect connect, World& world, Clock::duration interval);

  void ask();  // for news, if none is being waited for
  void command(const Action& action);
  // Asks what is due, and tells when to be called again at the latest.
  Clock::time_point run_due();
  std::vector<pollfd> descriptors() const;
  // Takes what has come. True if the world has changed.
  bool take(const std::vector<pollfd>& ready);

  std::function<void(const Outcome&)> on_outcome;  // of a command

 private:
  struct Handlers {
    std::function<void(const Json& reply)> replied;
    std::function<void(const std::string& error)> failed;
    std::function<void(const Json& item)> item = nullptr;
    bool news = false;  // what is shown is old until it has been answered
  };
  // Over after `replied` or `failed`.
  struct Call {
    Client client;
    Handlers handlers;
    Clock::time_point begin;
  };
  void call(const Json& request, const Handlers& handlers);
  bool take(Call& call);  // true: it is over
  void take_event(const Json& event);
  void follow_events();
  void lost(const std::string& why);
  void answered();

  Connect connect_;
  World& world_;
  Clock::duration interval_;
  Clock::time_point next_ask_{}, next_marks_{};
  std::list<Call> calls_;
  bool nodes_open_ = false, jobs_open_ = false, marks_open_ = false, events_open_ = false;
};

// One question after the other, for a snapshot.
World ask_once(const std::function<Client()>& connect, const std::string& instance);

}  // namespace drover::top
