#include "runtime/shepherd/init.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "ckpt/sys/error.h"

namespace drover::shepherd {

namespace {

// mpirun waits for everyone who holds its ranks' output: a shepherd must let go of it, or no world would ever end.
void leave_inherited_streams(const std::string& node_dir) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd log(::open((node_dir + "/shepherds.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ::dup2(null.get(), 0);
  ::dup2(log ? log.get() : null.get(), 1);
  ::dup2(log ? log.get() : null.get(), 2);
}

UniqueFd watch_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signo : {SIGCHLD, SIGTERM, SIGHUP, SIGINT}) ::sigaddset(&set, signo);
  check(::sigprocmask(SIG_BLOCK, &set, nullptr), "sigprocmask");
  return UniqueFd(check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

}  // namespace

Init::Init(const SpawnRequest& request, UniqueFd link, bool namespaces)
    : node_dir_(request.node_dir),
      socket_path_(fmt::format("{}/job-{}.{}", request.node_dir, request.job, request.epoch)),
      namespaces_(namespaces),
      signals_(watch_signals()) {
  facts_.job = request.job;
  facts_.epoch = request.epoch;
  ::setsid();
  ::prctl(PR_SET_NAME, "drover-shepherd");
  leave_inherited_streams(node_dir_);
  listen();
  loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    }
    reap();
  });
  use_link(std::move(link));
}

namespace {

// A supervisor gives up after some 40 s in which no world has lived.
constexpr auto kAllocationGrace = std::chrono::seconds(60), kTermGrace = std::chrono::seconds(10);

// A batch system may know its job's processes by their parents alone (Slurm's proctrack/linuxproc), and ours have left
// theirs: what it has not ended by itself must end without it.
bool in_allocation() { return std::getenv("SLURM_JOB_ID") != nullptr || std::getenv("PBS_JOBID") != nullptr; }

}  // namespace

void Init::listen() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path_.size() >= sizeof address.sun_path) throw SystemError("bind", socket_path_, ENAMETOOLONG);
  std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
  listener_.reset(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  ::unlink(socket_path_.c_str());
  check(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind", socket_path_);
  check(::chmod(socket_path_.c_str(), 0600), "chmod", socket_path_);
  check(::listen(listener_.get(), 4), "listen", socket_path_);
  loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_link(); });
}

void Init::accept_link() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (fd) use_link(std::move(fd));
}

// A connection becomes the link when it has said hello with a generation that is not older than the last one's.
void Init::use_link(UniqueFd fd) {
  auto& slot = greeting_.emplace_back();
  auto holder = std::make_shared<FrameSocket*>(nullptr);
  slot = std::make_unique<FrameSocket>(
      loop_, std::move(fd),
      FrameSocket::Handlers{[this, holder](Frame&& frame) { on_frame(**holder, std::move(frame)); },
                            [this, holder](const std::string&) {
                              if (link_.get() == *holder) return link_closed();
                              std::erase_if(greeting_, [&](const auto& socket) { return socket.get() == *holder; });
                            },
                            [this] {
                              for (const int stream : {0, 1}) send_output(stream);
                            }});
  *holder = slot.get();
}

void Init::on_frame(FrameSocket& from, Frame&& frame) {
  try {
    if (frame.type == static_cast<std::uint16_t>(Type::Hello)) return greet(from, unpack<Hello>(frame.payload));
    if (link_.get() == &from) obey(std::move(frame));
  } catch (const ImageError& error) {
    throw ProtocolError(error.what());  // closes this connection; the job is not touched
  }
}

void Init::greet(FrameSocket& from, const Hello& hello) {
  if (hello.generation < hello_.generation) throw ProtocolError("an older generation");
  hello_ = hello;
  if (link_.get() != &from) {
    if (link_) {
      // Its droverd must not take the end of this link for the end of the job.
      tell(Type::Superseded, Text{hello.node});
      link_->flush_blocking();
      retired_.push_back(std::move(link_));
    }
    for (auto& socket : greeting_)
      if (socket.get() == &from) link_ = std::move(socket);
    ++links_;
    std::erase(greeting_, nullptr);
  }
  // What went over an older link may not have arrived; the origin passes over what it has.
  for (const std::size_t stream : {0U, 1U}) {
    sent_[stream] = output_[stream] ? output_[stream]->acked() : 0;
    output_end_told_[stream] = false;
  }
  end_told_ = false;
  tell(Type::Welcome, describe());
  for (const int stream : {0, 1}) send_output(stream);
  report_end_if_drained();
}

