#include "launcher/shell/traps.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace drover::shell {

namespace {

std::array<volatile std::sig_atomic_t, NSIG> arrived{};

void note(int signal) { arrived[static_cast<std::size_t>(signal)] = 1; }

// By these a shell with an action for EXIT ends in order. SIGINT leads to the prompt or the end of a script anyway.
constexpr std::array<int, 2> kFatal = {SIGHUP, SIGTERM};

}  // namespace

int signal_number(std::string name) {
  int number = 0;
  const auto end = std::from_chars(name.data(), name.data() + name.size(), number);
  if (!name.empty() && end.ptr == name.data() + name.size() && number >= 0 && number < NSIG) return number;
  const std::string typed = name;
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (name.rfind("SIG", 0) == 0) name.erase(0, 3);
  if (name == "EXIT") return Traps::kExit;
  for (int signal = 1; signal < NSIG; ++signal)
    if (const char* known = ::sigabbrev_np(signal); known != nullptr && name == known) return signal;
  throw std::runtime_error(fmt::format("{}: no such signal; see kill -l", typed));
}

std::string signal_name(int signal) {
  if (signal == Traps::kExit) return "EXIT";
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? name : fmt::format("{}", signal);
}

void Traps::catch_signal(int signal) {
  struct sigaction action {};
  action.sa_handler = note;  // without SA_RESTART: whoever waits looks
  struct sigaction before {};
  ::sigaction(signal, &action, &before);
  before_.emplace(signal, before);
}

void Traps::set(int signal, const std::string& action, bool keeps_ignored) {
  if (signal == SIGKILL || signal == SIGSTOP)
    throw std::runtime_error(fmt::format("{} can't be caught", signal_name(signal)));
  subshell_ = false;
  if (signal == kExit) {
    actions_[kExit] = action;
    return watch_fatal(true);
  }
  struct sigaction now {};
  ::sigaction(signal, nullptr, &now);
  if (keeps_ignored && now.sa_handler == SIG_IGN && before_.count(signal) == 0) return;
  actions_[signal] = action;
  catch_signal(signal);
  if (action.empty()) std::signal(signal, SIG_IGN);
}

void Traps::reset(int signal) {
  subshell_ = false;
  actions_.erase(signal);
  if (signal == kExit) return watch_fatal(false);
  const auto before = before_.find(signal);
  if (before == before_.end()) return;
  ::sigaction(signal, &before->second, nullptr);
  before_.erase(before);
  if (actions_.count(kExit) != 0) watch_fatal(true);
}

void Traps::watch_fatal(bool watch) {
  for (const int signal : kFatal) {
    if (actions_.count(signal) != 0) continue;
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    if (watch && now.sa_handler == SIG_DFL) {
      catch_signal(signal);
    } else if (const auto before = before_.find(signal); !watch && before != before_.end()) {
      ::sigaction(signal, &before->second, nullptr);
      before_.erase(before);
    }
  }
}

int Traps::pending() {
  for (int signal = 1; signal < NSIG; ++signal)
    if (arrived[static_cast<std::size_t>(signal)] != 0) return signal;
  return 0;
}

bool Traps::is_fatal_pending() const {
  for (const int signal : kFatal)
    if (arrived[static_cast<std::size_t>(signal)] != 0 && actions_.count(signal) == 0) return true;
  return false;
}

std::optional<Traps::Due> Traps::take() {
  const int signal = pending();
  if (signal == 0) return std::nullopt;
  arrived[static_cast<std::size_t>(signal)] = 0;
  const auto action = actions_.find(signal);
  if (action == actions_.end()) return Due{signal, std::nullopt};
  return Due{signal, action->second};
}

std::optional<std::string> Traps::take_exit() {
  const auto action = actions_.find(kExit);
  if (action == actions_.end()) return std::nullopt;
  std::string text = action->second;
  actions_.erase(action);
  return text;
}

void Traps::enter_subshell() {
  parents_ = actions_;
  subshell_ = true;
  for (auto& one : arrived) one = 0;
  for (const auto& [signal, before] : before_) {
    const auto action = actions_.find(signal);
    const bool ignored = action != actions_.end() && action->second.empty();
    std::signal(signal, ignored ? SIG_IGN : SIG_DFL);
  }
  std::erase_if(actions_, [](const auto& one) { return one.first == kExit || !one.second.empty(); });
  before_.clear();
}

}  // namespace drover::shell
