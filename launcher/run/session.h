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
#include <functional>
#include <optional>
#include <string>

#include "launcher/client.h"
#include "launcher/run/input_window.h"
#include "launcher/run/local_terminal.h"
#include "launcher/run/output_writer.h"
#include "launcher/run/signals.h"

namespace drover {

class RunSession {
 public:
  // Sent to a job with a stop_mark: it goes on while its terminal is another's (SIGCONT gives that back); it runs
  // already and gets its terminal back.
  static constexpr int kContinueInBackground = 50, kHasTerminal = 51;

  struct Options {
    std::string at;                               // as Client::connect takes it
    std::chrono::seconds give_up_after{300};      // without a droverd
    std::chrono::seconds unknown_job_grace{30};   // how long a new world may not know the job
    std::optional<std::string> detach_keys = {};  // set: our terminal is lent to the job
    // With a terminal: the control sequence by which the job says that it has stopped (shell/leader.h). We stop then,
    // too, and it is told when we go on, and whether in the background.
    std::string stop_mark = {};
    int pipe_fd = -1;                       // with a terminal: what the job reads from a pipe beside it, else -1
    std::function<void(long)> on_job = {};  // told the job's id when it is known
  };

  RunSession(InstancePaths paths, Options options);

  // Starts the job and returns its exit status. Throws RequestError (refused), NoDroverd, ProtocolError.
  int run(Json spec);
  // The same for a job that runs already, and has a terminal.
  int attach(long job);

 private:
  using Clock = std::chrono::steady_clock;

  int follow();
  bool all_written() const;
  void know_job(long job);
  void step();  // waits for one thing to happen, and handles it
  void on_frame(const Frame& frame);
  void on_notice(const Json& notice);
  void on_reply(const Frame& frame);
  void on_output(const StreamMessage& data);
  void on_signal(int signal);
  void read_socket();
  void read_stdin();
  void read_pipe();
  bool stdin_may_be_read() const;
  void send_stdin();
  void send_acks();
  void send_signals();
  void send(ClientMessage type, std::string_view payload);
  void reconnect();
  bool try_attach(Clock::time_point broken_at);
  void pause_for_signals(std::chrono::milliseconds longest);
  Json attach_request() const;
  std::uint64_t position(std::size_t output) const { return base_[output] + outputs_[output]->pushed(); }

  // session_terminal.cpp
  struct Leave {
    int exit_code;
    bool hang_up;
  };
  bool on_terminal_signal(int signal);  // false: it is like any other
  void on_continued();
  void come_to_foreground();
  void look_for_stop(std::string_view output);
  void stop_with_job();
  void on_terminal_reply(const Json& reply);
  void take_keys(std::string_view typed);
  void give_up_waiting_keys();
  void send_terminal_words();

  InstancePaths paths_;
  Options options_;
  ForwardedSignals signals_;
  UniqueFd wake_;
  std::array<std::optional<OutputWriter>, 2> outputs_;  // stdout, stderr
  std::array<std::uint64_t, 2> acked_{};
  std::array<std::uint64_t, 2> base_{};  // where what is shown of a terminal's output begins
  InputWindow input_, pipe_;
  std::optional<Client> client_;
  std::deque<int> pending_signals_;
  long job_ = -1;
  bool waiting_ = false;   // the job has not started
  bool attached_ = false;  // the first reply is here
  int last_signal_ = 0;    // sent
  bool sent_sigpipe_ = false;
  std::optional<int> exit_;
  std::optional<LocalTerminal> terminal_;
  bool new_viewer_ = false, resized_ = false;
  SequenceScanner scanner_;
  bool job_stopped_ = false, goes_on_in_background_ = false;
  Clock::time_point keys_wait_since_;
  std::optional<Leave> leave_;
  std::string reason_;  // why it ended, if it was made to
};

}  // namespace drover
