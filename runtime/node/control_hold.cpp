// The operations of the control protocol that hold jobs, and that write and use images of them.
#include <fmt/format.h>

#include "runtime/jobs/checkpoint_record.h"
#include "runtime/jobs/spec_json.h"
#include "runtime/node/control_server.h"

namespace drover {

using nlohmann::json;

void ControlServer::hold(ClientConnection& client, const json& request) {
  const bool on = request.at("set").get<bool>();
  const auto reason = request.value("reason", std::string());
  at_origin(client, request, request.at("job"), [this, on, reason](ClientConnection& c, OriginJob& job) {
    origin_.hold(job, on, reason,
                 [alive = c.alive(), &c, id = job.id](const std::string& code, const std::string& error) {
                   if (const auto held = alive.lock(); !held || !*held) return;
                   if (code.empty()) return c.reply({{"job", id}});
                   c.refuse(code, error);
                 });
  });
}

void ControlServer::checkpoint(ClientConnection& client, const json& request) {
  const auto asked = request.value("path", std::string());
  if (!asked.empty() && asked[0] != '/') return client.refuse("bad-request", "'path' is not an absolute path");
  at_origin(client, request, request.at("job"), [this, asked](ClientConnection& c, OriginJob& job) {
    if (OriginJobs::over(job)) return c.refuse("refused", fmt::format("job {} has ended already", job.id));
    if (job.tasks)
      return c.refuse("refused", fmt::format("job {} is an array; its tasks are jobs, see drover ps", job.id));
    if (job.state == JobState::Queued) return c.refuse("refused", fmt::format("job {} has not started yet", job.id));
    const std::string path = asked.empty() ? cluster_.paths().job_dir(job.id) + "/checkpoint" : asked;
    origin_.checkpoint(job, path, [alive = c.alive(), &c, id = job.id, path](const shepherd::CheckpointDone& done) {
      if (const auto held = alive.lock(); !held || !*held) return;
      if (!done.error.empty())
        return c.refuse("refused", fmt::format("no image of job {} was written: {}", id, done.error));
      c.reply({{"job", id},
               {"path", path},
               {"image_bytes", done.image_bytes},
               {"frozen_ms", static_cast<double>(done.frozen_ns) / 1e6}});
    });
  });
}

namespace {
struct ReadImage {
  CheckpointRecord record;
  std::string error;
};
}  // namespace

void ControlServer::restore(ClientConnection& client, const json& request) {
  const auto path = request.at("path").get<std::string>();
  const auto node = request.value("node", std::string());
  if (path.empty() || path[0] != '/') return client.refuse("bad-request", "'path' is not an absolute path");
  auto image = std::make_shared<ReadImage>();
  if (!images_) images_ = std::make_unique<Background>(cluster_.loop());
  images_->run(
      [image, path] {
        try {
          image->record = read_checkpoint(path);
        } catch (const std::exception& error) {
          image->error = error.what();
        }
      },
      [this, image, path, node, hold = request.value("hold", false), truncate = request.value("truncate", false),
       alive = client.alive(), &client] {
        if (const auto held = alive.lock(); !held || !*held) return;
        if (!image->error.empty()) return client.refuse("refused", image->error);
        JobSpec& spec = image->record.spec;
        spec.image = path;
        spec.node = node;
        spec.hold = hold;
        spec.truncate = truncate;
        spec.attached = false;
        submit(client, {{"op", "submit"}, {"spec", spec_to_json(spec)}});
      });
}

}  // namespace drover
