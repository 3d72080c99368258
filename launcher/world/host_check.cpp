#include "launcher/world/host_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <span>
#include <sstream>
#include <string_view>

#include "ckpt/sys/error.h"
#include "ckpt/sys/unique_fd.h"
#include "launcher/world/network.h"

namespace drover {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kAtOnce = 64;  // hosts that are asked side by side
constexpr auto kLookInterval = std::chrono::milliseconds(10);
constexpr std::size_t kMostText = 64 * 1024;                 // of one host
constexpr std::size_t kMostNames = 8;                        // of further hosts in one line
constexpr std::string_view kNoOrted = "orted-is-missing: ";  // said by the command on the host

struct Advice {
  std::string_view words;   // what ssh says
  std::string_view advice;  // {0}: the host
};
// The first that fits, in this order: an unknown host key is refused with two of these.
constexpr std::array<Advice, 9> kAdvice = {{
    {"Could not resolve", "correct the name in the hostfile, or make it known to DNS or /etc/hosts"},
    {"Host key verification failed", "log in once by hand to accept its key: ssh {0}"},
    {"Permission denied",
     "ssh must log in without a question: ssh-copy-id {0}, then try: ssh -o BatchMode=yes {0} true"},
    {"Connection refused", "start sshd there, or take the host out of the hostfile"},
    {"timed out", "is it up, and does its firewall let ssh through?"},
    {"No route to host", "is it up, and does its firewall let ssh through?"},
    {"unreachable", "is it up, and on a network that this host reaches?"},
    {"onnection closed", "its sshd ended the connection: see its log, and try: ssh {0} true"},
    {"onnection reset", "its sshd ended the connection: see its log, and try: ssh {0} true"},
}};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    line.erase(line.find_last_not_of(" \t\r.") + 1);
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// The first line that holds the words, else empty.
std::string line_with(const std::vector<std::string>& lines, std::string_view words) {
  for (const std::string& line : lines)
    if (line.find(words) != std::string::npos) return line;
  return {};
}

std::string explain_ssh(const std::string& host, const std::vector<std::string>& lines) {
  for (const Advice& advice : kAdvice)
    if (const std::string line = line_with(lines, advice.words); !line.empty())
      return fmt::format("{}: {}; {}", host, line, fmt::format(fmt::runtime(advice.advice), host));
  return fmt::format("{}: {}; try: ssh -o BatchMode=yes {} true", host,
                     lines.empty() ? "ssh failed and gave no reason" : lines.back(), host);
}

std::string quote(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Runs on the host, in whatever shell the user has there.
std::string question(const WorldOptions& options, const std::string& mpirun, const std::string& droverd) {
  std::string script;
  if (const char* path = std::getenv("LD_LIBRARY_PATH"))
    script += fmt::format("export LD_LIBRARY_PATH={}; ", quote(path));
  const std::string orted = std::filesystem::path(mpirun).parent_path() / "orted";
  script += fmt::format("test -x {0} || {{ echo {1}; exit 127; }}; {2} --version", quote(orted),
                        quote(std::string(kNoOrted) + orted), quote(droverd));
  if (!options.network.empty()) script += fmt::format(" && {} --check-net {}", quote(droverd), quote(options.network));
  return "exec sh -c " + quote(script);
}

// What mpirun would use, with the user's own settings before ours. Empty where a batch system starts its daemons.
std::vector<std::string> agent_of(const WorldOptions& options) {
  std::string agent = "ssh", arguments;
  for (const auto& [name, value] : agent_settings(options)) {
    const char* own = std::getenv(name.c_str());
    if (name == "OMPI_MCA_plm_rsh_agent") agent = own != nullptr ? own : value;
    if (name == "OMPI_MCA_plm_rsh_args") arguments = own != nullptr ? own : value;
  }
  const char* own = std::getenv("OMPI_MCA_plm_rsh_agent");
  if (own != nullptr) agent = own;
  if (own == nullptr && options.agent.empty() &&
      (std::getenv("SLURM_JOB_ID") != nullptr || std::getenv("PE_HOSTFILE") != nullptr))
    return {};
  return words_of(agent + " " + arguments);
}

// One host being asked. Its destructor leaves no process behind.
class Question {
 public:
  Question(const std::vector<std::string>& agent, const std::string& host, const std::string& command) {
    answer.host = host;
    std::vector<std::string> words = agent;
    words.insert(words.end(), {host, command});
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    int pipe[2];
    check(::pipe2(pipe, O_CLOEXEC), "pipe");
    reading_.reset(pipe[0]);
    check(::fcntl(reading_.get(), F_SETFL, O_NONBLOCK), "fcntl", "pipe");
    const UniqueFd writing(pipe[1]), null(check(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open", "/dev/null"));
    pid_ = check(::fork(), "fork");
    if (pid_ == 0) {
      ::setpgid(0, 0);
      ::dup2(null.get(), STDIN_FILENO);
      ::dup2(writing.get(), STDOUT_FILENO);
      ::dup2(writing.get(), STDERR_FILENO);
      ::execvp(argv[0], argv.data());
      ::_exit(255);
    }
    ::setpgid(pid_, pid_);
  }
  Question(Question&& other) noexcept
      : answer(std::move(other.answer)), reading_(std::move(other.reading_)), pid_(std::exchange(other.pid_, -1)) {}
  ~Question() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  bool open() const { return pid_ > 0; }
  // Reads what is there, without waiting. The exit is the end, not the pipe's: an ssh that ControlPersist leaves behind
  // may hold that open.
  void look() {
    int status = 0;
    const bool ended = open() && ::waitpid(pid_, &status, WNOHANG) == pid_;
    std::array<char, 4096> buffer;
    for (ssize_t n = 0; (n = ::read(reading_.get(), buffer.data(), buffer.size())) > 0;)
      if (answer.text.size() < kMostText) answer.text.append(buffer.data(), static_cast<std::size_t>(n));
    if (!ended) return;
    pid_ = -1;
    answer.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  }

  HostAnswer answer;

 private:
  UniqueFd reading_;
  pid_t pid_ = -1;
};

std::vector<HostAnswer> ask(std::span<const std::string> hosts, const std::vector<std::string>& agent,
                            const std::string& command, std::chrono::seconds longest,
                            const volatile std::sig_atomic_t& stop) {
  std::vector<Question> questions;
  questions.reserve(hosts.size());
  for (const std::string& host : hosts) questions.emplace_back(agent, host, command);
  const auto deadline = Clock::now() + longest;
  const auto open = [&] { return std::any_of(questions.begin(), questions.end(), std::mem_fn(&Question::open)); };
  while (open() && Clock::now() < deadline && stop == 0) {
    ::poll(nullptr, 0, static_cast<int>(kLookInterval.count()));
    for (Question& question : questions) question.look();
  }
  std::vector<HostAnswer> answers;
  for (Question& question : questions) {
    if (question.open()) question.answer.exit_code = -1;
    answers.push_back(std::move(question.answer));
  }
  return answers;
}

}  // namespace

std::string explain_answer(const HostAnswer& answer, const std::string& droverd, const std::string& version) {
  const auto lines = lines_of(answer.text);
  const std::string& host = answer.host;
  if (answer.exit_code < 0)
    return fmt::format("{}: no answer; is it up, and does this work: ssh -o BatchMode=yes {} true", host, host);
  if (answer.exit_code == 255) return explain_ssh(host, lines);
  if (const std::string line = line_with(lines, kNoOrted); !line.empty())
    return fmt::format("{}: {}: not found; install Open MPI there as here: apt install openmpi-bin", host,
                       line.substr(line.find(kNoOrted) + kNoOrted.size()));
  if (const std::string line = line_with(lines, "shared librar"); !line.empty())
    return fmt::format("{}: {}; install the library there, or set LD_LIBRARY_PATH where you type drover up", host,
                       line);
  if (answer.exit_code == 126 || answer.exit_code == 127)
    return fmt::format("{}: {}: {}; install Drover there at the same path as here", host, droverd,
                       answer.exit_code == 126 ? "can't be run" : "not found");
  if (const std::string line = line_with(lines, "droverd: --net "); !line.empty())
    return fmt::format("{}: {}", host, line.substr(line.find("--net ")));
  const std::string line = line_with(lines, "droverd ");
  if (answer.exit_code != 0 || line.empty())
    return fmt::format("{}: {} --version failed: {}; install the same Drover on every node", host, droverd,
                       lines.empty() ? fmt::format("exit code {}", answer.exit_code) : lines.back());
  const std::string theirs = line.substr(line.find("droverd ") + 8);
  if (theirs == version) return {};
  return fmt::format("{}: its droverd is version {}, this host's {}; install the same Drover on every node", host,
                     theirs, version);
}

std::string fault_of_hosts(const WorldOptions& options, const std::string& mpirun, const std::string& droverd,
                           std::chrono::seconds longest, const volatile std::sig_atomic_t& stop) {
  const auto agent = agent_of(options);
  const std::string command = question(options, mpirun, droverd);
  std::vector<std::string> hosts, others;
  for (const Host& host : options.hosts)  // mpirun starts its ranks on this host without ssh
    if (!agent.empty() && !is_this_host(host.name)) hosts.push_back(host.name);
  std::string first;
  for (std::size_t begin = 0; begin < hosts.size() && stop == 0; begin += kAtOnce) {
    const std::span<const std::string> some(hosts.data() + begin, std::min(kAtOnce, hosts.size() - begin));
    for (const HostAnswer& answer : ask(some, agent, command, longest, stop)) {
      const std::string fault = explain_answer(answer, droverd, DROVER_VERSION);
      if (!fault.empty() && !first.empty()) others.push_back(answer.host);
      if (first.empty()) first = fault;
    }
  }
  if (stop != 0) return {};
  if (others.size() > kMostNames) {
    const std::size_t more = others.size() - kMostNames;
    others.resize(kMostNames);
    others.push_back(fmt::format("{} more", more));
  }
  if (!others.empty()) first += fmt::format(" (faults also on {})", fmt::join(others, ", "));
  return first;
}

}  // namespace drover
