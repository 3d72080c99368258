#include "ckpt/sys/cpu.h"

#include <cpuid.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "ckpt/sys/text.h"
#include "ckpt/sys/unique_fd.h"

namespace drover {

std::size_t online_processors() {
  static const auto count = static_cast<std::size_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  return count;
}

// Programs pick code paths by these once, at start (glibc's ifuncs do), so all of them must be there after a move.
// Other names of the flags line describe the machine rather than what a program may execute.
static constexpr std::array kInstructionFlags = {"abm",
                                                 "adx",
                                                 "aes",
                                                 "amx_bf16",
                                                 "amx_int8",
                                                 "amx_tile",
                                                 "avx",
                                                 "avx2",
                                                 "avx512_bf16",
                                                 "avx512_bitalg",
                                                 "avx512_fp16",
                                                 "avx512_vbmi2",
                                                 "avx512_vnni",
                                                 "avx512_vp2intersect",
                                                 "avx512_vpopcntdq",
                                                 "avx512bw",
                                                 "avx512cd",
                                                 "avx512dq",
                                                 "avx512f",
                                                 "avx512ifma",
                                                 "avx512vbmi",
                                                 "avx512vl",
                                                 "avx_vnni",
                                                 "bmi1",
                                                 "bmi2",
                                                 "clflush",
                                                 "clflushopt",
                                                 "clwb",
                                                 "cldemote",
                                                 "cx16",
                                                 "cx8",
                                                 "erms",
                                                 "f16c",
                                                 "fma",
                                                 "fma4",
                                                 "fsgsbase",
                                                 "fsrm",
                                                 "gfni",
                                                 "hle",
                                                 "lahf_lm",
                                                 "mmx",
                                                 "mmxext",
                                                 "movbe",
                                                 "movdir64b",
                                                 "movdiri",
                                                 "ospke",
                                                 "pclmulqdq",
                                                 "pni",
                                                 "popcnt",
                                                 "prefetchw",
                                                 "rdpid",
                                                 "rdrand",
                                                 "rdseed",
                                                 "rdtscp",
                                                 "rtm",
                                                 "serialize",
                                                 "sha_ni",
                                                 "sse",
                                                 "sse2",
                                                 "sse4_1",
                                                 "sse4_2",
                                                 "sse4a",
                                                 "ssse3",
                                                 "tbm",
                                                 "user_shstk",
                                                 "vaes",
                                                 "vpclmulqdq",
                                                 "waitpkg",
                                                 "xop",
                                                 "xsave",
                                                 "xsavec",
                                                 "xsaveopt",
                                                 "xsaves"};

std::vector<std::string> parse_cpu_instructions(std::string_view cpuinfo) {
  std::vector<std::string> found;
  for (std::string_view line; next_line(cpuinfo, line);) {
    if (line.substr(0, 5) != "flags") continue;
    line.remove_prefix(std::min(line.size(), line.find(':') + 1));
    for (auto word = next_word(line); !word.empty(); word = next_word(line)) {
      if (std::find(kInstructionFlags.begin(), kInstructionFlags.end(), word) != kInstructionFlags.end())
        found.emplace_back(word);
    }
    break;
  }
  std::sort(found.begin(), found.end());
  return found;
}

static std::uint64_t read_xcr0() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE)) return 0;
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
}

// One buffer full holds the first processor's entry; the whole file is long and costs about 5 us per processor.
static std::string read_first_processor() {
  std::string text(8192, '\0');
  const UniqueFd fd(::open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC));
  const ssize_t n = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = [] {
    CpuFeatures f;
    f.xcr0 = read_xcr0();
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (f.xcr0 != 0 && __get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx)) f.xsave_bytes = ebx;
    f.instructions = parse_cpu_instructions(read_first_processor());
    return f;
  }();
  return features;
}

std::string processor_lacks(const CpuFeatures& here, const CpuFeatures& needed) {
  for (const std::string& instruction : needed.instructions)
    if (!std::binary_search(here.instructions.begin(), here.instructions.end(), instruction))
      return fmt::format("lacks {}, which the program may use", instruction);
  return (needed.xcr0 & ~here.xcr0) != 0 ? "saves less state than the program has" : "";
}

namespace {

struct XsaveComponent {
  std::uint32_t offset = 0, bytes = 0;
};

}  // namespace

// Read once: in a virtual machine each cpuid goes to the host, which takes microseconds.
static const XsaveComponent& xsave_component(unsigned index) {
  static const auto components = [] {
    std::array<XsaveComponent, 64> all;
    for (unsigned i = 2; i < 63; ++i) {
      unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
      if ((cpu_features().xcr0 >> i & 1) != 0 && __get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx) && eax != 0)
        all[i] = {ebx, eax};
    }
    return all;
  }();
  return components[std::min(index, 63U)];
}

std::uint32_t xsave_offset(unsigned index) {
  if (index < 2) return index == 0 ? 0 : 160;  // x87 and SSE: the legacy area
  return xsave_component(index).offset;
}

std::uint32_t xsave_bytes_of(unsigned index) { return xsave_component(index).bytes; }

}  // namespace drover
