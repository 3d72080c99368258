#include "runtime/load/sample.h"

namespace drover {

std::string_view factor_name(Factor factor) {
  static constexpr std::array<std::string_view, kFactors> kNames = {
      "run_queue", "cpu_share", "io_blocks", "page_ops", "interrupts", "context_switches", "memory_used", "swap_used"};
  const auto index = static_cast<std::size_t>(factor);
  return index < kFactors ? kNames[index] : "unknown";
}

std::string_view state_name(NodeState state) {
  switch (state) {
    case NodeState::Free:
      return "FREE";
    case NodeState::Normal:
      return "NORMAL";
    case NodeState::Busy:
      return "BUSY";
  }
  return "UNKNOWN";
}

}  // namespace drover
