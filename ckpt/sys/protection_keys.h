// Memory protection keys (pkeys(7)): every page has one of 16, and every thread a register, PKRU, that says by two bits
// for each key whether it may not read such pages (1), or not write to them (2).
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace drover {

inline constexpr unsigned kProtectionKeys = 16;

// Nothing can be mapped there. pkey_mprotect(2) looks at the key first (EINVAL), then finds no area (ENOMEM): so it
// tells which keys are allocated, and changes nothing. (do_mprotect_pkey())
inline constexpr std::uint64_t kNowhere = 0xffff'ffff'ffff'e000;
inline bool is_key_allocated(long result_at_nowhere) { return result_at_nowhere == -ENOMEM; }

inline unsigned key_rights(std::uint32_t pkru, unsigned key) { return pkru >> (2 * key) & 3; }

// Where PKRU lies in the standard format of the XSAVE area; 0 if the kernel does not save it.
std::size_t pkru_offset();

// Of the bytes of NT_X86_XSTATE, which may end early if only zeros would follow. The kernel puts the thread's PKRU
// there whatever the header's bits say, but takes it back only where its bit is set, and else sets it to 0
// (__copy_xstate_to_uabi_buf(), copy_uabi_to_xstate()). pkey_alloc(2) can leave the bit behind.
std::uint32_t pkru_of(std::span<const std::byte> xstate, std::size_t offset = pkru_offset());
void set_pkru(std::vector<std::byte>& xstate, std::uint32_t pkru, std::size_t offset = pkru_offset());

}  // namespace drover
