#include "ckpt/restore/image_model.h"

#include <sys/wait.h>

#include <cstddef>
#include <map>
#include <set>
#include <string>

#include "ckpt/restore/aio_checks.h"
#include "ckpt/restore/image_sockets.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/protection_keys.h"

namespace drover {

static constexpr std::uint64_t kAddressLimit = std::uint64_t{1} << 56;
static constexpr std::int32_t kMaxPid = 1 << 22, kMaxFd = 1 << 20;

static void require(bool sound, const char* what) {
  if (!sound) throw ImageError(std::string("damaged image: ") + what);
}

static bool can_be_mapped(const FileObject& object) {
  return object.kind == ObjectKind::Unlinked || object.kind == ObjectKind::Memfd;
}

// The sizes that there are: 2 MiB and 1 GiB.
static bool is_huge_shift(unsigned shift) { return shift == 21 || shift == 30; }

// The kind and what it names have been checked.
static void check_huge_pages(const AreaState& area, const ImageModel& model) {
  const unsigned huge = huge_shift_of(area);
  const std::uint64_t begins = area.kind == AreaKind::Anonymous ? 0 : area.offset;
  require(huge == 0 || (is_huge_shift(huge) && area.kind != AreaKind::Vdso &&
                        (area.start | area.end | begins) % (std::uint64_t{1} << huge) == 0),
          "huge pages that can't be");
  const bool of_object = area.kind == AreaKind::NamelessShared || area.kind == AreaKind::NamelessPrivate;
  require(!of_object || model.open_files.objects[area.file].huge_shift == huge,
          "pages of another size than the file's");
  require(area.kind != AreaKind::SystemV || model.ipc->segments[area.file].huge_shift == huge,
          "pages of another size than the segment's");
}

static void check_memory(const MemoryState& memory, const ImageModel& model, bool sharer) {
  const OpenFilesState& open_files = model.open_files;
  std::uint64_t last = 0;
  for (const AreaState& area : memory.areas) {
    require(area.start >= last && area.end > area.start && area.end <= kAddressLimit && area.start % kPageBytes == 0 &&
                area.end % kPageBytes == 0 && area.offset % kPageBytes == 0 && area.offset <= (std::uint64_t{1} << 62),
            "a memory area that can't be");
    const bool of_file = area.kind == AreaKind::FilePrivate || area.kind == AreaKind::FileShared;
    require(!of_file || area.file < memory.files.size(), "a memory area of an unknown file");
    require(area.kind <= AreaKind::AioRing, "a memory area of an unknown kind");
    if (area.kind == AreaKind::SystemV) {
      require(model.ipc && area.file < model.ipc->segments.size(), "a memory area of an unknown segment");
      const std::uint64_t bytes = model.ipc->segments[area.file].mapped_bytes();
      require(area.offset < bytes && area.bytes() <= bytes - area.offset, "a segment that is too short");
    }
    const bool of_object = area.kind == AreaKind::NamelessShared || area.kind == AreaKind::NamelessPrivate;
    require(!of_object || (area.file < open_files.objects.size() && can_be_mapped(open_files.objects[area.file])),
            "a memory area of an unknown object");
    check_huge_pages(area, model);
    const bool has_key = area.kind != AreaKind::Vdso && area.kind != AreaKind::AioRing;
    require(area.key == 0 || (area.key < kProtectionKeys && has_key), "a protection key that can't be");
    last = area.end;
  }
  const std::int32_t execute_only = memory.keys.execute_only;
  require(execute_only == -1 || (execute_only > 0 && execute_only < static_cast<std::int32_t>(kProtectionKeys) &&
                                 (memory.keys.allocated >> execute_only & 1) == 0),
          "a key for execution that can't be");
  require(are_sound_contexts(memory), "asynchronous I/O that can't be");
  if (sharer)
    return require(memory.areas.empty() && memory.files.empty(), "memory of a process that has none of its own");
  const auto program = static_cast<std::size_t>(memory.executable_object);
  if (memory.executable_object >= 0)
    require(program < open_files.objects.size() && open_files.objects[program].program, "an unknown program");
  else
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

static void check_terminals(const OpenFilesState& open_files) {
  constexpr std::size_t kModesBytes = 44, kMostTyped = 256 * 1024;  // struct termios2; twice what the kernel holds
  require(open_files.terminals.size() <= 4096, "too many terminals");
  std::vector<int> masters(open_files.terminals.size());
  std::size_t given = 0;
  for (const TerminalState& terminal : open_files.terminals) {
    std::size_t typed = terminal.typed.size();
    for (const TerminalLine& line : terminal.lines) typed += line.bytes.size() + 1;
    require(terminal.number < (1U << 20) && terminal.flow <= TerminalFlow::StoppedByProgram && typed <= kMostTyped &&
                terminal.output.size() <= kMostTyped && !(terminal.given && terminal.hung_up) &&
                terminal.session >= 0 && terminal.session <= kMaxPid && terminal.foreground_group >= 0 &&
                terminal.foreground_group <= kMaxPid && (terminal.hung_up || terminal.modes.size() == kModesBytes),
            "a terminal that can't be");
    given += terminal.given ? 1 : 0;
  }
  require(given <= 1, "two terminals of somebody else");
  for (const OpenFileState& file : open_files.files) {
    if (file.kind != FileKind::TerminalMaster && file.kind != FileKind::Terminal &&
        file.kind != FileKind::ControllingTerminal)
      continue;
    require(file.object < open_files.terminals.size(), "a file of an unknown terminal");
    const TerminalState& terminal = open_files.terminals[file.object];
    const bool alive = !terminal.hung_up, master = file.kind == FileKind::TerminalMaster;
    require(file.kind == FileKind::Terminal || alive, "a file of a dead terminal");
    require(!master || (!terminal.given && ++masters[file.object] == 1), "a terminal of two masters");
  }
}

static void check_open_files(const OpenFilesState& open_files) {
  check_terminals(open_files);
  require(open_files.files.size() <= static_cast<std::size_t>(kMaxFd), "too many open files");
  for (const FileObject& object : open_files.objects) {
    require(object.kind <= ObjectKind::GoneDirectory && object.size <= (std::uint64_t{1} << 62),
            "an object that can't be");
    require(!object.program || object.kind == ObjectKind::Unlinked || object.kind == ObjectKind::Memfd,
            "a program that can't be");
    const bool huge = object.huge_shift != 0;
    require(!huge || (is_huge_shift(object.huge_shift) && (can_be_mapped(object) || object.kind == ObjectKind::Tmpfs) &&
                      object.size % (std::uint64_t{1} << object.huge_shift) == 0),
            "a file of huge pages that can't be");
    require(object.mtime_ns >= 0, "a file's time that can't be");
    require(object.kind != ObjectKind::Pipe || object.size <= (std::uint64_t{1} << 31) - 1, "a pipe that can't be");
  }
  for (const OpenFileState& file : open_files.files) {
    require(file.kind <= FileKind::OfProcess, "a file of an unknown kind");
    for (const WatchState& watch : file.watches)
      require(watch.descriptor > 0 && watch.descriptor <= 100'000, "a watch that can't be");
    if (file.kind == FileKind::Nameless || file.kind == FileKind::Pipe) {
      require(file.object < open_files.objects.size(), "a file of an unknown object");
      require(open_files.objects[file.object].kind != ObjectKind::Tmpfs, "a nameless file that has a name");
      const bool pipe = open_files.objects[file.object].kind == ObjectKind::Pipe;
      require(pipe == (file.kind == FileKind::Pipe), "a file of another kind than its object");
    }
    require(file.kind != FileKind::EventFd || file.counter <= 0xffffffff, "a counter that can't be");
    require(file.kind != FileKind::OfProcess || file.file.path.compare(0, 6, "/proc/") == 0,
            "a process's file that can't be");
    require(file.kind != FileKind::Pidfd || file.counter <= kMaxPid, "a pidfd that can't be");
    require(file.value_ns >= 0 && file.interval_ns >= 0, "a timer that can't be");
  }
  check_sockets(open_files);
}

static void check_ipc(const IpcState& ipc) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 46;
  constexpr std::int32_t kMostValue = 32767;
  const auto check_owner = [](const IpcOwnership& owner) {
    require(owner.id >= 0 && owner.mode <= 0777, "a System V object that can't be");
  };
  for (const SegmentState& segment : ipc.segments) {
    check_owner(segment.owner);
    require(segment.bytes > 0 && segment.bytes <= kMostBytes &&
                (segment.huge_shift == 0 || is_huge_shift(segment.huge_shift)),
            "a segment that can't be");
  }
  for (const SemaphoreSetState& set : ipc.semaphore_sets) {
    check_owner(set.owner);
    require(!set.semaphores.empty() && set.semaphores.size() <= 65536, "semaphores that can't be");
    for (const SemaphoreState& semaphore : set.semaphores)
      require(semaphore.value >= 0 && semaphore.value <= kMostValue, "a semaphore that can't be");
  }
  for (const SemaphoreAdjustment& adjustment : ipc.adjustments) {
    require(adjustment.set < ipc.semaphore_sets.size() &&
                adjustment.semaphore < ipc.semaphore_sets[adjustment.set].semaphores.size(),
            "an adjustment of an unknown semaphore");
    require(adjustment.value >= -kMostValue && adjustment.value <= kMostValue, "an adjustment that can't be");
  }
  for (const MessageQueueState& queue : ipc.queues) {
    check_owner(queue.owner);
    require(queue.max_bytes <= kMostBytes, "a message queue that can't be");
    for (const MessageState& message : queue.messages) require(message.type > 0, "a message that can't be");
  }
}

static void check_timers(const TimersState& timers) {
  require(timers.posix_timers.size() <= 1000, "too many timers");
  for (const PosixTimer& timer : timers.posix_timers)
    require(timer.value_ns >= 0 && timer.interval_ns >= 0, "a timer that can't be");
  for (const IntervalTimer& timer : timers.interval_timers)
    require(timer.value_us >= 0 && timer.interval_us >= 0, "a timer that can't be");
}

// With whom a process shares has to come before it, and to have it itself.
static void check_sharing(const ProcessImage& image, const std::map<std::int32_t, const ProcessState*>& before) {
  const SharedState& shared = image.process.shared;
  for (const auto what :
       {&SharedState::memory, &SharedState::handlers, &SharedState::files, &SharedState::directories}) {
    if (shared.*what == 0) continue;
    const auto first = before.find(shared.*what);
    require(!image.process.zombie && first != before.end() && first->second->shared.*what == 0,
            "a process that shares with none");
  }
  require(shared.handlers == 0 || (shared.memory != 0 && image.signals.actions.empty()), "shared signal handlers");
  require(shared.files == 0 || (image.files.descriptors.empty() && image.files.locks.empty()), "shared descriptors");
}

static void check_process(const ProcessImage& image, const ImageModel& model) {
  const std::int32_t pid = image.process.pid;
  require(pid > 0 && pid <= kMaxPid && image.process.limits.size() <= 64, "a process that can't be");
  require(image.process.exit_signal >= -1 && image.process.exit_signal <= 64 && image.process.name.size() < 16,
          "a process that can't be");
  require(image.process.stopped_by >= 0 && image.process.stopped_by <= 64, "a process that can't be");
  if (image.process.zombie) return require(image.threads.empty(), "a zombie with threads");
  require(!image.threads.empty() && image.threads.front().tid == pid, "a process without its main thread");
  require(image.threads.size() == image.process.thread_count, "a thread is missing");
  require(!image.process.main_thread_ended || (image.threads.size() > 1 && WIFEXITED(image.process.exit_status)),
          "a main thread that can't have ended");
  for (const ThreadState& thread : image.threads) {
    require(thread.tid > 0 && thread.tid <= kMaxPid && thread.name.size() < 16 && thread.xstate.size() <= 64 * 1024 &&
                thread.credentials.groups.size() <= 65536 && thread.scheduling.cpus.size() <= 8192,
            "a thread that can't be");
  }
  for (const ThreadState& thread : image.threads) {
    constexpr std::size_t kMostInstructions = 4096;  // BPF_MAXINSNS
    for (const SeccompFilter& filter : thread.seccomp)
      require(
          !filter.program.empty() && filter.program.size() % 8 == 0 && filter.program.size() / 8 <= kMostInstructions,
          "a filter that can't be");
  }
  const auto& objects = model.open_files.objects;
  const auto cwd = static_cast<std::size_t>(image.process.cwd_object);
  require(image.process.cwd_object < 0 || (cwd < objects.size() && objects[cwd].kind == ObjectKind::GoneDirectory),
          "an unknown working directory");
  require(image.signals.actions.size() <= 64, "too many signal handlers");
  check_timers(image.timers);
  check_memory(image.memory, model, image.process.shared.memory != 0);
  check_files(image.files, model.open_files);
}

// Areas of one object of shared anonymous memory have pages of one size.
static void check_shared_memory(const ImageModel& model) {
  std::map<std::uint32_t, unsigned> sizes;
  for (const ProcessImage& image : model.processes) {
    for (const AreaState& area : image.memory.areas) {
      if (area.kind != AreaKind::SharedAnonymous) continue;
      require(sizes.emplace(area.file, huge_shift_of(area)).first->second == huge_shift_of(area),
              "shared memory in pages of two sizes");
    }
  }
}

// Every id once: of processes and of threads.
static void check_tree(const ImageModel& model) {
  std::set<std::int32_t> ids;
  require(!model.processes.empty() && !model.processes.front().process.zombie, "no process");
  std::map<std::int32_t, const ProcessState*> living;
  for (const ProcessImage& image : model.processes) {
    check_process(image, model);
    check_sharing(image, living);
    if (!image.process.zombie) living[image.process.pid] = &image.process;
    if (image.process.zombie) require(ids.insert(image.process.pid).second, "two processes of one id");
    for (const ThreadState& thread : image.threads) require(ids.insert(thread.tid).second, "two threads of one id");
  }
}

static void read_one(ImageModel& model, const Record& record, ImageObjects* objects) {
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
      if (objects != nullptr) objects->files.make_objects(model.open_files, is_this_boot(model.host.boot_id));
      return;
    case RecordType::FileData:
      if (const auto piece = record.decode<FileDataState>(); objects != nullptr)
        objects->files.add_content(model.open_files, piece);
      return;
    case RecordType::Ipc:
      require(model.processes.empty() && !model.ipc, "System V IPC after a process");
      model.ipc = record.decode<IpcState>();
      check_ipc(*model.ipc);
      if (objects != nullptr) objects->ipc.make(*model.ipc, objects->ipc_namespace);
      return;
    case RecordType::IpcData:
      if (const auto piece = record.decode<IpcDataState>(); objects != nullptr) objects->ipc.add_content(piece);
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

ImageModel read_metadata(ImageReader& reader, ImageObjects* objects) {
  ImageModel model;
  for (;;) {
    const Record record = reader.next();
    if (record.type == RecordType::MetadataEnd) break;
    read_one(model, record, objects);
  }
  require(model.host.xsave_bytes <= 64 * 1024, "processor state that is too long");
  require(model.host.host_boottime_ns >= 0 && model.host.realtime_ns >= 0, "clocks that can't be");
  check_tree(model);
  check_shared_memory(model);
  if (objects != nullptr) objects->files.finish_objects(model.open_files);
  return model;
}

}  // namespace drover
