#include "ckpt/restore/checks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/user.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "ckpt/image/content_mark.h"
#include "ckpt/restore/aio_checks.h"
#include "ckpt/restore/huge_pages.h"
#include "ckpt/restore/protection_keys.h"
#include "ckpt/restore/socket_checks.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/cpu.h"
#include "ckpt/sys/features.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/vdso.h"

namespace drover {

static std::optional<Refusal> check_cpu(const ImageModel& model) {
  if (is_this_boot(model.host.boot_id)) return std::nullopt;
  CpuFeatures needed;
  needed.xcr0 = model.host.xcr0;
  needed.instructions = model.host.instructions;
  const std::string why = processor_lacks(cpu_features(), needed);
  if (why.empty()) return std::nullopt;
  return Refusal{"the processor here " + why};
}

// Another vdso is no obstacle, unless it can't be understood or somebody is just running through the old one.
static std::optional<Refusal> check_vdso(const ImageModel& model, const RestoreOptions& options) {
  const auto& own = own_vdso();
  if (model.host.vdso.empty() || (model.host.vdso == own && !options.other_vdso)) return std::nullopt;
  if (redirect_vdso(model.host.vdso, own, 0).empty())
    return Refusal{fmt::format("the kernel here can't take the place of the program's vdso (Linux {})",
                               model.host.kernel_release)};
  for (const ProcessImage& image : model.processes) {
    for (const ThreadState& thread : image.threads) {
      user_regs_struct registers{};
      std::memcpy(&registers, thread.registers.data(), sizeof registers);
      for (const AreaState& area : image.memory.areas) {
        if (area.kind == AreaKind::Vdso && registers.rip - area.start < area.bytes())
          return Refusal{fmt::format("thread {} is inside the vdso of another kernel", thread.tid)};
      }
    }
  }
  return std::nullopt;
}

// The files of the kernel's own file systems have neither a size nor a time that means anything, and other ones in each
// mount.
static bool is_of_kernel(const std::string& path) {
  struct statfs fs {};
  return ::statfs(path.c_str(), &fs) == 0 &&
         (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC || fs.f_type == NSFS_MAGIC);
}

static std::optional<Refusal> check_file(const FileIdentity& file, bool may_be_longer) {
  // Opening makes an NFS client ask the server (close-to-open consistency, nfs(5)); stat() alone may show an old size.
  const UniqueFd opened(S_ISREG(file.mode) ? ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1);
  struct stat now {};
  if (::stat(file.path.c_str(), &now) != 0)
    return Refusal{fmt::format("{} is not here: {}", file.path, error_text(errno))};
  if ((now.st_mode & S_IFMT) != (file.mode & S_IFMT))
    return Refusal{fmt::format("{} is another kind of file here", file.path)};
  if (!S_ISREG(now.st_mode) || is_of_kernel(file.path)) return std::nullopt;
  const std::int64_t mtime = now.st_mtim.tv_sec * 1'000'000'000 + now.st_mtim.tv_nsec;
  const auto size = static_cast<std::uint64_t>(now.st_size);
  if (file.written && may_be_longer && size > file.size) return std::nullopt;  // truncate_files()
  if (file.written && size > file.size) {
    Refusal refusal{fmt::format("{} differs here from what the program had: it has grown from {} to {} bytes",
                                file.path, file.size, size)};
    refusal.grown = true;
    return refusal;
  }
  const bool same =
      size == file.size && (file.written || mtime == file.mtime_ns ||
                            (opened && file.content.same_as(content_mark(opened.get(), file.content.kind))));
  if (!same) return Refusal{fmt::format("{} differs here from what the program had", file.path)};
  return std::nullopt;
}

namespace {

// Refuses at once what only this node could mend; files that the dumper can take along are gathered first.
class FileChecks {
 public:
  explicit FileChecks(bool may_be_longer) : may_be_longer_(may_be_longer) {}
  std::optional<Refusal> check(const FileIdentity& file, bool can_travel) {
    auto refusal = check_file(file, may_be_longer_);
    if (!refusal || !can_travel) return refusal;
    if (!differing_) differing_ = *refusal;
    auto& paths = differing_->differing;
    if (std::find(paths.begin(), paths.end(), file.path) == paths.end()) paths.push_back(file.path);
    return std::nullopt;
  }
  const std::optional<Refusal>& differing() const { return differing_; }

