#include "launcher/job_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "launcher/shell/leader.h"

namespace drover {

using Json = nlohmann::json;

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// $'...' is the one way of bash, ksh and zsh to write a newline on one line.
std::string quoted_with_escapes(const std::string& word) {
  std::string out = "$'";
  for (const char c : word) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (is_control(c))
      out += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    else
      out += c == '\'' || c == '\\' ? std::string{'\\', c} : std::string{c};
  }
  return out + "'";
}

std::string shell_word(const std::string& word) {
  static constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_";
  if (std::any_of(word.begin(), word.end(), is_control)) return quoted_with_escapes(word);
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? R"('\'')" : std::string{c};
  return out + "'";
}

}  // namespace

bool is_final_state(std::string_view state) { return state == "ended" || state == "failed" || state == "lost"; }

std::string state_text(const Json& job) {
  std::string state = job.value("state", "");
  if (state != "ended") return state;
  if (const int signal = job.value("signal", 0); signal != 0) return fmt::format("signal {}", signal);
  return fmt::format("exit {}", job.value("exit", 0));
}

Table::Colour state_colour(const std::string& state_text) {
  if (state_text == "running") return Table::Colour::Green;
  if (state_text == "moving" || state_text == "held" || state_text == "in-doubt") return Table::Colour::Yellow;
  if (state_text == "failed" || state_text == "lost" || state_text.starts_with("signal")) return Table::Colour::Red;
  return Table::Colour::None;
}

std::string name_text(const Json& job) {
  const std::string name = job.value("name", "");
  return job.value("array", 0L) == 0 ? name : fmt::format("{}[{}]", name, job.value("index", 0L));
}

std::string attempt_text(const Json& job) {
  return fmt::format("attempt {} of {}", job.value("attempt", 1), job.value("attempts", 1));
}

std::string why_text(const Json& job) {
  if (auto error = job.value("error", ""); !error.empty()) return error;
  const std::string pinned = job.value("pinned", "");
  const std::string why = pinned.empty() ? job.value("why", "") : "pinned: " + pinned;
  return job.value("attempt", 1) > 1 ? fmt::format("{}: {}", attempt_text(job), why) : why;
}

double run_seconds(const Json& job) {
  const auto begin_ns = job.value("started_ns", std::uint64_t{0});
  auto end_ns = job.value("ended_ns", std::uint64_t{0});
  if (begin_ns == 0) return 0;
  if (end_ns == 0)
    end_ns = static_cast<std::uint64_t>(
        std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count());
  return end_ns > begin_ns ? static_cast<double>(end_ns - begin_ns) / kNsPerSecond : 0;
}

std::string shell_command(const std::vector<std::string>& argv) {
  std::string out;
  for (const std::string& word : argv) out += (out.empty() ? "" : " ") + shell_word(word);
  return out;
}

std::string command_text(const Json& job) {
  auto argv = job.value("argv", std::vector<std::string>{});
  // Of a shell's job: what leads its terminal's session is nobody's business.
  if (argv.size() > 3 && argv[1] == shell::kLeaderWord) argv.erase(argv.begin(), argv.begin() + 3);
  return shell_command(argv);
}

std::string local_time_text(std::uint64_t time_ns) {
  if (time_ns == 0) return "-";
  return fmt::format("{:%F %T}", fmt::localtime(static_cast<std::time_t>(time_ns / kNsPerSecond)));
}

}  // namespace drover
