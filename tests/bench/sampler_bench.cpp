// What a load sample costs: CPU time per sample, and the share of a core at one sample a second.
//
// usage: sampler_bench [PROC [SAMPLES]]    PROC: a directory with files like /proc's, such as tests/unit/fixtures/HOST
#include <fmt/format.h>

#include <cstdlib>
#include <ctime>

#include "runtime/load/sampler.h"

namespace {

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string proc = argc > 1 ? argv[1] : "/proc";
  const unsigned long samples = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 2000;
  const auto topology = drover::Topology::load();
  drover::LoadSampler sampler(drover::deal(topology.core_pus(), topology.allowed(), 0, 1), false, proc);
  unsigned known = 0;
  const double begin = cpu_seconds();
  for (std::uint64_t i = 1; i <= samples; ++i) known |= sampler.sample(i, i * 1'000'000'000, {}).known;
  const double each = (cpu_seconds() - begin) / static_cast<double>(samples);
  fmt::print("{}: {:.1f} us a sample, {:.4f} % of a core at one a second (factors {:#04x} known, {} samples)\n", proc,
             each * 1e6, each * 100, known, samples);
}
