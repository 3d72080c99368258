// Init's part for the job's processes and their streams.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "ckpt/sys/error.h"
#include "runtime/control/clock.h"
#include "runtime/migrate/register.h"
#include "runtime/shepherd/init.h"
#include "runtime/shepherd/program.h"

namespace drover::shepherd {

namespace {
constexpr std::size_t kChunkBytes = 60 * 1024;        // fits one control message between ranks with its header
constexpr std::size_t kMaxLinkBacklog = 1024 * 1024;  // beyond it output waits here instead of in the socket's queue
}  // namespace

void Init::use_pipes() {
  input_ = std::make_unique<InputStream>();
  for (auto& stream : output_) stream = std::make_unique<OutputStream>();
}

// Both of the program's outputs are one, and the second stream has ended before it began.
void Init::use_terminal(JobTerminal terminal) {
  terminal_.emplace(std::move(terminal));
  input_ = std::make_unique<InputStream>(terminal_->copy_of_master());
  output_[0] = std::make_unique<OutputStream>(terminal_->copy_of_master(), terminal_->open_slave());
  output_[1] = std::make_unique<OutputStream>();
  output_[1]->close_job_end();
}

void Init::start(Start&& order) {
  if (stage_ != Stage::Empty) return;
  facts_ = order.facts;
  stage_ = Stage::Starting;
  try {
    if (facts_.terminal)
      use_terminal(JobTerminal(WindowSize{order.spec.rows, order.spec.columns}));
    else
      use_pipes();
    if (facts_.piped) pipe_ = std::make_unique<InputStream>();
  } catch (const SystemError& error) {
    stage_ = Stage::Ended;  // droverd answers with EndedAck
    return tell(Type::StartFailed, StartFailed{error.error(), "make", "its terminal", false});
  }
  ProgramStreams streams{input_->job_end(), output_[0]->job_end(), output_[1]->job_end()};
  if (terminal_) streams.in = streams.err = streams.out;
  if (pipe_) streams.in = pipe_->job_end();
  std::function<void()> before = [] {};
  if (order.claim)
    before = [this] {
      const Owner owner = claim_ownership(job_dir(), facts_.epoch, {hello_.node, "start at " + hello_.node});
      if (owner.node != hello_.node) throw LostRegister{owner.node};
    };
  const auto started = start_program(order.spec, streams, hello_.cpus, before);
  root_ = started.pid;
  start_report_.reset(started.report);
  loop_.watch(start_report_.get(), EPOLLIN, [this](std::uint32_t) { on_start_report(); });
}

void Init::on_start_report() {
  char bytes[4096];
  const ssize_t n = ::read(start_report_.get(), bytes, sizeof bytes);
  if (n < 0 && errno == EINTR) return;
  if (n > 0) {
    start_report_bytes_.append(bytes, static_cast<std::size_t>(n));
    return;
  }
  loop_.forget(start_report_.get());
  start_report_.reset();
  if (!start_report_bytes_.empty()) {
    tell(Type::StartFailed, unpack<StartFailed>(start_report_bytes_));
    stage_ = Stage::Ended;  // droverd answers with EndedAck
    return;
  }
  for (auto& stream : output_) stream->close_job_end();
  facts_.started_ns = facts_.arrived_ns = realtime_ns();
  stage_ = Stage::Running;
  tell(Type::Started, Started{root_, facts_.started_ns});
  tell(Type::Welcome, describe());
  watch_streams();
  feed_input();
  if (root_dead_) on_root_exit(root_status_);
}

static bool catches(pid_t pid, int signo) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("SigCgt:", 0) == 0) return (std::stoull(line.substr(7), nullptr, 16) >> (signo - 1) & 1U) != 0;
  return false;
}

void Init::deliver(int signo) {
  // KILL ends one that is held; once is enough of others, as it would be to the kernel.
  if (frozen_ || (is_held() && signo != SIGKILL)) {
    const bool known = std::find(held_signals_.begin(), held_signals_.end(), signo) != held_signals_.end();
    if (!known || signo >= SIGRTMIN) held_signals_.push_back(signo);
    return;
  }
  if (root_ <= 0 || root_dead_) return;
  // What the keys of a terminal send goes to its foreground; a hang-up to everyone who matters.
  const pid_t foreground = terminal_ ? terminal_->foreground_group() : 0;
  const bool from_keys = signo == SIGINT || signo == SIGQUIT || signo == SIGTSTP;
  if (foreground != 0 && foreground != root_ && (from_keys || signo == SIGHUP)) {
    ::kill(-foreground, signo);
    if (from_keys) return;
  }
  // A job leads a session of its own, so that its group is orphaned and the kernel ignores the default action of TSTP
  // (POSIX, 2.4.3): a program that has no handler for it is stopped in the plain way.
  if (signo == SIGTSTP && !catches(root_, SIGTSTP)) signo = SIGSTOP;
  // KILL means the whole job; anything else goes where a terminal would send it, to the first process's group.
  if (signo == SIGKILL) return kill_all();
  if (::kill(-root_, signo) < 0) ::kill(root_, signo);
}

