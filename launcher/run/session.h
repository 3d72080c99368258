// A job in the foreground: its streams, its signals, its exit status are ours, wherever it runs and however often it
// moves.
//
// The hard part is a connection that breaks: the world may be replaced while the job lives. Every stream has absolute
// offsets, output is acknowledged when it is written, and input is kept until it is acknowledged, so a new droverd and
// both ends agree on what is missing and nothing is lost or doubled.
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <optional>
#include <string>

#include "launcher/client.h"
#include "launcher/run/input_window.h"
#include "launcher/run/output_writer.h"
#include "launcher/run/signals.h"

namespace drover {

class RunSession {
 public:
  struct Options {
    std::string at;                              // as Client::connect takes it
    std::chrono::seconds give_up_after{300};     // without a droverd
    std::chrono::seconds unknown_job_grace{30};  // how long a new world may not know the job
  };

  RunSession(InstancePaths paths, Options options);

  // Starts the job and returns its exit status. Throws RequestError (refused), NoDroverd, ProtocolError.
  int run(Json spec);
  // The same for a job that runs already.
  int attach(long job);

 private:
  using Clock = std::chrono::steady_clock;

  int follow();
  void step();  // waits for one thing to happen, and handles it
  void on_frame(const Frame& frame);
  void on_reply(const Frame& frame);
  void on_output(const StreamMessage& data);
  void on_signal(int signal);
  void read_socket();
  void read_stdin();
  bool stdin_may_be_read() const;
  void send_stdin();
  void send_acks();
  void send_signals();
  void send(ClientMessage type, std::string_view payload);
  void reconnect();
  bool try_attach(Clock::time_point broken_at);
  void pause_for_signals(std::chrono::milliseconds longest);
  Json attach_request() const;

  InstancePaths paths_;
  Options options_;
  ForwardedSignals signals_;
  UniqueFd wake_;
  std::array<std::optional<OutputWriter>, 2> outputs_;  // stdout, stderr
  std::array<std::uint64_t, 2> acked_{};
  InputWindow input_;
  std::optional<Client> client_;
  std::deque<int> pending_signals_;
  long job_ = -1;
  bool attached_ = false;  // the first reply is here
  bool sent_sigpipe_ = false;
  std::optional<int> exit_;
  std::string reason_;  // why it ended, if it was made to
};

}  // namespace drover
