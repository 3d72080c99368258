#include "ckpt/restore/image_model.h"

#include <cstddef>
#include <set>
#include <string>

#include "ckpt/restore/image_sockets.h"
#include "ckpt/sys/error.h"

namespace drover {

static constexpr std::uint64_t kAddressLimit = std::uint64_t{1} << 56;
static constexpr std::int32_t kMaxPid = 1 << 22, kMaxFd = 1 << 20;

static void require(bool sound, const char* what) {
  if (!sound) throw ImageError(std::string("damaged image: ") + what);
}

static void check_memory(const MemoryState& memory, const OpenFilesState& open_files) {
  std::uint64_t last = 0;
  for (const AreaState& area : memory.areas) {
    require(area.start >= last && area.end > area.start && area.end <= kAddressLimit && area.start % kPageBytes == 0 &&
                area.end % kPageBytes == 0 && area.offset % kPageBytes == 0 && area.offset <= (std::uint64_t{1} << 62),
            "a memory area that can't be");
    const bool of_file = area.kind == AreaKind::FilePrivate || area.kind == AreaKind::FileShared;
    require(!of_file || area.file < memory.files.size(), "a memory area of an unknown file");
    require(area.kind <= AreaKind::NamelessPrivate, "a memory area of an unknown kind");
    const bool of_object = area.kind == AreaKind::NamelessShared || area.kind == AreaKind::NamelessPrivate;
    require(
        !of_object || (area.file < open_files.objects.size() && open_files.objects[area.file].kind != ObjectKind::Pipe),
        "a memory area of an unknown object");
    last = area.end;
  }
  require(memory.executable < memory.files.size(), "no program");
  require(memory.auxv.size() <= 4096, "an auxiliary vector that is too long");
}

static void check_files(const FilesState& files, const OpenFilesState& open_files) {
  std::int32_t last = -1;
  for (const DescriptorState& d : files.descriptors) {
    require(d.fd > last && d.fd <= kMaxFd && d.open_file < open_files.files.size(), "a descriptor that can't be");
    last = d.fd;
  }
}

static void check_open_files(const OpenFilesState& open_files) {
  require(open_files.files.size() <= static_cast<std::size_t>(kMaxFd), "too many open files");
  for (const FileObject& object : open_files.objects) {
    require(object.kind <= ObjectKind::Memfd && object.size <= (std::uint64_t{1} << 62), "an object that can't be");
    require(object.kind != ObjectKind::Pipe || object.size <= (std::uint64_t{1} << 31) - 1, "a pipe that can't be");
  }
  for (const OpenFileState& file : open_files.files) {
    require(file.kind <= FileKind::Inotify, "a file of an unknown kind");
    for (const WatchState& watch : file.watches)
      require(watch.descriptor > 0 && watch.descriptor <= 100'000, "a watch that can't be");
    if (file.kind == FileKind::Nameless || file.kind == FileKind::Pipe) {
      require(file.object < open_files.objects.size(), "a file of an unknown object");
      const bool pipe = open_files.objects[file.object].kind == ObjectKind::Pipe;
      require(pipe == (file.kind == FileKind::Pipe), "a file of another kind than its object");
    }
    require(file.kind != FileKind::EventFd || file.counter <= 0xffffffff, "a counter that can't be");
    require(file.value_ns >= 0 && file.interval_ns >= 0, "a timer that can't be");
  }
  check_sockets(open_files);
}

static void check_timers(const TimersState& timers) {
  require(timers.posix_timers.size() <= 1000, "too many timers");
  for (const PosixTimer& timer : timers.posix_timers)
    require(timer.value_ns >= 0 && timer.interval_ns >= 0, "a timer that can't be");
  for (const IntervalTimer& timer : timers.interval_timers)
    require(timer.value_us >= 0 && timer.interval_us >= 0, "a timer that can't be");
}

static void check_process(const ProcessImage& image, const OpenFilesState& open_files) {
  const std::int32_t pid = image.process.pid;
  require(pid > 0 && pid <= kMaxPid && image.process.limits.size() <= 64, "a process that can't be");
  require(image.process.exit_signal >= -1 && image.process.exit_signal <= 64 && image.process.name.size() < 16,
          "a process that can't be");
  require(image.process.stopped_by >= 0 && image.process.stopped_by <= 64, "a process that can't be");
  if (image.process.zombie) return require(image.threads.empty(), "a zombie with threads");
  require(!image.threads.empty() && image.threads.front().tid == pid, "a process without its main thread");
  require(image.threads.size() == image.process.thread_count, "a thread is missing");
  for (const ThreadState& thread : image.threads) {
    require(thread.tid > 0 && thread.tid <= kMaxPid && thread.name.size() < 16 && thread.xstate.size() <= 64 * 1024 &&
                thread.credentials.groups.size() <= 65536 && thread.scheduling.cpus.size() <= 8192,
            "a thread that can't be");
  }
  require(image.signals.actions.size() <= 64, "too many signal handlers");
  check_timers(image.timers);
  check_memory(image.memory, open_files);
  check_files(image.files, open_files);
}

// Every id once: of processes and of threads.
static void check_tree(const ImageModel& model) {
  std::set<std::int32_t> ids;
  require(!model.processes.empty() && !model.processes.front().process.zombie, "no process");
  for (const ProcessImage& image : model.processes) {
    check_process(image, model.open_files);
    if (image.process.zombie) require(ids.insert(image.process.pid).second, "two processes of one id");
    for (const ThreadState& thread : image.threads) require(ids.insert(thread.tid).second, "two threads of one id");
  }
}

static void read_one(ImageModel& model, const Record& record, FileTable* table) {
  switch (record.type) {
    case RecordType::Host:
      model.host = record.decode<HostState>();
      return;
    case RecordType::Context:
      model.context.assign(record.payload.begin(), record.payload.end());
      return;
    case RecordType::OpenFiles:
      require(model.processes.empty(), "open files after a process");
      model.open_files = record.decode<OpenFilesState>();
      check_open_files(model.open_files);
      if (table != nullptr) table->make_objects(model.open_files);
      return;
    case RecordType::FileData:
      if (const auto piece = record.decode<FileDataState>(); table != nullptr) table->add_content(piece);
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
    default:
      require(false, "a record of unknown type");
  }
}

ImageModel read_metadata(ImageReader& reader, FileTable* files) {
  ImageModel model;
  for (;;) {
    const Record record = reader.next();
    if (record.type == RecordType::MetadataEnd) break;
    read_one(model, record, files);
  }
  require(model.host.xsave_bytes <= 64 * 1024, "processor state that is too long");
  require(model.host.host_boottime_ns >= 0 && model.host.realtime_ns >= 0, "clocks that can't be");
  check_tree(model);
  return model;
}

}  // namespace drover
