// Huge pages that are set aside for a purpose (hugetlbfs, MAP_HUGETLB): there are only so many on a machine, so a tree
// gets its own before a process of it is made, or is refused.
#pragma once

#include <optional>

#include "ckpt/image/state/files.h"
#include "ckpt/restore/file_table.h"
#include "ckpt/restore/image_model.h"
#include "ckpt/sys/error.h"

namespace drover {

// Of mmap(2) and memfd_create(2); `huge_shift`: the binary logarithm of their size, 0: ordinary pages.
int huge_page_flags(unsigned huge_shift);
unsigned memfd_flags(unsigned huge_shift);
// Of an open file.
unsigned huge_shift_of(int fd);

// Puts a piece of content into a file, or says why there is no page for it. Throws ImageError if it is not of the file.
std::optional<Refusal> write_huge_pages(int fd, const FileObject&, const FileDataState& piece);

// For everything that the tree maps of its objects.
std::optional<Refusal> reserve_huge_pages(const ImageModel&, const FileTable&);
// Is enough left for its anonymous memory and its private copies?
std::optional<Refusal> check_huge_pages(const ImageModel&);

}  // namespace drover
