// One thread and one poll(2): keys, signals and droverd's answers in any order. Signals come through a descriptor, so
// that the terminal is given back in one place.
#include "launcher/top/session.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"
#include "launcher/top/feed.h"
#include "launcher/top/layout.h"
#include "launcher/top/screen.h"
#include "runtime/control/clock.h"

namespace drover::top {

namespace {

UniqueFd signal_descriptor() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd) throw SystemError("signalfd", "", errno);
  return fd;
}

constexpr auto kBetweenDrawings = std::chrono::milliseconds(20);

class Session {
 public:
  Session(const std::function<Client()>& connect, const SessionOptions& options)
      : feed_(connect, world_,
              std::chrono::duration_cast<Feed::Clock::duration>(
                  std::chrono::duration<double>(options.interval_seconds))) {
    world_.instance = options.instance;
    feed_.on_outcome = [this](const Outcome& outcome) {
      controls_.view().message = outcome.text;
      controls_.view().message_style = outcome.ok ? Style::Cyan : Style::Red;
    };
  }

  int run() {
    while (!exit_code_) {
      auto next = feed_.run_due();
      // A long log comes in many pieces: not each is worth a look.
      const auto now = Feed::Clock::now();
      if (now - drawn_ >= kBetweenDrawings) {
        draw();
        drawn_ = now;
      } else {
        next = std::min(next, drawn_ + kBetweenDrawings);
      }
      wait_until(next);
    }
    return *exit_code_;
  }

 private:
  void draw() {
    World& world = world_;
    world.now_ns = realtime_ns();
    View& view = controls_.view();
    view.width = screen_.width();
    view.height = screen_.height();
    view.wide_characters = screen_.wide_characters();
    controls_.settle(world);
    screen_.show(top::draw(world, view));
  }

  void wait_until(Feed::Clock::time_point when) {
    std::vector<pollfd> ready = feed_.descriptors();
    const std::size_t of_feed = ready.size();
    ready.push_back({signals_.get(), POLLIN, 0});
    ready.push_back({STDIN_FILENO, POLLIN, 0});
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(when - Feed::Clock::now()).count() + 1;
    if (::poll(ready.data(), ready.size(), static_cast<int>(std::max<std::int64_t>(left, 0))) < 0) {
      if (errno == EINTR) return;
      throw SystemError("poll", "", errno);
    }
    if (ready[of_feed].revents != 0) take_signals();
    if (ready[of_feed + 1].revents != 0) take_keys((ready[of_feed + 1].revents & (POLLHUP | POLLERR)) != 0);
    ready.resize(of_feed);
    feed_.take(ready);
  }

  void take_signals() {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      const int signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGWINCH) {
        screen_.resize();
      } else if (signal == SIGTSTP) {
        screen_.step_aside();
        ::kill(::getpid(), SIGSTOP);  // the others of the process group have had their own SIGTSTP
        screen_.resize();
        screen_.draw_anew();
      } else {
        exit_code_ = 128 + signal;
      }
    }
  }

  void take_keys(bool gone) {
    bool any = false;
    while (const auto key = screen_.key()) {
      any = true;
      if (const auto action = controls_.press(*key, world_)) act(*action);
    }
    if (gone && !any) exit_code_ = 128 + SIGHUP;
  }

  void act(const Action& action) {
    switch (action.kind) {
      case Action::Kind::Quit:
        exit_code_ = 0;
        break;
      case Action::Kind::Refresh:
        feed_.ask();
        break;
      case Action::Kind::Redraw:
        screen_.draw_anew();
        break;
      default:
        controls_.view().message = waiting_text(action);
        controls_.view().message_style = Style::Plain;
        feed_.command(action);
    }
  }

  UniqueFd signals_ = signal_descriptor();
  World world_;
  Controls controls_;
  Feed feed_;
  Screen screen_;
  Feed::Clock::time_point drawn_{};
  std::optional<int> exit_code_;
};

}  // namespace

int run_session(const std::function<Client()>& connect, const SessionOptions& options) {
  connect();  // before the screen is taken: whoever has no droverd is told so in a line that stays
  return Session(connect, options).run();
}

}  // namespace drover::top
