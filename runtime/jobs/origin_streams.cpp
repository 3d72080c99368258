// A job's streams at its origin: absolute offsets, nothing twice, nothing lost. A byte of output is acknowledged to the
// shepherd when it is in the file, or when the launcher has said that it has written it.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/sys/error.h"
#include "runtime/control/path_pattern.h"
#include "runtime/jobs/origin.h"

namespace drover {

namespace {

constexpr std::size_t kInputWindow = 192 * 1024;  // at the shepherd, beyond what it has acknowledged
constexpr std::size_t kInputChunk = 60 * 1024;

// Appends at the end: after a crash of droverd the file's length is how much of the stream is safe.
std::shared_ptr<UniqueFd> open_output(const std::string& path, bool fresh, std::uint64_t& length) {
  auto fd = std::make_shared<UniqueFd>(check(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (fresh ? O_TRUNC : 0), 0666), "open", path));
  struct stat status {};
  check(::fstat(fd->get(), &status), "stat", path);
  length = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
  return fd;
}

void write_fully(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    bytes.remove_prefix(static_cast<std::size_t>(check(n, "write", path)));
  }
}

InputFeed& feed_of(OriginJob& job, int stream) { return stream == shepherd::kPipeStream ? job.pipe : job.input; }

}  // namespace

// The paths that the streams have, whether or not the job still needs them open.
void OriginJobs::name_streams(OriginJob& job) const {
  PatternValues values{job.id, job.spec.name};
  if (job.array != 0 || job.tasks) values.array_index = job.array_index;
  const std::string* asked[] = {&job.spec.stdout_path, &job.spec.stderr_path};
  const char* names[] = {"stdout", "stderr"};
  for (int i = 0; i < 2; ++i) {
    auto& path = job.output[i].path;
    path = expand_path_pattern(*asked[i], values);
    if (path.empty() && !job.spec.attached && !job.tasks)
      path = fmt::format("{}/{}", cluster_.paths().job_dir(job.id), names[i]);
  }
  job.stdin_path = expand_path_pattern(job.spec.stdin_path, values);
  if (!job.tasks) return;  // these were its tasks', to see that they can be named
  for (auto& output : job.output) output.path.clear();
  job.stdin_path.clear();
}

bool OriginJobs::open_streams(OriginJob& job, std::string& error) {
  const bool restored = !image_of(job).empty();
  const bool waits = job.state == JobState::Queued && job.place < 0 && job.started_ns == 0;
  const bool fresh = waits && job.attempt == 1 && !restored;
  try {
    name_streams(job);
    for (int i = 0; i < 2; ++i) {
      auto& output = job.output[i];
      if (output.path.empty()) continue;
      if (i == 1 && output.path == job.output[0].path) {
        output.file = job.output[0].file;  // 2>&1: one description, so that the two interleave
        continue;
      }
      output.continued = restored && !(i == 0 ? job.spec.stdout_path : job.spec.stderr_path).empty();
      std::uint64_t length = 0;
      output.file = open_output(output.path, fresh, length);
      output.received = output.safe = length;
      if (restored) output.base = std::min(output.base, length);  // unless somebody has cut it
      // Of two streams in one file its length tells nothing of either; the shepherd tells what it has let go of.
      if (job.output[0].path == job.output[1].path && !waits) output.received = output.safe = output.base;
      // What is written there between two attempts is nobody's. The shepherd of a restored job counts from the file's
      // length itself.
      if (waits && !fresh && !restored) output.base = output.received = output.safe = std::max(length, output.base);
    }
    if (!job.stdin_path.empty())
      job.input.file = std::make_shared<UniqueFd>(
          check(::open(job.stdin_path.c_str(), O_RDONLY | O_CLOEXEC), "open", job.stdin_path));
    else if (!job.spec.attached)
      job.input.ended = true;
    return true;
  } catch (const std::exception& failure) {
    error = failure.what();
    return false;
  }
}

