// What this machine's processor offers to programs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

struct CpuFeatures {
  std::uint64_t xcr0 = 0;                 // state components that the kernel saves (Intel SDM vol. 1, 13.3)
  std::uint32_t xsave_bytes = 0;          // size of the standard-format area for them
  std::vector<std::string> instructions;  // instruction sets, by their names in /proc/cpuinfo, sorted
};

// The names in the first "flags" line that stand for instructions a program may use.
std::vector<std::string> parse_cpu_instructions(std::string_view cpuinfo);

const CpuFeatures& cpu_features();  // read once

std::size_t online_processors();  // asked once

// Why a program that was started with what `needed` offers can't go on where there is `here`; empty if it can.
std::string processor_lacks(const CpuFeatures& here, const CpuFeatures& needed);

// Offset of state component `index` in the standard format of the XSAVE area of this processor; 0 if it has none.
std::uint32_t xsave_offset(unsigned index);
std::uint32_t xsave_bytes_of(unsigned index);  // its size; 0 if there is none

}  // namespace drover
