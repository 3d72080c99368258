// The operations of the control protocol that are about a job's terminal.
#include <fmt/format.h>

#include "runtime/node/control_server.h"

namespace drover {

using nlohmann::json;

namespace {

shepherd::WindowSize size_of(const json& request) {
  const auto side = [&](const char* name) {
    const auto value = request.at(name).get<std::int64_t>();
    if (value < 0 || value > 65535) throw std::invalid_argument(fmt::format("'{}' is no size of a window", name));
    return static_cast<std::uint16_t>(value);
  };
  return {side("rows"), side("columns")};
}

}  // namespace

std::string no_terminal(std::int64_t job) {
  return fmt::format(
      "job {0} has no terminal: it was started without --terminal; for what a submitted one has written: drover logs "
      "{0}",
      job);
}

// A job that has just been started, before its first output.
void ControlServer::begin_terminal(ClientConnection& client, std::int64_t id, bool follows) {
  OriginJob* job = origin_.find(id);
  if (job == nullptr) return;
  if (!follows) return origin_.keep(*job, "from the beginning");
  origin_.add_viewer(*job, &client, {job->spec.rows, job->spec.columns}, 0);
  if (job->spec.piped) job->desk.piper = &client;
}

void ControlServer::attach_viewer(ClientConnection& client, OriginJob& job, const json& request) {
  if (!job.spec.terminal) return client.refuse("refused", no_terminal(job.id));
  const auto size = size_of(request);
  if (OriginJobs::over(job)) {
    client.reply({{"job", job.id}, {"stdin", 0}, {"over", true}});
    return client.ended(origin_.describe(job));
  }
  if (job.state == JobState::Queued && job.placed)
    return client.refuse("refused",
                         fmt::format("job {} has not started: it {}; try again, or see drover ps", job.id, job.why));
  // A new world must have found its shepherd first: only that knows where the streams stand.
  if (!job.doubt.empty()) return client.refuse("no-such-job", fmt::format("job {}: {}", job.id, job.doubt));
  std::optional<std::uint64_t> seen;
  if (request.contains("received")) seen = request.at("received").at(0).get<std::uint64_t>();
  client.attached_job = job.id;
  const auto view = origin_.add_viewer(job, &client, size, seen);
  if (job.spec.piped && request.value("piped", false)) job.desk.piper = &client;
  client.reply({{"job", job.id},
                {"node", place_of(job)},
                {"stdin", view.stdin_at},
                {"stdout", view.stdout_at},
                {"pipe", job.pipe.base + job.pipe.held.size()},
                {"modes", view.modes}});
  origin_.show(job, &client);
}

void ControlServer::window(ClientConnection& client, const json& request) {
  if (OriginJob* job = origin_.find(client.attached_job)) origin_.resize(*job, &client, size_of(request));
}

void ControlServer::leave(ClientConnection& client, const json& request) {
  if (OriginJob* job = origin_.find(client.attached_job)) origin_.leave(*job, &client, request.value("hang_up", false));
}

}  // namespace drover