void OriginJobs::on_output(int from, const JobChunk& chunk) {
  OriginJob* job = find(chunk.job);
  const int stream = chunk.chunk.stream;
  if (job == nullptr || is_outdated(from, *job, chunk.attempt) || over(*job) || stream < 1 || stream > 2) return;
  auto& output = job->output[stream - 1];
  const std::uint64_t offset = output.base + chunk.chunk.offset, end = offset + chunk.chunk.bytes.size();
  // Sent twice around a move: what is known is passed over. A gap can only come from a place that is one no longer.
  if (offset > output.received || end <= output.received) {
    if (end <= output.received && from == job->place) ack_output(*job, stream);
    return;
  }
  write_output(*job, stream, chunk.chunk.bytes.substr(output.received - offset));
}

void OriginJobs::write_output(OriginJob& job, int stream, std::string bytes) {
  auto& output = job.output[stream - 1];
  const std::uint64_t offset = output.received;
  output.received += bytes.size();
  if (!output.file) {
    output.tail += bytes;
    if (job.spec.terminal && stream == 1) return show_output(job, offset, bytes);
    if (job.attachment != nullptr) job.attachment->output(stream, offset, bytes);
    return;
  }
  const std::uint64_t safe = output.received;
  auto data = std::make_shared<std::string>(std::move(bytes));
  cluster_.in_background(
      [file = output.file, data, path = output.path] {
        try {
          write_fully(file->get(), *data, path);
        } catch (const SystemError& error) {
          spdlog::error("{}: what the job writes there is lost", error.what());
        }
      },
      [this, id = job.id, stream, safe] {
        OriginJob* written = find(id);
        if (written == nullptr || over(*written)) return;
        written->output[stream - 1].safe = std::max(written->output[stream - 1].safe, safe);
        ack_output(*written, stream);
        finish_if_drained(*written);
      });
}

void OriginJobs::ack_output(OriginJob& job, int stream) {
  const auto& output = job.output[stream - 1];
  if (job.place < 0 || output.safe < output.base) return;
  cluster_.send(job.place, Msg::JobOutputAck,
                JobMark{job.id, job.attempt, {static_cast<std::uint8_t>(stream), output.safe - output.base}});
}

void OriginJobs::on_output_end(int, const JobMark& mark) {
  OriginJob* job = find(mark.job);
  if (job == nullptr || mark.attempt != job->attempt || mark.mark.stream < 1 || mark.mark.stream > 2) return;
  job->output[mark.mark.stream - 1].ended = true;
}

// The launcher has written everything before `offset`.
void OriginJobs::output_ack(OriginJob& job, int stream, std::uint64_t offset) {
  if (stream < 1 || stream > 2) return;
  auto& output = job.output[stream - 1];
  if (output.file || offset <= output.safe || offset > output.received) return;
  output.tail.erase(0, offset - output.safe);
  output.safe = offset;
  ack_output(job, stream);
  finish_if_drained(job);
}

void OriginJobs::attach(OriginJob& job, Attachment* attachment, std::uint64_t stdout_have, std::uint64_t stderr_have) {
  job.attachment = attachment;
  job.detached_ns = 0;
  const std::uint64_t have[] = {stdout_have, stderr_have};
  for (int stream = 1; stream <= 2; ++stream) {
    auto& output = job.output[stream - 1];
    if (output.file) continue;
    if (have[stream - 1] < output.base) {
      // The end of an earlier attempt's output was lost with a world: this one's follows what the launcher has.
      const std::uint64_t missing = output.base - have[stream - 1];
      output.base -= missing, output.received -= missing, output.safe -= missing;
    }
    if (have[stream - 1] > output.received) {
      // A new world: we know nothing of the stream yet, the launcher does. The shepherd has the rest.
      output.received = output.safe = have[stream - 1];
      output.tail.clear();
      ack_output(job, stream);
    }
    output_ack(job, stream, have[stream - 1]);
    if (!output.tail.empty()) attachment->output(stream, output.safe, output.tail);
  }
}

void OriginJobs::detach(std::int64_t id, Attachment* attachment) {
  OriginJob* job = find(id);
  if (job == nullptr) return;
  const bool shows = job->spec.terminal && job->state != JobState::Queued;
  if (attachment == job->desk.piper)
    cluster_.loop().after(std::chrono::nanoseconds(kReattachNs), [this, id] {
      OriginJob* left = find(id);
      if (left != nullptr && left->desk.piper == nullptr) end_pipe(*left);
    });
  if (shows ? !remove_viewer(*job, attachment) : !job->spec.terminal && job->attachment != attachment) return;
  job->attachment = nullptr;
  if (!over(*job)) job->detached_ns = monotonic_ns();
}

