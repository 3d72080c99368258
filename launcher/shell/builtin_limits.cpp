// umask and ulimit: of the shell, and so of the jobs that it starts.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "launcher/shell/builtins.h"

namespace drover::shell {

namespace {

struct Limit {
  char letter;
  __rlimit_resource resource;
  rlim_t unit;
  const char* name;
};

constexpr std::array<Limit, 12> kLimits = {{{'c', RLIMIT_CORE, 1024, "core file (KiB)"},
                                            {'d', RLIMIT_DATA, 1024, "data segment (KiB)"},
                                            {'e', RLIMIT_NICE, 1, "priority"},
                                            {'f', RLIMIT_FSIZE, 1024, "file size (KiB)"},
                                            {'i', RLIMIT_SIGPENDING, 1, "pending signals"},
                                            {'l', RLIMIT_MEMLOCK, 1024, "locked memory (KiB)"},
                                            {'n', RLIMIT_NOFILE, 1, "open files"},
                                            {'q', RLIMIT_MSGQUEUE, 1, "message queues (bytes)"},
                                            {'s', RLIMIT_STACK, 1024, "stack (KiB)"},
                                            {'t', RLIMIT_CPU, 1, "CPU time (s)"},
                                            {'u', RLIMIT_NPROC, 1, "processes"},
                                            {'v', RLIMIT_AS, 1024, "virtual memory (KiB)"}}};

std::string limit_text(const Limit& limit, bool hard) {
  rlimit now{};
  ::getrlimit(limit.resource, &now);
  const rlim_t value = hard ? now.rlim_max : now.rlim_cur;
  return value == RLIM_INFINITY ? "unlimited" : fmt::format("{}", value / limit.unit);
}

void set_limit(const Limit& limit, const std::string& text, bool hard, bool soft) {
  rlimit now{};
  ::getrlimit(limit.resource, &now);
  rlim_t value = RLIM_INFINITY;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text == "hard")
    value = now.rlim_max;
  else if (text == "soft")
    value = now.rlim_cur;
  else if (text != "unlimited" && (text.empty() || end.ptr != text.data() + text.size()))
    throw std::runtime_error(fmt::format("ulimit: {}: neither a number nor unlimited", text));
  else if (text != "unlimited")
    value *= limit.unit;
  if (hard) now.rlim_max = value;
  if (soft) now.rlim_cur = value;
  if (::setrlimit(limit.resource, &now) < 0)
    throw std::runtime_error(fmt::format("ulimit: {} of {}: {}", text, limit.name, std::strerror(errno)));
}

}  // namespace

int builtin_umask(Shell&, const std::vector<std::string>& argv) {
  if (argv.size() < 2) {
    const mode_t mask = ::umask(077);
    ::umask(mask);
    say(fmt::format("{:04o}\n", mask));
    return 0;
  }
  unsigned mask = 0;
  const std::string& text = argv[1];
  const auto end = std::from_chars(text.data(), text.data() + text.size(), mask, 8);
  if (text.empty() || end.ptr != text.data() + text.size() || mask > 0777)
    throw std::runtime_error(fmt::format("umask: {}: must be an octal number up to 777", text));
  ::umask(mask);
  return 0;
}

int builtin_ulimit(Shell&, const std::vector<std::string>& argv) {
  bool hard = false, soft = false, all = false;
  const Limit* wanted = &kLimits[3];
  std::size_t i = 1;
  for (; i < argv.size() && argv[i].size() > 1 && argv[i][0] == '-'; ++i)
    for (const char letter : argv[i].substr(1)) {
      const Limit* found = nullptr;
      for (const Limit& limit : kLimits)
        if (limit.letter == letter) found = &limit;
      if (letter == 'H') {
        hard = true;
      } else if (letter == 'S') {
        soft = true;
      } else if (letter == 'a') {
        all = true;
      } else if (found != nullptr) {
        wanted = found;
      } else {
        throw std::runtime_error(fmt::format("ulimit: -{}: no such option", letter));
      }
    }
  if (all) {
    for (const Limit& limit : kLimits)
      say(fmt::format("-{}  {:<24}{}\n", limit.letter, limit.name, limit_text(limit, hard)));
  } else if (i < argv.size()) {
    set_limit(*wanted, argv[i], hard || !soft, soft || !hard);
  } else {
    say(limit_text(*wanted, hard) + "\n");
  }
  return 0;
}

}  // namespace drover::shell
