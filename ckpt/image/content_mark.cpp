#include "ckpt/image/content_mark.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY  // for a state on the stack
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace drover {

// All of it, or nothing.
static std::vector<std::byte> read_at(int fd, std::uint64_t offset, std::size_t bytes) {
  std::vector<std::byte> content(bytes);
  const ssize_t n = ::pread(fd, content.data(), bytes, static_cast<off_t>(offset));
  if (n != static_cast<ssize_t>(bytes)) content.clear();
  return content;
}

template <class T>
static T value_at(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::vector<std::byte> find_build_id(std::span<const std::byte> notes, std::size_t alignment) {
  constexpr std::size_t kMostBytes = 64;
  static constexpr char kOwner[] = "GNU";
  const auto padded = [alignment](std::uint64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; };
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    const auto note = value_at<Elf64_Nhdr>(notes, 0);
    const std::uint64_t content = padded(sizeof note + std::uint64_t{note.n_namesz});
    const std::uint64_t end = content + note.n_descsz;
    if (end > notes.size()) break;
    const bool of_gnu = note.n_namesz == sizeof kOwner && std::memcmp(notes.data() + sizeof note, kOwner, 4) == 0;
    if (of_gnu && note.n_type == NT_GNU_BUILD_ID && note.n_descsz > 0 && note.n_descsz <= kMostBytes) {
      const auto id = notes.subspan(content, note.n_descsz);
      return {id.begin(), id.end()};
    }
    notes = notes.subspan(std::min<std::uint64_t>(padded(end), notes.size()));
  }
  return {};
}

// Of a program that is linked as usual all that is asked for lies in its first page.
static std::vector<std::byte> read_build_id(int fd, std::uint64_t size) {
  constexpr std::uint64_t kFirst = 4096, kMostNotes = 64 * 1024;
  const auto first = read_at(fd, 0, std::min(size, kFirst));
  if (first.size() < sizeof(Elf64_Ehdr)) return {};
  const auto header = value_at<Elf64_Ehdr>(first, 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) return {};
  for (std::uint64_t i = 0; i < header.e_phnum && header.e_phoff < first.size(); ++i) {
    const std::uint64_t at = header.e_phoff + i * sizeof(Elf64_Phdr);
    if (at + sizeof(Elf64_Phdr) > first.size()) break;
    const auto segment = value_at<Elf64_Phdr>(first, at);
    const bool sound = segment.p_filesz <= kMostNotes && segment.p_offset <= size;
    if (segment.p_type != PT_NOTE || !sound) continue;
    auto id = find_build_id(read_at(fd, segment.p_offset, segment.p_filesz), segment.p_align == 8 ? 8 : 4);
    if (!id.empty()) return id;
  }
  return {};
}

// By pieces that stay in the cache: fresh memory for all of it would take longer than the hash.
static std::vector<std::byte> hash_all(int fd, std::uint64_t size) {
  if (size > kMostHashedBytes) return {};
  std::array<std::byte, 16 * 1024> piece;
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  std::uint64_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(done));
    if (n <= 0) return {};
    XXH3_128bits_update(&state, piece.data(), static_cast<std::size_t>(n));
    done += static_cast<std::uint64_t>(n);
  }
  if (done != size) return {};
  const XXH128_hash_t hash = XXH3_128bits_digest(&state);
  const auto bytes = std::as_bytes(std::span(&hash, 1));
  return {bytes.begin(), bytes.end()};
}

ContentMark content_mark(int fd, ContentMarkKind kind) {
  struct stat info {};
  // Files of the kernel's own file systems have no blocks, nor a content that a size and a hash would say something of.
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0 || info.st_blocks == 0) return {};
  const auto size = static_cast<std::uint64_t>(info.st_size);
  ContentMark mark{kind, {}};
  if (kind == ContentMarkKind::Hash) mark.value = hash_all(fd, size);
  if (kind == ContentMarkKind::BuildId) mark.value = read_build_id(fd, size);
  return mark.value.empty() ? ContentMark{} : mark;
}

}  // namespace drover
