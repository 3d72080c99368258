// drover logs: what a submitted job has written.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <memory>

#include "ckpt/sys/error.h"
#include "launcher/commands/commands.h"
#include "launcher/selector.h"
#include "runtime/control/client_message.h"

namespace drover {

namespace {

struct LogsOptions {
  SelectorOptions selector;
  bool follow = false, errors = false;
  std::uint64_t from = 0;
};

void write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    bytes.remove_prefix(static_cast<std::size_t>(check(n, "write", "stdout")));
  }
}

void print_logs(Client client, long job, const LogsOptions& options) {
  std::signal(SIGPIPE, SIG_DFL);  // `drover logs 7 | head` ends quietly, as cat does
  client.send_request({{"op", "logs"},
                       {"job", job},
                       {"stream", options.errors ? "stderr" : "stdout"},
                       {"from", options.from},
                       {"follow", options.follow}});
  std::uint64_t written = options.from;
  for (;;) {
    const Frame frame = client.receive();
    switch (static_cast<ClientMessage>(frame.type)) {
      case ClientMessage::Data: {
        StreamMessage data = decode_stream_message(frame.payload);
        if (data.offset > written)
          throw ProtocolError(fmt::format("logs: bytes {} to {} are missing", written, data.offset));
        data.bytes.remove_prefix(std::min<std::uint64_t>(written - data.offset, data.bytes.size()));
        write_all(data.bytes);
        written += data.bytes.size();
        client.connection().send(static_cast<std::uint16_t>(ClientMessage::Ack),
                                 encode_stream_message({data.stream, written, {}}));
        break;
      }
      case ClientMessage::Item:
        fmt::print(stderr, "drover: {}\n", frame.payload);
        break;
      case ClientMessage::Reply:
        Client::parse_reply(frame);
        return;
      default:
        break;
    }
  }
}

}  // namespace

void add_logs(CLI::App& app, Context& context) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* command = app.add_subcommand("logs", "Print what a submitted job has written");
  options->selector.add_to(*command, "Which job: one");
  command->add_flag("-f,--follow", options->follow, "Go on until the job ends");
  command->add_flag("-e,--stderr", options->errors, "What it wrote to stderr");
  command->add_option("--from", options->from, "Skip the first BYTES")->type_name("BYTES");
  command->footer("Examples: drover logs -f last;  drover logs -e 7");
  command->callback([&context, options] {
    const long job = single_job(context, options->selector.selector(), "logs");
    print_logs(context.connect(), job, *options);
  });
}

}  // namespace drover
