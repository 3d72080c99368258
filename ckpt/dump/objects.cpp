// What travels because it has no name: unlinked files, memfds, and what lies in pipes.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ckpt/dump/collect.h"
#include "ckpt/dump/huge_pages.h"
#include "ckpt/sys/error.h"
#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

static constexpr std::size_t kPieceBytes = 128 * 1024;

// Without a name it can still be opened anew through /proc, whatever mode the program has it in.
static UniqueFd reopen(const TreeObjects::Source& source) {
  const std::string path = source.fd < 0 ? source.path : proc_path(source.process, fmt::format("fd/{}", source.fd));
  return UniqueFd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path));
}

// Where nobody tells us the size of a mapped file, it ends with the last page that can be read.
static std::uint64_t readable_end(const TreeObjects::Source& source) {
  std::uint64_t end = 0;
  for (const TreeObjects::Mapped& m : source.mapped) {
    const RemoteMemory memory(m.process);
    std::byte byte;
    for (std::uint64_t at = m.end; at > m.start; at -= kPageBytes) {
      if (!memory.try_read(at - kPageBytes, {&byte, 1})) continue;
      end = std::max(end, m.offset + (at - m.start));
      break;
    }
  }
  return end;
}

void measure_objects(TreeObjects& all) {
  for (std::size_t i = 0; i < all.objects.size(); ++i) {
    FileObject& object = all.objects[i];
    const TreeObjects::Source& source = all.sources[i];
    if (object.kind == ObjectKind::Tmpfs || object.kind == ObjectKind::GoneDirectory) continue;
    if (source.fd < 0 && !source.path.empty() && object.kind == ObjectKind::Unlinked) continue;
    // A mapping that may be written to makes the file as long as it is (hugetlbfs_file_mmap()).
    if (source.fd < 0 && source.path.empty() && object.huge_shift != 0) continue;
    if (source.fd < 0 && source.path.empty()) {
      object.size = std::min(object.size, readable_end(source));
      continue;
    }
    if (object.kind == ObjectKind::Unlinked) continue;
    const UniqueFd fd = reopen(source);
    if (object.kind == ObjectKind::Pipe)
      object.size = static_cast<std::uint64_t>(check(::fcntl(fd.get(), F_GETPIPE_SZ), "F_GETPIPE_SZ"));
    else
      object.seals = static_cast<std::uint32_t>(check(::fcntl(fd.get(), F_GET_SEALS), "F_GET_SEALS"));
  }
}

