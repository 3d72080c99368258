#include "ckpt/sys/protection_keys.h"

#include <algorithm>
#include <cstring>

#include "ckpt/sys/cpu.h"

namespace drover {

static constexpr unsigned kComponent = 9;               // Intel SDM vol. 1, 13.1
static constexpr std::size_t kPresentComponents = 512;  // XSTATE_BV

std::size_t pkru_offset() {
  static const std::size_t offset = (cpu_features().xcr0 >> kComponent & 1) != 0 ? xsave_offset(kComponent) : 0;
  return offset;
}

std::uint32_t pkru_of(std::span<const std::byte> xstate, std::size_t offset) {
  std::uint32_t pkru = 0;
  if (offset != 0 && offset < xstate.size())
    std::memcpy(&pkru, xstate.data() + offset, std::min(sizeof pkru, xstate.size() - offset));
  return pkru;
}

void set_pkru(std::vector<std::byte>& xstate, std::uint32_t pkru, std::size_t offset) {
  if (offset == 0 || xstate.size() < kPresentComponents + sizeof(std::uint64_t)) return;
  if (xstate.size() < offset + sizeof pkru) {
    if (pkru == 0) return;  // it is 0 without it
    xstate.resize(offset + sizeof pkru);
  }
  std::memcpy(xstate.data() + offset, &pkru, sizeof pkru);
  std::uint64_t present = 0;
  std::memcpy(&present, xstate.data() + kPresentComponents, sizeof present);
  present |= std::uint64_t{1} << kComponent;
  std::memcpy(xstate.data() + kPresentComponents, &present, sizeof present);
}

}  // namespace drover