Welcome Init::describe() const {
  Welcome welcome;
  welcome.facts = facts_;
  welcome.stage = stage_;
  welcome.root_pid = root_;
  if (input_) welcome.streams.input_received = input_->received();
  if (pipe_) welcome.streams.pipe_received = pipe_->received();
  for (const std::size_t stream : {0U, 1U}) {
    if (!output_[stream]) continue;
    welcome.streams.output_acked[stream] = output_[stream]->acked();
    welcome.streams.output_total[stream] = output_[stream]->total();
  }
  if (!input_) return welcome;
  const int pipes[] = {(pipe_ ? pipe_ : input_)->job_end(), output_[0]->own_end(), output_[1]->own_end()};
  for (std::size_t i = 0; i < 3; ++i) {
    struct stat status {};
    if (::fstat(pipes[i], &status) < 0 || !S_ISFIFO(status.st_mode)) continue;
    welcome.pipe_device = status.st_dev;
    welcome.pipe_inodes[i] = status.st_ino;
  }
  return welcome;
}

void Init::obey(Frame&& frame) {
  const std::string& payload = frame.payload;
  switch (static_cast<Type>(frame.type)) {
    case Type::Start:
      return start(unpack<Start>(payload));
    case Type::Signal:
      return deliver(unpack<std::int32_t>(payload));
    case Type::Input: {
      const auto chunk = unpack<Chunk>(payload);
      InputStream* input = input_of(chunk.stream);
      if (input == nullptr || frozen_) return;
      input->receive(chunk.offset, chunk.bytes);
      return feed(chunk.stream);
    }
    case Type::InputEnd: {
      const auto mark = unpack<Mark>(payload);
      InputStream* input = input_of(mark.stream);
      if (input == nullptr || frozen_) return;
      input->end(mark.offset);
      return feed(mark.stream);
    }
    case Type::OutputAck: {
      const auto mark = unpack<Mark>(payload);
      if (mark.stream != 1 && mark.stream != 2) return;
      auto& stream = output_[mark.stream - 1U];
      if (!stream) return;
      stream->acknowledge(mark.offset);
      return drain_output(mark.stream - 1);
    }
    case Type::Dump:
      return dump(unpack<Dump>(payload));
    case Type::Restore:
      return restore(unpack<Restore>(payload));
    case Type::Hold:
      return hold();
    case Type::Release:
      return release();
    case Type::Checkpoint:
      return checkpoint(unpack<Text>(payload).text, link_->take_fd());
    case Type::StartOfImage:
      return start_of_image(unpack<StartOfImage>(payload), link_->take_fd());
    case Type::FrozenFor:
      facts_.frozen_ns = unpack<std::uint64_t>(payload);
      return;
    case Type::Window:
      // Where it can't be heard now the origin tells it again, when this shepherd says that the job is here.
      if (terminal_ && !frozen_) terminal_->resize(unpack<WindowSize>(payload));
      return;
    case Type::EndedAck:
      if (stage_ == Stage::Ended) done_ = true;
      return;
    case Type::Quit:
      kill_all();
      if (stage_ == Stage::Empty || stage_ == Stage::Restoring || stage_ == Stage::Ended) done_ = true;
      return;
    default:
      return;
  }
}

void Init::link_closed() {
  retired_.push_back(std::move(link_));
  // A shepherd without a job has nothing to wait for; one with a job waits for the next droverd.
  if (stage_ == Stage::Empty) done_ = true;
  if (in_allocation()) loop_.after(kAllocationGrace, [this, links = links_] { end_with_allocation(links); });
}

// Its supervisor would have brought a new world up by now, or has given up: the allocation is over.
void Init::end_with_allocation(std::uint64_t links) {
  if (link_ || links != links_) return;
  deliver(SIGTERM);
  deliver(SIGCONT);
  loop_.after(kTermGrace, [this, links] {
    if (link_ || links != links_) return;
    kill_all();
    done_ = true;
  });
}

int Init::run() {
  while (!done_) {
    loop_.run_once(std::chrono::hours(1));
    retired_.clear();
  }
  ::unlink(socket_path_.c_str());
  if (namespaces_) return 0;  // the namespace dies with us
  kill_all();
  return 0;
}

int run_init(const SpawnRequest& request, UniqueFd link, bool namespaces) {
  Init init(request, std::move(link), namespaces);
  return init.run();
}

}  // namespace drover::shepherd
