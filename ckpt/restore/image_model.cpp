#include "ckpt/restore/image_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "ckpt/sys/error.h"

namespace drover {

static constexpr std::uint64_t kAddressLimit = std::uint64_t{1} << 56;
static constexpr std::int32_t kMaxPid = 1 << 22, kMaxFd = 1 << 20;

static void require(bool sound, const char* what) {
  if (!sound) throw ImageError(std::string("damaged image: ") + what);
}

static void check_memory(const MemoryState& memory) {
  std::uint64_t last = 0;
  for (const AreaState& area : memory.areas) {
    require(area.start >= last && area.end > area.start && area.end <= kAddressLimit && area.start % kPageBytes == 0 &&
                area.end % kPageBytes == 0 && area.offset % kPageBytes == 0 && area.offset <= (std::uint64_t{1} << 62),
            "a memory area that can't be");
    const bool of_file = area.kind == AreaKind::FilePrivate || area.kind == AreaKind::FileShared;
    require(!of_file || area.file < memory.files.size(), "a memory area of an unknown file");
    require(area.kind <= AreaKind::Vdso, "a memory area of an unknown kind");
    last = area.end;
  }
  require(memory.executable < memory.files.size(), "no program");
  require(memory.auxv.size() <= 4096, "an auxiliary vector that is too long");
}

static void check_files(const FilesState& files) {
  std::int32_t last = -1;
  for (const DescriptorState& d : files.descriptors) {
    require(d.fd > last && d.fd <= kMaxFd && d.open_file < files.open_files.size(), "a descriptor that can't be");
    last = d.fd;
  }
  for (const OpenFileState& file : files.open_files) {
    require(file.kind <= FileKind::SignalFd, "a file of an unknown kind");
    require(file.value_ns >= 0 && file.interval_ns >= 0, "a timer that can't be");
  }
}

static void check_timers(const TimersState& timers) {
  require(timers.posix_timers.size() <= 1000, "too many timers");
  for (const PosixTimer& timer : timers.posix_timers)
    require(timer.value_ns >= 0 && timer.interval_ns >= 0, "a timer that can't be");
  for (const IntervalTimer& timer : timers.interval_timers)
    require(timer.value_us >= 0 && timer.interval_us >= 0, "a timer that can't be");
}

static void check_process(const ProcessImage& image) {
  const std::int32_t pid = image.process.pid;
  require(pid > 0 && pid <= kMaxPid && image.process.limits.size() <= 64, "a process that can't be");
  require(!image.threads.empty() && image.threads.front().tid == pid, "a process without its main thread");
  require(image.threads.size() == image.process.thread_count, "a thread is missing");
  for (const ThreadState& thread : image.threads) {
    require(thread.tid > 0 && thread.tid <= kMaxPid && thread.name.size() < 16 && thread.xstate.size() <= 64 * 1024 &&
                thread.credentials.groups.size() <= 65536 && thread.scheduling.cpus.size() <= 8192,
            "a thread that can't be");
  }
  require(image.signals.actions.size() <= 64, "too many signal handlers");
  check_timers(image.timers);
  check_memory(image.memory);
  check_files(image.files);
}

// A file without a name, made anew in the folder where the old one was.
static UniqueFd make_unlinked(const OpenFileState& file) {
  return UniqueFd(check(::open(file.file.path.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, file.file.mode & 07777),
                        "make an unlinked file in", file.file.path));
}

static void make_pipe(ImageModel& model, const OpenFileState& file) {
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), "pipe");
  model.nameless[{file.object, false}].reset(ends[0]);
  model.nameless[{file.object, true}].reset(ends[1]);
  check(::fcntl(ends[0], F_SETPIPE_SZ, static_cast<int>(file.counter)), "F_SETPIPE_SZ");
}

// Every nameless object of the files read so far that has not been made yet.
static void make_nameless_objects(ImageModel& model, const FilesState& files) {
  for (const OpenFileState& file : files.open_files) {
    if (model.nameless.count({file.object, false}) != 0) continue;
    if (file.kind == FileKind::Unlinked) model.nameless[{file.object, false}] = make_unlinked(file);
    if (file.kind == FileKind::Pipe) make_pipe(model, file);
  }
}

static void restore_piece(const ImageModel& model, const FileDataState& piece) {
  auto found = model.nameless.find({piece.object, true});
  const bool pipe = found != model.nameless.end();
  if (!pipe) found = model.nameless.find({piece.object, false});
  require(found != model.nameless.end(), "content of an unknown file");
  const int fd = found->second.get();
  const ssize_t n = pipe ? ::write(fd, piece.bytes.data(), piece.bytes.size())
                         : ::pwrite(fd, piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(piece.offset));
  if (check(n, "write content of a file") != static_cast<ssize_t>(piece.bytes.size()))
    throw ImageError("damaged image: more in a pipe than fits");
}

static void read_one(ImageModel& model, const Record& record) {
  switch (record.type) {
    case RecordType::Host:
      model.host = record.decode<HostState>();
      return;
    case RecordType::Context:
      model.context.assign(record.payload.begin(), record.payload.end());
      return;
    case RecordType::Process:
      require(model.processes.size() < 4096, "too many processes");
      model.processes.emplace_back().process = record.decode<ProcessState>();
      return;
    default:
      break;
  }
  // The rest follows the process that it belongs to.
  require(!model.processes.empty(), "a record without its process");
  ProcessImage& image = model.processes.back();
  switch (record.type) {
    case RecordType::Memory:
      image.memory = record.decode<MemoryState>();
      return;
    case RecordType::Files:
      image.files = record.decode<FilesState>();
      check_files(image.files);
      make_nameless_objects(model, image.files);
      return;
    case RecordType::Signals:
      image.signals = record.decode<SignalsState>();
      return;
    case RecordType::Timers:
      image.timers = record.decode<TimersState>();
      return;
    case RecordType::Thread:
      image.threads.push_back(record.decode<ThreadState>());
      return;
    case RecordType::FileData:
      restore_piece(model, record.decode<FileDataState>());
      return;
    default:
      require(false, "a record of unknown type");
  }
}

ImageModel read_metadata(ImageReader& reader) {
  ImageModel model;
  for (;;) {
    const Record record = reader.next();
    if (record.type == RecordType::MetadataEnd) break;
    read_one(model, record);
  }
  require(!model.processes.empty(), "no process");
  require(model.host.xsave_bytes <= 64 * 1024, "processor state that is too long");
  require(model.host.host_boottime_ns >= 0 && model.host.realtime_ns >= 0, "clocks that can't be");
  for (const ProcessImage& image : model.processes) check_process(image);
  return model;
}

}  // namespace drover
