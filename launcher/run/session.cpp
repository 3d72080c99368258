#include "launcher/run/session.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "ckpt/sys/error.h"

namespace drover {

namespace {

constexpr auto kRetryInterval = std::chrono::milliseconds(100);
constexpr auto kSilentFor = std::chrono::seconds(2);  // a new world is usually there sooner
constexpr std::uint64_t kMostUnwritten =
    1024 * 1024;  // beyond it the socket is not read: a bound on a droverd that ignores windows
constexpr auto kTerminalRecheck = std::chrono::milliseconds(500);

std::size_t index_of(Stream stream) { return static_cast<std::size_t>(stream) - 1; }

}  // namespace

RunSession::RunSession(InstancePaths paths, Options options)
    : paths_(std::move(paths)),
      options_(std::move(options)),
      wake_(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  outputs_[0].emplace(STDOUT_FILENO, wake_.get());
  outputs_[1].emplace(STDERR_FILENO, wake_.get());
  if (options_.detach_keys) terminal_.emplace(*options_.detach_keys);
}

int RunSession::run(Json spec) {
  client_ = Client::connect(paths_, options_.at);
  spec["attached"] = true;
  if (terminal_) spec.update(LocalTerminal::size());
  spec["piped"] = options_.pipe_fd >= 0;
  client_->send_request({{"op", "run"}, {"spec", std::move(spec)}});
  return follow();
}

int RunSession::attach(long job) {
  job_ = job;
  new_viewer_ = true;
  client_ = Client::connect(paths_, options_.at);
  client_->send_request(attach_request());
  return follow();
}

int RunSession::follow() {
  while (!exit_ || !all_written()) step();
  if (terminal_) terminal_->leave();
  if (leave_ && !leave_->hang_up) fmt::print(stderr, "drover: detached; drover attach {}\n", job_);
  if (!reason_.empty()) fmt::print(stderr, "drover: job {}: {}\n", job_, reason_);
  return *exit_;
}

bool RunSession::all_written() const {
  return std::all_of(outputs_.begin(), outputs_.end(), [](const auto& o) { return o->settled() == o->pushed(); });
}

void RunSession::step() {
  const bool connected = client_ && !exit_;
  const bool take_more = std::all_of(outputs_.begin(), outputs_.end(),
                                     [](const auto& o) { return o->pushed() - o->settled() < kMostUnwritten; });
  const bool read_input = connected && attached_ && input_.wants_input();
  const bool may_read = read_input && stdin_may_be_read();
  const bool read_pipes = connected && attached_ && options_.pipe_fd >= 0 && pipe_.wants_input();
  std::array<pollfd, 5> fds = {pollfd{signals_.fd(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0},
                               pollfd{connected ? client_->connection().fd() : -1, 0, 0},
                               pollfd{may_read ? STDIN_FILENO : -1, POLLIN, 0},
                               pollfd{read_pipes ? options_.pipe_fd : -1, POLLIN, 0}};
  if (take_more) fds[2].events |= POLLIN;
  if (attached_ && (input_.has_outgoing() || pipe_.has_outgoing())) fds[2].events |= POLLOUT;
  const bool look_again = (read_input && !may_read) || (terminal_ && terminal_->keys().is_waiting());
  const int timeout = look_again ? static_cast<int>(kTerminalRecheck.count()) : -1;
  if (::poll(fds.data(), fds.size(), timeout) < 0) {
    if (errno == EINTR) return;
    throw SystemError("poll", "", errno);
  }
  while (const auto signal = signals_.take()) on_signal(*signal);
  std::uint64_t count = 0;
  if ((fds[1].revents & POLLIN) != 0) [[maybe_unused]]
    const ssize_t ignored = ::read(wake_.get(), &count, sizeof count);
  if (!connected) return;
  try {
    if ((fds[3].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0) read_stdin();
    if ((fds[4].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0) read_pipe();
    if ((fds[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read_socket();
    if (waiting_ && !exit_) send_signals();
    if (attached_ && !exit_) {
      send_signals();
      send_acks();
      if ((fds[2].revents & POLLOUT) != 0) send_stdin();
      if (terminal_) send_terminal_words();
      if (job_stopped_ && all_written()) stop_with_job();
    }
  } catch (const NoDroverd&) {
    reconnect();
  }
}

// Reading a terminal from the background would stop us (SIGTTIN); the program may not even want its input.
bool RunSession::stdin_may_be_read() const {
  const pid_t foreground = ::tcgetpgrp(STDIN_FILENO);
  return foreground < 0 || foreground == ::getpgrp();
}

void RunSession::read_stdin() {
  std::array<char, kMaxStreamBytes> bytes;
  const ssize_t n = ::read(STDIN_FILENO, bytes.data(), std::min(bytes.size(), input_.room()));
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (terminal_) return take_keys({bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))});
  if (n <= 0) return input_.end();  // closed, or a descriptor that can't be read
  input_.append({bytes.data(), static_cast<std::size_t>(n)});
}

void RunSession::read_pipe() {
  std::array<char, kMaxStreamBytes> bytes;
  const ssize_t n = ::read(options_.pipe_fd, bytes.data(), std::min(bytes.size(), pipe_.room()));
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) return pipe_.end();
  pipe_.append({bytes.data(), static_cast<std::size_t>(n)});
}

void RunSession::read_socket() {
  bool open = false;
  try {
    open = client_->connection().fill();
  } catch (const SystemError&) {
  }
  while (auto frame = client_->connection().buffered()) {
    on_frame(*frame);
    if (exit_) return;
  }
  if (!open) throw NoDroverd(fmt::format("node {}: its droverd went away", client_->node()));
}

void RunSession::on_frame(const Frame& frame) {
  switch (static_cast<ClientMessage>(frame.type)) {
    case ClientMessage::Reply:
      return on_reply(frame);
    case ClientMessage::Item:
      return on_notice(Json::parse(frame.payload, nullptr, false));
    case ClientMessage::Data:
      return on_output(decode_stream_message(frame.payload));
    case ClientMessage::Ack: {
      const StreamMessage ack = decode_stream_message(frame.payload);
      return (ack.stream == Stream::Pipe ? pipe_ : input_).acknowledge(ack.offset);
    }
    case ClientMessage::End:
      if (decode_stream_message(frame.payload).stream == Stream::Stdin) input_.close();
      return;
    default:
      return;  // of a later version
  }
}

// It has to wait before it can start, and can be cancelled meanwhile; or it is started anew.
void RunSession::on_notice(const Json& notice) {
  if (notice.is_object() && notice.contains("notice"))
    return fmt::print(stderr, "drover: job {}: {}\n", job_, notice.value("notice", ""));
  if (attached_ || !notice.is_object() || !notice.contains("job")) return;
  know_job(notice.at("job").get<long>());
  waiting_ = true;
  fmt::print(stderr, "drover: job {} {}\n", job_, notice.value("why", "waits"));
}

void RunSession::on_reply(const Frame& frame) {
  Json reply;
  try {
    reply = Client::parse_reply(frame);
  } catch (const RequestError& error) {
    if (error.code() != "cancelled" || last_signal_ == 0) throw;
    exit_ = 128 + last_signal_;
    return;
  }
  waiting_ = false;
  if (attached_) {
    exit_ = reply.at("exit").get<int>();
    reason_ = reply.value("reason", "");
    return;
  }
  attached_ = true;
  know_job(reply.value("job", job_));
  if (terminal_) return on_terminal_reply(reply);
  if (reply.contains("stdin")) input_.rewind(reply.at("stdin").get<std::uint64_t>());
}

void RunSession::know_job(long job) {
  if (job != job_ && options_.on_job) options_.on_job(job);
  job_ = job;
}

void RunSession::on_output(const StreamMessage& data) {
  if (data.stream != Stream::Stdout && data.stream != Stream::Stderr)
    throw ProtocolError("data for stdin from droverd");
  const std::size_t index = index_of(data.stream);
  if (data.offset > position(index)) {
    if (!terminal_) throw ProtocolError(fmt::format("output from {} to {} is missing", position(index), data.offset));
    base_[index] += data.offset - position(index);  // of somebody who looks on; the program draws it again
  }
  const std::uint64_t known = position(index) - data.offset;
  if (known >= data.bytes.size()) return;
  if (terminal_) terminal_->shows(data.bytes.substr(known));
  if (!options_.stop_mark.empty()) look_for_stop(data.bytes.substr(known));
  outputs_[index]->push(data.bytes.substr(known));
}

void RunSession::on_signal(int signal) {
  if (terminal_ ? on_terminal_signal(signal) : signal == SIGWINCH) return;
  if (exit_) ::_exit(128 + signal);  // the job has ended and somebody does not read our output
  if (signal != SIGTSTP && signal != SIGCONT && pending_signals_.size() >= 3) {
    fmt::print(stderr, "drover: job {}: no droverd takes the signal; the job is left alone\n", job_);
    ::_exit(128 + signal);
  }
  pending_signals_.push_back(signal);
}

void RunSession::send(ClientMessage type, std::string_view payload) {
  try {
    client_->connection().send(static_cast<std::uint16_t>(type), payload);
  } catch (const SystemError& error) {
    throw NoDroverd(fmt::format("node {}: its droverd went away ({})", client_->node(), error_text(error.error())));
  }
}

void RunSession::send_signals() {
  if (!sent_sigpipe_ && (outputs_[0]->broken() || outputs_[1]->broken())) {
    sent_sigpipe_ = true;
    pending_signals_.push_back(SIGPIPE);
  }
  while (!pending_signals_.empty()) {
    const int signal = pending_signals_.front();
    client_->send_request({{"op", "signal"}, {"signal", signal}});
    last_signal_ = signal;
    pending_signals_.pop_front();
    if (signal == SIGTSTP && options_.stop_mark.empty())
      ::kill(::getpid(), SIGSTOP);  // as the shell expects of Ctrl-Z; its SIGCONT is then forwarded
  }
}

void RunSession::send_acks() {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const std::uint64_t settled = base_[i] + outputs_[i]->settled();
    if (settled == acked_[i]) continue;
    acked_[i] = settled;
    send(ClientMessage::Ack, encode_stream_message({static_cast<Stream>(i + 1), settled, {}}));
  }
}

void RunSession::send_stdin() {
  if (const auto outgoing = input_.take_outgoing()) send(outgoing->type, encode_stream_message(outgoing->message));
  auto piped = options_.pipe_fd >= 0 ? pipe_.take_outgoing() : std::nullopt;
  if (!piped) return;
  piped->message.stream = Stream::Pipe;
  send(piped->type, encode_stream_message(piped->message));
}

Json RunSession::attach_request() const {
  Json request = {{"op", "attach"}, {"job", job_}};
  if (!new_viewer_) request["received"] = {position(0), position(1)};
  if (terminal_) request.update(LocalTerminal::size());
  if (options_.pipe_fd >= 0) request["piped"] = true;
  return request;
}

// The world was replaced, or is being: finds the new droverd and takes the streams up where they were.
void RunSession::reconnect() {
  const std::string node = client_->node();
  client_.reset();
  if (job_ < 0)
    throw NoDroverd(
        fmt::format("node {}: its droverd went away while the job was being started; see: drover ps --all", node));
  attached_ = false;
  acked_ = {};  // a new droverd may have missed the last ones
  const auto broken_at = Clock::now();
  bool told = false;
  while (!try_attach(broken_at)) {
    const auto waited = Clock::now() - broken_at;
    if (waited > options_.give_up_after)
      throw NoDroverd(fmt::format("job {}: no droverd on this host for {} s; when one is up again: drover ps", job_,
                                  options_.give_up_after.count()));
    if (waited > kSilentFor && !std::exchange(told, true)) {
      if (terminal_) terminal_->leave();  // nobody takes the keys: they are signals again
      fmt::print(stderr, "drover: job {}: droverd of {} went away; waiting for a new one (at most {} s)\n", job_, node,
                 options_.give_up_after.count());
    }
    pause_for_signals(kRetryInterval);
  }
}

bool RunSession::try_attach(Clock::time_point broken_at) {
  try {
    client_ = Client::connect(paths_, options_.at);
    client_->send_request(attach_request());
    while (!attached_) {
      pollfd wait{client_->connection().fd(), POLLIN, 0};
      if (::poll(&wait, 1, static_cast<int>(kTerminalRecheck.count())) > 0) read_socket();
      while (const auto signal = signals_.take()) on_signal(*signal);
    }
    return true;
  } catch (const NoDroverd&) {
  } catch (const RequestError& error) {
    const bool unknown = error.code() == "no-such-job";
    if (!unknown && error.code() != "unavailable") throw;
    if (unknown && Clock::now() - broken_at > options_.unknown_job_grace) throw;
  }
  client_.reset();
  attached_ = false;
  return false;
}

void RunSession::pause_for_signals(std::chrono::milliseconds longest) {
  pollfd wait{signals_.fd(), POLLIN, 0};
  ::poll(&wait, 1, static_cast<int>(longest.count()));
  while (const auto signal = signals_.take()) on_signal(*signal);
}

}  // namespace drover
