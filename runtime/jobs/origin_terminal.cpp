// Those who look at a job's terminal. The output is one stream with the job's offsets, sent to everybody; each viewer's
// input has offsets of its own, and is woven into the job's as it comes.
//
// A viewer that was alone types at the job's own offsets, so that it agrees with a new world about what has arrived. Of
// several who type at once, what was under way when a world ended may be lost.
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "runtime/jobs/origin.h"

namespace drover {

namespace {

constexpr std::uint64_t kMostBehind = 1024 * 1024;  // of a viewer that is not the first
constexpr auto kRedrawPause = std::chrono::milliseconds(50);

// What everybody can show.
shepherd::WindowSize common_size(const std::vector<Viewer>& viewers) {
  shepherd::WindowSize common;
  const auto take = [](std::uint16_t& smallest, std::uint16_t size) {
    if (size != 0 && (smallest == 0 || size < smallest)) smallest = size;
  };
  for (const Viewer& viewer : viewers) {
    take(common.rows, viewer.size.rows);
    take(common.columns, viewer.size.columns);
  }
  return common;
}

Viewer* find_viewer(TerminalDesk& desk, const Attachment* attachment) {
  const auto found = std::find_if(desk.viewers.begin(), desk.viewers.end(),
                                  [&](const Viewer& viewer) { return viewer.attachment == attachment; });
  return found == desk.viewers.end() ? nullptr : &*found;
}

}  // namespace

OriginJobs::View OriginJobs::add_viewer(OriginJob& job, Attachment* attachment, shepherd::WindowSize size,
                                        std::optional<std::uint64_t> seen) {
  auto& output = job.output[0];
  if (seen.value_or(0) > output.received) {  // a new world: it knows more than we do
    output.received = output.safe = *seen;
    output.tail.clear();
    ack_output(job, 1);
  }
  View view;
  view.stdin_at = job.input.base + job.input.held.size();
  view.stdout_at = seen.value_or(output.received - job.desk.scrollback.size());
  if (!seen) view.modes = job.desk.scrollback.modes();
  job.desk.viewers.push_back({attachment, size, view.stdout_at, view.stdin_at});
  job.detached_ns = 0;
  if (std::exchange(job.desk.kept, false)) log(job, "attached");
  tell_window(job, !seen && output.received > 0);
  return view;
}

void OriginJobs::show(OriginJob& job, Attachment* attachment) {
  const Viewer* viewer = find_viewer(job.desk, attachment);
  if (viewer == nullptr) return;
  const auto& output = job.output[0];
  const std::uint64_t from = output.received - job.desk.scrollback.size();
  // One that comes back has what the first viewer has not acknowledged, or more, or needs it.
  if (viewer->seen < output.received)
    attachment->output(1, std::max(from, viewer->seen),
                       job.desk.scrollback.bytes().substr(std::max(from, viewer->seen) - from));
  if (viewer == &job.desk.viewers.front()) output_ack(job, 1, viewer->seen);
}

void OriginJobs::show_output(OriginJob& job, std::uint64_t offset, const std::string& bytes) {
  job.desk.scrollback.append(bytes);
  std::vector<Attachment*> slow;
  for (const Viewer& viewer : job.desk.viewers) {
    const bool first = &viewer == &job.desk.viewers.front();
    if (!first && offset > viewer.seen + kMostBehind)
      slow.push_back(viewer.attachment);
    else
      viewer.attachment->output(1, offset, bytes);
  }
  for (Attachment* attachment : slow) {
    const bool piped = job.desk.piper == attachment;
    remove_viewer(job, attachment);
    if (piped) end_pipe(job);
    attachment->dropped(
        fmt::format("job {}: it writes faster than this terminal takes it, and others look at it, too; "
                    "look again with: drover attach {}",
                    job.id, job.id));
  }
  if (job.desk.viewers.empty() && job.detached_ns == 0) drop_output(job);
}

void OriginJobs::drop_output(OriginJob& job) {
  auto& output = job.output[0];
  output.safe = output.received;
  output.tail.clear();
  ack_output(job, 1);
  finish_if_drained(job);
}

void OriginJobs::seen(OriginJob& job, Attachment* attachment, std::uint64_t offset) {
  Viewer* viewer = find_viewer(job.desk, attachment);
  if (viewer == nullptr || offset <= viewer->seen || offset > job.output[0].received) return;
  viewer->seen = offset;
  if (viewer == &job.desk.viewers.front()) output_ack(job, 1, offset);
}

void OriginJobs::type(OriginJob& job, Attachment* attachment, std::uint64_t offset, std::string_view bytes) {
  Viewer* viewer = find_viewer(job.desk, attachment);
  const std::uint64_t end = offset + bytes.size();
  if (viewer == nullptr || offset > viewer->typed || end <= viewer->typed) return;
  job.input.held.append(bytes.substr(viewer->typed - offset));
  viewer->typed = end;
  job.desk.unacknowledged.push_back({attachment, end, job.input.base + job.input.held.size()});
  send_input(job);
}

void OriginJobs::acknowledge_typed(OriginJob& job, std::uint64_t offset) {
  auto& waiting = job.desk.unacknowledged;
  for (; !waiting.empty() && waiting.front().job_end <= offset; waiting.pop_front())
    if (find_viewer(job.desk, waiting.front().by) != nullptr) waiting.front().by->input_ack(0, waiting.front().own_end);
}

void OriginJobs::resize(OriginJob& job, Attachment* attachment, shepherd::WindowSize size) {
  Viewer* viewer = find_viewer(job.desk, attachment);
  if (viewer == nullptr) return;
  viewer->size = size;
  tell_window(job);
}

// `redraw`: a full-screen program draws everything again for another size, and for nothing else.
void OriginJobs::tell_window(OriginJob& job, bool redraw) {
  shepherd::WindowSize size = common_size(job.desk.viewers);
  if (size.rows == 0 || size.columns == 0 || job.place < 0 || over(job)) return;
  if (redraw) {
    size.rows = static_cast<std::uint16_t>(size.rows > 1 ? size.rows - 1 : 2);
    cluster_.loop().after(kRedrawPause, [this, id = job.id] {
      if (OriginJob* still = find(id)) tell_window(*still);
    });
  }
  cluster_.send(job.place, Msg::JobWindow, JobWindow{job.id, job.attempt, size});
}

bool OriginJobs::remove_viewer(OriginJob& job, Attachment* attachment) {
  auto& desk = job.desk;
  const bool first = !desk.viewers.empty() && desk.viewers.front().attachment == attachment;
  const auto removed =
      std::erase_if(desk.viewers, [&](const Viewer& viewer) { return viewer.attachment == attachment; });
  if (removed == 0) return false;
  if (desk.piper == attachment) desk.piper = nullptr;
  std::erase_if(desk.unacknowledged, [&](const TerminalDesk::Typed& typed) { return typed.by == attachment; });
  if (desk.viewers.empty()) return true;
  if (first) output_ack(job, 1, desk.viewers.front().seen);
  tell_window(job);
  return false;
}

void OriginJobs::leave(OriginJob& job, Attachment* attachment, bool hang_up) {
  const bool piped = job.desk.piper == attachment;
  const bool last = remove_viewer(job, attachment);
  if (piped) end_pipe(job);
  if (!last) return;
  if (hang_up) signal(job, SIGHUP);
  keep(job, hang_up ? "its last terminal was closed, hung up" : "with a key");
}

void OriginJobs::keep(OriginJob& job, const char* why) {
  if (over(job)) return;
  job.detached_ns = 0;
  if (!std::exchange(job.desk.kept, true)) log(job, "detached", {{"why", why}});
  drop_output(job);
  end_pipe(job);
}

void OriginJobs::end_pipe(OriginJob& job) {
  if (!job.spec.piped || over(job)) return;
  job.pipe.ended = true;
  send_input(job);
}

// A new world knows nothing of the stream: it goes on with what the shepherd still has.
void OriginJobs::adopt_terminal(OriginJob& job, const shepherd::Welcome& welcome) {
  auto& output = job.output[0];
  if (output.received < welcome.streams.output_acked[0]) {
    output.received = output.safe = welcome.streams.output_acked[0];
    output.tail.clear();
  }
  tell_window(job);
}

}  // namespace drover
