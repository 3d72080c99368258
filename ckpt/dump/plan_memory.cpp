// Which areas an address space has, and whether all of them can be made again elsewhere.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <bit>
#include <map>

#include "ckpt/dump/obstacles.h"
#include "ckpt/dump/tmpfs_files.h"
#include "ckpt/sys/aio_ring.h"
#include "ckpt/sys/text.h"

namespace drover {

static constexpr long kOverlayFs = 0x794c7630;

static std::string at(const Mapping& m) { return fmt::format("at {:#x}", m.start); }
static bool starts_with(const std::string& text, std::string_view prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

// Anonymous memory of mmap(2), MAP_HUGETLB, has a file of the kernel's own behind it.
static bool is_anonymous_huge(const Mapping& m) { return m.path == "/anon_hugepage (deleted)"; }

// 0: ordinary pages, or not known.
static std::uint32_t huge_shift_of(const Mapping& m) {
  return m.has_flag("ht") && m.page_kib != 0 ? static_cast<std::uint32_t>(std::countr_zero(m.page_kib) + 10) : 0;
}

// Flags of /proc/PID/smaps that stand for something we can't make again. (Documentation/filesystems/proc.rst)
static std::optional<Refusal> find_flag_obstacle(const Mapping& m) {
  if (m.has_flag("um") || m.has_flag("uw") || m.has_flag("ui")) return Refusal{"has a userfaultfd area " + at(m)};
  if (m.has_flag("ss")) return Refusal{"has a shadow stack " + at(m)};
  if (m.has_flag("sl")) return Refusal{"has a sealed area " + at(m)};
  if (m.has_flag("dp")) return Refusal{"has a droppable area " + at(m)};
  if (m.has_flag("io") || m.has_flag("pf")) return Refusal{fmt::format("maps device memory, {} {}", m.path, at(m))};
  if (m.has_flag("lf")) return Refusal{"has an area locked on fault, " + at(m)};
  return std::nullopt;
}

static std::uint32_t area_flags(const Mapping& m) {
  static constexpr std::pair<const char*, AreaFlag> kFlags[] = {
      {"gd", kAreaGrowsDown},   {"nr", kAreaNoReserve}, {"sr", kAreaSequential}, {"rr", kAreaRandom},
      {"dc", kAreaDontFork},    {"dd", kAreaDontDump},  {"wf", kAreaWipeOnFork}, {"hg", kAreaHugePages},
      {"nh", kAreaNoHugePages}, {"mg", kAreaMergeable}, {"lo", kAreaLocked},     {"mw", kAreaMayWrite}};
  std::uint32_t flags = 0;
  for (const auto& [name, flag] : kFlags) {
    if (m.has_flag(name)) flags |= flag;
  }
  return flags | huge_shift_of(m) << kAreaHugeShift;
}

namespace {

class MemoryPlanner {
 public:
  MemoryPlanner(pid_t pid, TreeObjects& objects) : pid_(pid), objects_(objects) {}

  std::optional<Refusal> add(const Mapping& m) {
    if (m.path == "[vsyscall]") return std::nullopt;  // the kernel's own, the same in every process
    AreaState area{m.start, m.end, AreaKind::Anonymous, m.prot, area_flags(m), m.offset, 0, 0};
    area.key = static_cast<std::uint8_t>(m.protection_key);
    const bool vdso = m.path == "[vdso]" || starts_with(m.path, "[vvar");
    if (!vdso) {
      if (auto refusal = find_flag_obstacle(m)) return refusal;
    }
    if (vdso && m.protection_key != 0) return Refusal{"has a protection key on the vdso, " + at(m)};
    if (vdso) {
      area.kind = AreaKind::Vdso;
    } else if (is_anonymous_huge(m) && !m.shared) {
      area.offset = 0;
    } else if (m.shared && (is_anonymous_huge(m) || starts_with(m.path, "/dev/zero (deleted)") ||
                            starts_with(m.path, "[anon_shmem:"))) {
      area.kind = AreaKind::SharedAnonymous;
      area.file = number_of_shared({m.device, m.inode});
    } else if (!m.path.empty() && m.path[0] != '[') {
      if (auto refusal = add_file(m, area)) return refusal;
    } else if (!m.path.empty() && m.path != "[heap]" && m.path != "[stack]" && !starts_with(m.path, "[anon:")) {
      return Refusal{fmt::format("has an area {} {}", m.path, at(m))};
    }
    add_name(m);
    state.areas.push_back(area);
    return std::nullopt;
  }

  std::optional<Refusal> add_executable(pid_t pid) {
    const std::string path = read_link(proc_path(pid, "exe"));
    struct stat info {};
    if (const auto name = without_deleted(path)) return add_carried_executable(path, *name);
    if (objects_.options.with_program || is_carried(objects_.options, path)) return add_carried_executable(path, path);
    if (::stat(path.c_str(), &info) != 0) return Refusal{fmt::format("its program {} is out of reach", path)};
    state.executable = file_index(path, info, false);
    return std::nullopt;
  }

  MemoryState state;

 private:
  // As a rule some of it is mapped.
  std::optional<Refusal> add_carried_executable(const std::string& path, const std::string& name) {
    const std::string link = proc_path(pid_, "exe");
    struct stat info {};
    if (::stat(link.c_str(), &info) != 0) return Refusal{fmt::format("its program {} is out of reach", path)};
    if (static_cast<std::uint64_t>(info.st_size) > kMaxCarriedBytes)
      return Refusal{fmt::format("its program can only travel itself, and is too large, {}", path)};
    const auto mapped = nameless_.find(path);
    const std::uint32_t number =
        mapped != nameless_.end() ? mapped->second : objects_.number_of({info.st_dev, info.st_ino}, nameless(name));
    objects_.objects[number].program = true;
    objects_.objects[number].mode = info.st_mode;
    objects_.objects[number].size = static_cast<std::uint64_t>(info.st_size);
    objects_.sources[number].path = link;
    state.executable_object = static_cast<std::int32_t>(number);
    return std::nullopt;
  }

  // `path` without the kernel's remark.
  static FileObject nameless(const std::string& path) {
    static constexpr std::string_view kMemfd = "/memfd:";
    FileObject object;
    object.kind = starts_with(path, kMemfd) ? ObjectKind::Memfd : ObjectKind::Unlinked;
    object.path = object.kind == ObjectKind::Memfd ? path.substr(kMemfd.size())
                                                   : path.substr(0, std::max<std::size_t>(1, path.rfind('/')));
    object.mode = S_IFREG | 0600;
    return object;
  }

  void add_name(const Mapping& m) {
    for (const std::string_view prefix : {"[anon:", "[anon_shmem:"}) {
      if (starts_with(m.path, prefix) && m.path.back() == ']')
        state.names.push_back({m.start, m.end, m.path.substr(prefix.size(), m.path.size() - prefix.size() - 1)});
    }
  }

  std::optional<Refusal> add_file(const Mapping& m, AreaState& area) {
    if (starts_with(m.path, "/SYSV")) return add_segment(m, area);
    if (m.path == kAioRingPath) {
      area.kind = AreaKind::AioRing;
      return std::nullopt;
    }
    if (m.path[0] != '/') return Refusal{fmt::format("maps {} {}", m.path, at(m))};
    if (const auto path = without_deleted(m.path)) {
      const std::string folder = path->substr(0, std::max<std::size_t>(1, path->rfind('/')));
      const auto name = find_tmpfs_name(folder, m.device, m.inode);
      if (!name) return add_nameless(m, *path, area);
      Mapping named = m;
      named.path = *name;
      return add_file(named, area);
    }
    // Files are mapped in pieces that lie side by side.
    if (m.path != last_path_ && ::stat(m.path.c_str(), &last_info_) != 0)
      return Refusal{fmt::format("maps {}, which is out of reach", m.path)};
    last_path_ = m.path;
    const struct stat& info = last_info_;
    // What is shared, and shown by this name, can't be written to: do_mmap() takes VM_SHARED from a descriptor that is
    // open for reading only, and without it mmap_zero() makes nothing shared.
    const bool zeros = S_ISCHR(info.st_mode) && m.path == "/dev/zero";
    if (!zeros && !S_ISREG(info.st_mode)) return Refusal{fmt::format("maps a device, {}", m.path)};
    if (!same_file(m, info)) return Refusal{fmt::format("maps {}, which has been replaced since", m.path)};
    const bool written = m.shared && ((m.prot & PROT_WRITE) != 0 || m.has_flag("mw"));
    const bool carried =
        (objects_.options.with_program && !m.shared) || (is_carried(objects_.options, m.path) && !written);
    if (carried && !zeros) return add_carried(m, info, area);
    area.kind = m.shared ? AreaKind::FileShared : AreaKind::FilePrivate;
    area.file = file_index(m.path, info, written);
    if (!m.shared || zeros) return std::nullopt;
    return plan_tmpfs_file(m.path, info, written, m.path, objects_);
  }

  // "/SYSV0000162e (deleted)": the key that it was made with; the inode is its id (ipc/shm.c, newseg()).
  std::optional<Refusal> add_segment(const Mapping& m, AreaState& area) {
    if (!objects_.options.own_ipc) return Refusal{"uses System V shared memory, " + at(m)};
    const auto key = to_number(m.path.substr(5, 8), 16);
    const auto id = static_cast<std::int32_t>(m.inode);
    const auto fresh = static_cast<std::uint32_t>(objects_.segments.size());
    auto& segment = objects_.segments.emplace(id, TreeObjects::Segment{fresh, 0}).first->second;
    segment.key = static_cast<std::int32_t>(key.value_or(0));
    area.kind = AreaKind::SystemV;
    area.file = segment.index;
    return std::nullopt;
  }

  std::uint32_t number_of_shared(const TreeObjects::Key& key) {
    auto& numbers = objects_.shared_memory;
    return numbers.emplace(key, static_cast<std::uint32_t>(numbers.size())).first->second;
  }

  // Which file an area maps is told by its device and inode, but on overlayfs they are not those of its descriptors.
  std::optional<Refusal> add_nameless(const Mapping& m, const std::string& path, AreaState& area) {
    FileObject object = nameless(path);
    struct statfs fs {};
    const bool unlinked = object.kind == ObjectKind::Unlinked;
    if (unlinked && ::statfs(object.path.c_str(), &fs) == 0 && fs.f_type == kOverlayFs)
      return Refusal{fmt::format("maps a deleted file of an overlay, {}", path)};
    object.size = m.offset + m.bytes();
    // Exact, and open to root only (CAP_CHECKPOINT_RESTORE in the initial user namespace, proc_pid_map_files(5)).
    struct stat info {};
    if (::stat(proc_path(pid_, fmt::format("map_files/{:x}-{:x}", m.start, m.end)).c_str(), &info) == 0) {
      object.mode = info.st_mode;
      object.size = static_cast<std::uint64_t>(info.st_size);
    }
    area.kind = m.shared ? AreaKind::NamelessShared : AreaKind::NamelessPrivate;
    object.huge_shift = huge_shift_of(m);
    area.file = objects_.number_of({m.device, m.inode}, object);
    nameless_[m.path] = area.file;
    objects_.sources[area.file].mapped.push_back({pid_, m.start, m.end, m.offset, m.shared, {}});
    FileObject& known = objects_.objects[area.file];
    if (objects_.sources[area.file].fd < 0 && objects_.sources[area.file].path.empty())
      known.size = std::max(known.size, object.size);
    return std::nullopt;
  }

  std::optional<Refusal> add_carried(const Mapping& m, const struct stat& info, AreaState& area) {
    FileObject object = nameless(m.path);
    object.huge_shift = huge_shift_of(m);
    object.mode = info.st_mode;
    object.size = static_cast<std::uint64_t>(info.st_size);
    area.kind = m.shared ? AreaKind::NamelessShared : AreaKind::NamelessPrivate;
    area.file = objects_.number_of({m.device, m.inode}, object);
    nameless_[m.path] = area.file;
    objects_.sources[area.file].mapped.push_back({pid_, m.start, m.end, m.offset, m.shared, {}});
    return std::nullopt;
  }

  // Areas name the real file's device and inode; stat() may name others on overlayfs (both) and btrfs (the device).
  static bool same_file(const Mapping& m, const struct stat& info) {
    if (m.inode == info.st_ino) return true;
    struct statfs fs {};
    return m.device != info.st_dev && ::statfs(m.path.c_str(), &fs) == 0 && fs.f_type == kOverlayFs;
  }

  std::uint32_t file_index(const std::string& path, const struct stat& info, bool written) {
    const auto [it, fresh] = indices_.emplace(path, static_cast<std::uint32_t>(state.files.size()));
    if (fresh) {
      const std::int64_t mtime = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
      state.files.push_back({path, info.st_mode, static_cast<std::uint64_t>(info.st_size), mtime, written});
    }
    state.files[it->second].written |= written;
    return it->second;
  }

  std::map<std::string, std::uint32_t> indices_;
  std::map<std::string, std::uint32_t> nameless_;  // objects by how maps show them
  std::string last_path_;                          // and what is there
  struct stat last_info_ {};
  pid_t pid_;
  TreeObjects& objects_;
};

}  // namespace

std::uint32_t TreeObjects::number_of(const Key& key, const FileObject& object) {
  const auto [it, fresh] = numbers.emplace(key, static_cast<std::uint32_t>(objects.size()));
  if (fresh) {
    objects.push_back(object);
    sources.emplace_back();
  }
  return it->second;
}

Or<MemoryState> plan_memory(pid_t pid, const std::vector<Mapping>& mappings, TreeObjects& objects) {
  MemoryPlanner planner(pid, objects);
  planner.state.process = pid;
  for (const Mapping& mapping : mappings) {
    if (auto refusal = planner.add(mapping)) return *refusal;
  }
  if (auto refusal = planner.add_executable(pid)) return *refusal;
  return std::move(planner.state);
}

}  // namespace drover