// The parts that hold data, where the file system tells (lseek(2), SEEK_DATA). hugetlbfs does not, but gives zeros for
// what is not there without making pages (hugetlbfs_read_iter()).
static void write_file(int fd, bool tells_holes, FileDataState piece, ImageWriter& writer) {
  for (;;) {
    const off_t data = ::lseek(fd, static_cast<off_t>(piece.offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return;
    if (data >= 0) piece.offset = static_cast<std::uint64_t>(data);
    piece.bytes.resize(kPieceBytes);
    const auto n = check(::pread(fd, piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(piece.offset)), "read",
                         "file without a name");
    if (n == 0) return;
    piece.bytes.resize(static_cast<std::size_t>(n));
    if (tells_holes || !all_zero(piece.bytes)) writer.add(RecordType::FileData, piece);
    piece.offset += piece.bytes.size();
  }
}

// tee(2) gives what lies in the pipe without taking it out, and of packets (pipe2(2), O_DIRECT) each read gives one.
static void write_pipe(int fd, std::uint64_t size, FileDataState piece, ImageWriter& writer) {
  int copy[2];
  check(::pipe2(copy, O_CLOEXEC | O_NONBLOCK), "pipe");
  const UniqueFd copy_read(copy[0]), copy_write(copy[1]);
  check(::fcntl(copy[0], F_SETPIPE_SZ, static_cast<int>(size)), "F_SETPIPE_SZ");
  if (::tee(fd, copy[1], size, SPLICE_F_NONBLOCK) < 0 && errno != EAGAIN) throw SystemError("tee", "pipe", errno);
  for (;;) {
    piece.bytes.resize(kPieceBytes);
    const ssize_t n = ::read(copy[0], piece.bytes.data(), piece.bytes.size());
    if (n <= 0) return;
    piece.bytes.resize(static_cast<std::size_t>(n));
    writer.add(RecordType::FileData, piece);
    piece.offset += piece.bytes.size();
  }
}

namespace {

// The pages of a file without a descriptor, from the memory of those that map it: what a process has written to
// privately is not the file's, and what one has shown no other needs to.
class MappedWriter {
 public:
  MappedWriter(FileDataState piece, std::uint32_t huge_shift, ImageWriter& writer)
      : piece_(std::move(piece)), huge_shift_(huge_shift), writer_(writer) {}

  void write(const TreeObjects::Mapped& m, const std::vector<PageRun>& own) {
    const RemoteMemory memory(m.process);
    auto run = own.begin();
    for (std::uint64_t at = m.start; at < m.end; at += kPageBytes) {
      while (run != own.end() && run->address + run->pages * kPageBytes <= at) ++run;
      const bool is_own = !m.shared && run != own.end() && run->address <= at;
      const std::size_t page = (m.offset + (at - m.start)) / kPageBytes;
      if (done_.size() <= page) done_.resize(page + 1);
      const bool missing = huge_shift_ != 0 && !m.huge_pages.at((at - m.start) >> huge_shift_);
      if (is_own || done_[page] || missing) continue;
      if (at < ahead_at_ || at + kPageBytes > ahead_at_ + ahead_.size()) read_ahead(memory, at, readable_to(at, m));
      if (ahead_.empty()) continue;
      done_[page] = true;
      add(page, std::span(ahead_).subspan(at - ahead_at_, kPageBytes));
    }
    ahead_.clear();
  }

  void flush() {
    if (!piece_.bytes.empty()) writer_.add(RecordType::FileData, piece_);
    piece_.bytes.clear();
  }

 private:
  // Of the next huge page nothing is known.
  std::uint64_t readable_to(std::uint64_t at, const TreeObjects::Mapped& m) const {
    return huge_shift_ == 0 ? m.end : std::min(m.end, ((at >> huge_shift_) + 1) << huge_shift_);
  }

  // Behind the end of a file nothing can be read: then page by page.
  void read_ahead(const RemoteMemory& memory, std::uint64_t at, std::uint64_t end) {
    ahead_at_ = at;
    for (const std::uint64_t wanted : {std::uint64_t{kPieceBytes}, std::uint64_t{kPageBytes}}) {
      ahead_.resize(std::min(wanted, end - at));
      if (memory.try_read(at, ahead_)) return;
    }
    ahead_.clear();
  }

  void add(std::size_t page, std::span<const std::byte> bytes) {
    const std::uint64_t offset = page * kPageBytes;
    if (all_zero(bytes)) return;
    if (piece_.offset + piece_.bytes.size() != offset || piece_.bytes.size() >= kPieceBytes) flush();
    if (piece_.bytes.empty()) piece_.offset = offset;
    piece_.bytes.insert(piece_.bytes.end(), bytes.begin(), bytes.end());
  }

  FileDataState piece_;
  std::uint32_t huge_shift_;
  ImageWriter& writer_;
  std::vector<bool> done_;  // by page of the file
  std::vector<std::byte> ahead_;
  std::uint64_t ahead_at_ = 0;
};

}  // namespace

void write_objects(const TreeObjects& all, const std::map<pid_t, const std::vector<PageRun>*>& pages,
                   ImageWriter& writer) {
  for (std::size_t i = 0; i < all.objects.size(); ++i) {
    const TreeObjects::Source& source = all.sources[i];
    const FileDataState piece{static_cast<std::uint32_t>(i), 0, {}};
    if (all.objects[i].kind == ObjectKind::GoneDirectory) continue;
    if (source.fd >= 0 || !source.path.empty()) {
      const UniqueFd fd = reopen(source);
      if (all.objects[i].kind == ObjectKind::Pipe)
        write_pipe(fd.get(), all.objects[i].size, piece, writer);
      else
        write_file(fd.get(), all.objects[i].huge_shift == 0, piece, writer);
      continue;
    }
    MappedWriter mapped(piece, all.objects[i].huge_shift, writer);
    for (const TreeObjects::Mapped& m : source.mapped) mapped.write(m, *pages.at(m.process));
    mapped.flush();
  }
}

}  // namespace drover
