// Is a file of the same name and size but another time of change the same? A mark of its content tells, which is cheap
// enough to be taken while a program stands still: a hash of all of it, or of a larger program or library its build-id,
// by which debuggers find the symbols of a core file, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ckpt/image/state/file_identity.h"

namespace drover {

// Files up to this size are hashed.
inline constexpr std::uint64_t kMostHashedBytes = 256 * 1024;

// Of a regular file that is open for reading. None, too, if it has none of that kind, is too large or of the kernel's
// own, or can't be read.
ContentMark content_mark(int fd, ContentMarkKind kind);

// The NT_GNU_BUILD_ID among the notes of an ELF file (elf(5)), which are padded to `alignment`; empty if there is none.
std::vector<std::byte> find_build_id(std::span<const std::byte> notes, std::size_t alignment);

}  // namespace drover
