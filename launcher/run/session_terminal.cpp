// What a session does for a job that has our terminal.
#include <fmt/format.h>
#include <unistd.h>

#include "launcher/run/session.h"

namespace drover {

// Without anything else typed the first of several detach keys is the program's.
static constexpr auto kKeysWait = std::chrono::seconds(1);

static bool in_foreground() { return ::tcgetpgrp(STDIN_FILENO) == ::getpgrp(); }

// In raw mode the keys of a terminal send none: these are meant for us.
bool RunSession::on_terminal_signal(int signal) {
  switch (signal) {
    case SIGWINCH:
      resized_ = true;
      // By this a shell also tells one that runs already that it has the terminal again.
      if (attached_ && !exit_) come_to_foreground();
      return true;
    case SIGTSTP:
      if (!options_.stop_mark.empty() && attached_ && !exit_) return false;
      terminal_->leave();
      ::kill(::getpid(), SIGSTOP);
      return true;
    case SIGCONT:  // whoever stopped us may have changed it
      resized_ = true;
      if (attached_ && !exit_) on_continued();
      return true;
    case SIGTERM:
    case SIGHUP:
      if (attached_ && !exit_) {
        leave_ = Leave{128 + signal, true};
        return true;
      }
      [[fallthrough]];
    case SIGINT:
    case SIGQUIT:
      if ((attached_ || waiting_) && !exit_) return false;
      terminal_->leave();
      ::_exit(128 + signal);
    default:
      return false;
  }
}

void RunSession::on_continued() {
  if (options_.stop_mark.empty()) return terminal_->enter();
  goes_on_in_background_ = !in_foreground();
  if (!goes_on_in_background_) terminal_->enter();
  pending_signals_.push_back(goes_on_in_background_ ? kContinueInBackground : SIGCONT);
}

// A SIGCONT to the job would take back a Ctrl-Z that came just before it.
void RunSession::come_to_foreground() {
  if (!goes_on_in_background_ || !in_foreground()) return;
  goes_on_in_background_ = false;
  terminal_->enter();
  pending_signals_.push_back(kHasTerminal);
}

void RunSession::look_for_stop(std::string_view output) {
  for (const char byte : output)
    if (scanner_.take(byte) && scanner_.sequence() == options_.stop_mark) job_stopped_ = true;
}

void RunSession::stop_with_job() {
  job_stopped_ = false;
  terminal_->leave();
  ::kill(options_.pipe_fd < 0 ? ::getpid() : 0, SIGSTOP);  // the whole pipeline; on_continued() follows
}

void RunSession::on_terminal_reply(const Json& reply) {
  if (reply.value("over", false)) {
    fmt::print(stderr, "drover: job {} has ended already; its exit code is ours\n", job_);
    return;
  }
  if (reply.contains("stdin")) {
    const auto offset = reply.at("stdin").get<std::uint64_t>();
    // After a new world: what others typed meanwhile has moved the offsets. Keys are lost rather than typed twice.
    if (new_viewer_ || !input_.can_rewind(offset))
      input_.restart(offset);
    else
      input_.rewind(offset);
  }
  if (options_.pipe_fd >= 0 && reply.contains("pipe")) pipe_.rewind(reply.at("pipe").get<std::uint64_t>());
  if (std::exchange(new_viewer_, false)) {
    base_[0] = reply.at("stdout").get<std::uint64_t>();
    terminal_->write(reply.at("modes").get<std::string>());
  }
  if (options_.stop_mark.empty() || in_foreground()) terminal_->enter();
  come_to_foreground();
}

void RunSession::take_keys(std::string_view typed) {
  if (typed.empty()) {  // the terminal is gone
    leave_ = Leave{128 + SIGHUP, true};
    return;
  }
  std::string passed;
  if (terminal_->keys().take(typed, passed)) leave_ = Leave{0, false};
  keys_wait_since_ = Clock::now();
  input_.append(passed);
}

void RunSession::give_up_waiting_keys() {
  if (terminal_->keys().is_waiting() && Clock::now() - keys_wait_since_ >= kKeysWait)
    input_.append(terminal_->keys().give_up());
}

void RunSession::send_terminal_words() {
  give_up_waiting_keys();
  if (std::exchange(resized_, false)) {
    Json request = {{"op", "window"}};
    request.update(LocalTerminal::size());
    client_->send_request(std::move(request));
  }
  if (!leave_) return;
  while (input_.has_outgoing()) send_stdin();
  client_->send_request({{"op", "leave"}, {"hang_up", leave_->hang_up}});
  exit_ = leave_->exit_code;
}

}  // namespace drover
