// Memory protection keys, pkeys(7), of a process that is being made.
#pragma once

#include <optional>

#include "ckpt/freeze/batch.h"
#include "ckpt/freeze/tracee.h"
#include "ckpt/restore/image_model.h"
#include "ckpt/sys/error.h"

namespace drover {

// `available`: whether this machine has them; asked if it matters.
std::optional<Refusal> check_protection_keys(const ImageModel&, bool (*available)());

bool uses_keys(const MemoryState&);
// All of them, so that areas can be given whichever they had: the program may have freed a key that is still in use.
// The thread that runs this may access all memory then, of whatever key.
void take_all_keys(Batch&);
// mprotect(2) with the area's key.
void protect(Batch&, const AreaState&);
// Afterwards those are allocated that the program had.
void leave_keys(Batch&, const ProtectionKeys&);

// Gives a thread access to memory of all keys; returns its PKRU as it was.
std::uint32_t open_all_keys(const Tracee&);
// Throws SystemError if the kernel has not taken PKRU from what the thread was given.
void check_pkru(const Tracee&, std::uint32_t wanted);

}  // namespace drover