 private:
  bool may_be_longer_;
  std::optional<Refusal> differing_;
};

}  // namespace

static std::optional<Refusal> check_open_files(const ImageModel& model, const RestoreOptions& options,
                                               FileChecks& files) {
  for (const TerminalState& terminal : model.open_files.terminals) {
    if (terminal.given && !options.terminal)
      return Refusal{fmt::format("nobody holds the other side of its terminal /dev/pts/{} here", terminal.number)};
  }
  for (const OpenFileState& file : model.open_files.files) {
    if (file.kind == FileKind::Regular || file.kind == FileKind::Directory || file.kind == FileKind::Device) {
      const bool can_travel = file.kind == FileKind::Regular && !file.file.written;
      if (auto refusal = files.check(file.file, can_travel)) return refusal;
    }
    if (file.kind == FileKind::External && options.external.count(file.key) == 0)
      return Refusal{fmt::format("nobody holds the other end of \"{}\" here", file.key)};
  }
  return std::nullopt;
}

static std::optional<Refusal> check_files(const ProcessImage& image, FileChecks& files) {
  for (const FileIdentity& file : image.memory.files) {
    if (auto refusal = files.check(file, !file.written)) return refusal;
  }
  const bool cwd_is_gone = image.process.cwd_object >= 0;
  for (const std::string& folder : {cwd_is_gone ? "/" : image.process.cwd, image.process.root}) {
    if (::access(folder.c_str(), X_OK) != 0)
      return Refusal{fmt::format("{} is not here: {}", folder, error_text(errno))};
  }
  return std::nullopt;
}

static std::optional<Refusal> check_memory(const ImageModel& model) {
  std::uint64_t needed_kib = 0, available_kib = 0;
  for (const ProcessImage& image : model.processes) needed_kib += image.memory.content_pages * (kPageBytes / 1024);
  // Asked first, since meminfo adds up what all processors and zones have.
  struct sysinfo info {};
  if (::sysinfo(&info) == 0 && needed_kib < info.freeram * info.mem_unit / 1024 / 2) return std::nullopt;
  const auto text = try_read_text("/proc/meminfo");
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  for (std::string_view line; next_line(rest, line);) {
    if (next_word(line) == "MemAvailable:") available_kib = to_number(next_word(line)).value_or(0);
  }
  if (available_kib == 0 || needed_kib <= available_kib) return std::nullopt;
  return Refusal{fmt::format("needs {} MiB of memory, {} MiB are free here", needed_kib / 1024, available_kib / 1024)};
}

// These two the kernel sets from the size of the machine's memory: a smaller one here is no choice of anybody's.
static bool is_host_derived(std::size_t resource) { return resource == RLIMIT_NPROC || resource == RLIMIT_SIGPENDING; }

static std::optional<Refusal> check_limits(const ProcessImage& image) {
  if (::geteuid() == 0) return std::nullopt;  // may raise them, as a rule
  for (std::size_t resource = 0; resource < image.process.limits.size() && resource < RLIM_NLIMITS; ++resource) {
    rlimit own{};
    ::getrlimit(static_cast<__rlimit_resource_t>(resource), &own);
    if (image.process.limits[resource].hard > own.rlim_max && !is_host_derived(resource))
      return Refusal{fmt::format("resource limit {} of the program is higher than may be set here", resource)};
  }
  return std::nullopt;
}

// A process that has just ended here may still be waiting to be reaped by somebody else; that passes.
static std::optional<Refusal> check_pid(pid_t pid) {
  for (int attempt = 0; ::kill(pid, 0) == 0 || errno == EPERM; ++attempt) {
    const auto stat = try_read_text(proc_path(pid, "stat"));
    const bool dying = !stat || parse_task_stat(*stat).state == 'Z' || parse_task_stat(*stat).state == 'X';
    if (!dying || attempt > 1000) {
      Refusal refusal{fmt::format("process id {} is taken here", pid)};
      refusal.id_taken = true;
      return refusal;
    }
    const timespec pause{0, 2'000'000};
    ::nanosleep(&pause, nullptr);
  }
  return std::nullopt;
}

static std::optional<Refusal> check_terminals(const OpenFilesState& files) {
  for (const TerminalState& terminal : files.terminals) {
    const std::string name = fmt::format("/dev/pts/{}", terminal.number);
    if (terminal.hung_up || ::access(name.c_str(), F_OK) != 0) continue;
    Refusal refusal{fmt::format("terminal {} is taken here", name)};
    refusal.id_taken = true;
    return refusal;
  }
  return std::nullopt;
}

std::optional<Refusal> find_restore_obstacle(const ImageModel& model, const RestoreOptions& options) {
  if (auto refusal = check_protection_keys(model, [] { return kernel_features().protection_keys; })) return refusal;
  if (auto refusal = check_cpu(model)) return refusal;
  if (auto refusal = check_vdso(model, options)) return refusal;
  if (auto refusal = check_memory(model)) return refusal;
  if (auto refusal = check_huge_pages(model)) return refusal;
  if (auto refusal = find_aio_obstacle(model)) return refusal;
  FileChecks files(options.truncate);
  if (auto refusal = check_open_files(model, options, files)) return refusal;
  if (auto refusal = check_terminals(model.open_files)) return refusal;
  if (auto refusal = find_socket_obstacle(model.open_files, options.live)) return refusal;
  for (const ProcessImage& image : model.processes) {
    if (image.process.zombie) {
      if (auto refusal = check_pid(image.process.pid)) return refusal;
      continue;
    }
    if (auto refusal = check_files(image, files)) return refusal;
    if (auto refusal = check_limits(image)) return refusal;
    for (const ThreadState& thread : image.threads) {
      if (!thread.seccomp.empty() && !may_suspend_seccomp())
        return Refusal{fmt::format("thread {} has a seccomp filter, which only root may give it", thread.tid)};
      if (auto refusal = check_pid(thread.tid)) return refusal;
    }
  }
  return files.differing();
}

static void truncate_file(const FileIdentity& file) {
  struct stat now {};
  if (!file.written || !S_ISREG(file.mode) || is_of_kernel(file.path)) return;
  check(::stat(file.path.c_str(), &now), "stat", file.path);
  if (static_cast<std::uint64_t>(now.st_size) > file.size)
    check(::truncate(file.path.c_str(), static_cast<off_t>(file.size)), "truncate", file.path);
}

void truncate_files(const ImageModel& model) {
  for (const OpenFileState& file : model.open_files.files)
    if (file.kind == FileKind::Regular) truncate_file(file.file);
  for (const ProcessImage& image : model.processes)
    for (const FileIdentity& file : image.memory.files) truncate_file(file);
}

}  // namespace drover