void Init::kill_all() {
  all_killed_ = true;
  if (namespaces_) {
    ::kill(-1, SIGKILL);  // everyone in the namespace but its PID 1
    return;
  }
  // Without a namespace: the job's group, and whoever was reparented to us (we are their subreaper).
  if (root_ > 0 && !root_dead_) ::kill(-root_, SIGKILL);
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    std::ifstream children(task.path() / "children");
    for (pid_t child = 0; children >> child;)
      if (child != worker_ && child != settler_) ::kill(child, SIGKILL);
  }
  if (is_held() && worker_ > 0) ::kill(worker_, SIGKILL);  // else nobody hears of the end of those it traces
}

void Init::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) break;
    if (pid == worker_) {
      worker_ = 0;
      on_worker_exit();
    } else if (pid == settler_) {
      settler_ = 0;
      const bool ours = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      if (stage_ == Stage::Restoring) {
        tell(Type::HandedBack, Text{"the restore here failed after READY"});
        done_ = true;
      } else if (ours) {
        past_end_ = false;
        stage_ = Stage::Running;
        if (root_dead_) on_root_exit(root_status_);
      } else {
        tell(Type::MovedAway, held_signals_);
        done_ = true;
      }
    } else if (pid == root_ && !root_dead_) {
      root_dead_ = true;
      root_status_ = status;
      if (stage_ == Stage::Running || is_held()) on_root_exit(status);
    } else if (stage_ == Stage::Restoring) {
      ended_early_[pid] = status;
    }
  }
}

void Init::on_root_exit(int wait_status) {
  stage_ = Stage::Ended;
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const auto nanoseconds = [](const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(time.tv_usec) * 1000;
  };
  ended_ = Ended{wait_status, facts_.cpu_ns + nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime),
                 static_cast<std::uint64_t>(usage.ru_maxrss), realtime_ns()};
  // A job is its first process's tree: what it leaves behind ends with it, as a batch system's step does.
  kill_all();
  if (terminal_) stop_terminal();
  for (const int stream : {0, 1}) drain_output(stream);
  report_end_if_drained();
}

// From here on whatever still has the slave is about to end, and then the master says so. It says so for ever: the
// input must not be watched.
void Init::stop_terminal() {
  if (streams_watched_ && input_->own_end() >= 0) loop_.forget(input_->own_end());
  input_->close();
  output_[0]->close_slave();
}

// The end is reported after the last byte of output, so that the origin has everything when it hears of it.
void Init::report_end_if_drained() {
  if (!ended_ || end_told_ || !link_) return;
  for (const std::size_t stream : {0U, 1U})
    if (output_[stream] && sent_[stream] < output_[stream]->total()) return;
  end_told_ = true;
  tell(Type::Ended, *ended_);
}

void Init::watch_streams() {
  streams_watched_ = true;
  for (const int stream : {0, 1}) drain_output(stream);
  for (const std::uint8_t stream : {std::uint8_t{0}, kPipeStream})
    if (const InputStream* input = input_of(stream); input != nullptr && input->own_end() >= 0)
      loop_.watch(input->own_end(), 0, [this, stream](std::uint32_t) { feed(stream); });
}

void Init::feed_input() {
  for (const std::uint8_t stream : {std::uint8_t{0}, kPipeStream}) feed(stream);
}

void Init::feed(std::uint8_t stream) {
  InputStream* const input = input_of(stream);
  if (frozen_ || input == nullptr) return;
  const int fd = input->own_end();
  if (fd < 0) return;
  const bool more = input->pump();
  if (input->own_end() < 0) {
    loop_.forget(fd);
  } else if (streams_watched_) {
    // A pipe without room is not worth waiting for when nothing is left to write.
    loop_.change(fd, more ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
  }
  // Acknowledged is what we hold; the window keeps that bounded.
  if (input->received() - input->consumed() < kStreamWindow)
    tell(Type::InputAck, Mark{stream, input->received()});
  else
    loop_.after(std::chrono::milliseconds(2), [this, stream] { feed(stream); });
}

void Init::drain_output(int stream) {
  const auto index = static_cast<std::size_t>(stream);
  OutputStream& output = *output_[index];
  if (frozen_) return;
  output.pump(stage_ == Stage::Ended);
  // A full stream is forgotten and not merely masked: epoll reports a hang-up whatever the mask says, and would spin.
  const bool wanted = streams_watched_ && !output.ended() && !output.full();
  if (wanted != output_watched_[index]) {
    output_watched_[index] = wanted;
    if (wanted)
      loop_.watch(output.own_end(), EPOLLIN, [this, stream](std::uint32_t) { drain_output(stream); });
    else
      loop_.forget(output.own_end());
  }
  send_output(stream);
}

void Init::send_output(int stream) {
  const auto index = static_cast<std::size_t>(stream);
  if (!output_[index] || !link_ || frozen_ || stage_ == Stage::Restoring) return;
  OutputStream& output = *output_[index];
  while (sent_[index] < output.total() && link_->backlog_bytes() < kMaxLinkBacklog) {
    const auto bytes = output.from(sent_[index], kChunkBytes);
    tell(Type::Output, Chunk{static_cast<std::uint8_t>(stream + 1), sent_[index], std::string(bytes)});
    sent_[index] += bytes.size();
  }
  if (output.ended() && sent_[index] == output.total() && !output_end_told_[index]) {
    output_end_told_[index] = true;
    tell(Type::OutputEnd, Mark{static_cast<std::uint8_t>(stream + 1), output.total()});
  }
  report_end_if_drained();
}

}  // namespace drover::shepherd