void OriginJobs::input(OriginJob& job, int stream, std::uint64_t offset, std::string_view bytes) {
  auto& feed = feed_of(job, stream);
  const std::uint64_t have = feed.base + feed.held.size();
  if (feed.file || feed.ended || offset > have || offset + bytes.size() <= have) return;
  feed.held.append(bytes.substr(have - offset));
  send_input(job);
}

void OriginJobs::input_end(OriginJob& job, int stream, std::uint64_t offset) {
  auto& feed = feed_of(job, stream);
  if (feed.file || offset != feed.base + feed.held.size()) return;
  feed.ended = true;
  send_input(job);
}

void OriginJobs::send_input(OriginJob& job) {
  if (job.place < 0 || over(job)) return;
  send_feed(job, 0);
  if (job.spec.piped) send_feed(job, shepherd::kPipeStream);
}

void OriginJobs::send_feed(OriginJob& job, int stream) {
  auto& feed = feed_of(job, stream);
  const auto number = static_cast<std::uint8_t>(stream);
  while (feed.sent < feed.base + feed.held.size() && feed.sent - feed.base < kInputWindow) {
    const std::string bytes = feed.held.substr(feed.sent - feed.base, kInputChunk);
    cluster_.send(job.place, Msg::JobInput, JobChunk{job.id, job.attempt, {number, feed.sent, bytes}});
    feed.sent += bytes.size();
  }
  if (feed.ended && !feed.end_sent && feed.sent == feed.base + feed.held.size()) {
    feed.end_sent = true;
    cluster_.send(job.place, Msg::JobInputEnd, JobMark{job.id, job.attempt, {number, feed.sent}});
  }
  if (feed.file && !feed.ended && !feed.reading && feed.held.size() < kInputWindow) read_input_file(job);
}

void OriginJobs::read_input_file(OriginJob& job) {
  job.input.reading = true;
  auto bytes = std::make_shared<std::string>(4 * kInputChunk, '\0');
  const std::uint64_t offset = job.input.base + job.input.held.size();
  cluster_.in_background(
      [file = job.input.file, bytes, offset, path = job.stdin_path] {
        ssize_t n = ::pread(file->get(), bytes->data(), bytes->size(), static_cast<off_t>(offset));
        // A FIFO or a terminal has no offsets; it can't be read again after a new world, which is all that is lost.
        if (n < 0 && errno == ESPIPE) n = ::read(file->get(), bytes->data(), bytes->size());
        if (n < 0) spdlog::error("read {}: {}; the job's input ends there", path, error_text(errno));
        bytes->resize(n > 0 ? static_cast<std::size_t>(n) : 0);
      },
      [this, id = job.id, attempt = job.attempt, bytes, offset] {
        OriginJob* reader = find(id);
        if (reader == nullptr || over(*reader) || reader->attempt != attempt) return;
        reader->input.reading = false;
        // The shepherd of a restored job has told meanwhile that it is further.
        if (offset != reader->input.base + reader->input.held.size()) return send_input(*reader);
        reader->input.held += *bytes;
        if (bytes->empty()) reader->input.ended = true;
        send_input(*reader);
      });
}

void OriginJobs::on_input_ack(const JobMark& mark) {
  OriginJob* job = find(mark.job);
  if (job == nullptr || over(*job) || mark.attempt != job->attempt) return;
  const int stream = mark.mark.stream;
  auto& feed = feed_of(*job, stream);
  const std::uint64_t offset = mark.mark.offset;
  if (offset > feed.base + feed.held.size()) {
    // A new world: the shepherd has more than we know of. The launcher starts again from there.
    feed.base = feed.sent = offset;
    feed.held.clear();
  } else if (offset > feed.base) {
    feed.held.erase(0, offset - feed.base);
    feed.base = offset;
    feed.sent = std::max(feed.sent, offset);
  }
  if (stream == shepherd::kPipeStream) {
    if (job->desk.piper != nullptr) job->desk.piper->input_ack(stream, offset);
  } else {
    if (job->attachment != nullptr) job->attachment->input_ack(stream, offset);
    acknowledge_typed(*job, offset);
  }
  send_input(*job);
}

}  // namespace drover
