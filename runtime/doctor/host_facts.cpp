#include "runtime/doctor/host_facts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cstdlib>

#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

namespace {

std::uint64_t soft_limit(__rlimit_resource resource) {
  rlimit limit{};
  return ::getrlimit(resource, &limit) == 0 ? limit.rlim_cur : 0;
}

std::string file_system_name(long type) {
  // Of those that are not in linux/magic.h: their own sources.
  constexpr std::pair<long, const char*> kNames[] = {
      {NFS_SUPER_MAGIC, "nfs"},     {EXT4_SUPER_MAGIC, "ext4"}, {XFS_SUPER_MAGIC, "xfs"},
      {BTRFS_SUPER_MAGIC, "btrfs"}, {TMPFS_MAGIC, "tmpfs"},     {OVERLAYFS_SUPER_MAGIC, "overlay"},
      {SMB2_SUPER_MAGIC, "cifs"},   {CEPH_SUPER_MAGIC, "ceph"}, {AFS_SUPER_MAGIC, "afs"},
      {V9FS_MAGIC, "9p"},           {FUSE_SUPER_MAGIC, "fuse"}, {0x0BD00BD0, "lustre"},
      {0x47504653, "gpfs"},         {0x19830326, "beegfs"},     {0x2FC12FC1, "zfs"}};
  for (const auto& [number, name] : kNames)
    if (number == type) return name;
  return fmt::format("{:#x}", type);
}

// As runtime/migrate/register.cpp makes it: a file, fsync(2), link(2), two links.
std::string try_register(const std::string& directory) {
  const std::string file = fmt::format("{}/doctor.{}.{}", directory, ::getpid(), ::random()), name = file + ".owner";
  struct Cleanup {
    const std::string &file, &name;
    ~Cleanup() {
      ::unlink(file.c_str());
      ::unlink(name.c_str());
    }
  } const cleanup{file, name};
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return "open: " + error_text(errno);
  if (::fsync(fd.get()) != 0) return "fsync: " + error_text(errno);
  if (::link(file.c_str(), name.c_str()) != 0) return "link: " + error_text(errno);
  struct stat linked {};
  if (::fstat(fd.get(), &linked) != 0) return "stat: " + error_text(errno);
  return linked.st_nlink == 2 ? "" : fmt::format("link: {} links instead of 2", linked.st_nlink);
}

}  // namespace

HostFacts read_host_facts(const std::string& state_dir) {
  HostFacts facts;
  facts.kernel = kernel_features();
  facts.may_suspend_seccomp = may_suspend_seccomp();
  if (const auto scope = try_read_text("/proc/sys/kernel/yama/ptrace_scope"))
    facts.ptrace_scope = std::atoi(scope->c_str());
  facts.root = ::geteuid() == 0;
  facts.open_files = soft_limit(RLIMIT_NOFILE);
  facts.processes = soft_limit(RLIMIT_NPROC);
  facts.state_dir = state_dir;
  struct statfs system {};
  if (::statfs(state_dir.c_str(), &system) == 0) {
    facts.state_file_system = file_system_name(system.f_type);
    facts.state_free_kib = system.f_bavail * static_cast<std::uint64_t>(system.f_bsize) / 1024;
    facts.state_error = try_register(state_dir);
  } else {
    facts.state_error = error_text(errno);
  }
  if (::statfs("/dev/shm", &system) == 0)
    facts.shm_free_kib = system.f_bavail * static_cast<std::uint64_t>(system.f_bsize) / 1024;
  return facts;
}

}  // namespace drover
