#include "ckpt/sys/vdso.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "ckpt/sys/maps.h"
#include "ckpt/sys/text.h"

namespace drover {
namespace {

std::uint64_t own_address() {
  for (const Mapping& m : parse_maps(read_text("/proc/self/maps"))) {
    if (m.path == "[vdso]") return m.start;
  }
  return 0;
}

std::uint64_t offset_of(const std::vector<VdsoFunction>& functions, std::string_view name) {
  for (const VdsoFunction& function : functions) {
    if (function.name == name) return function.offset;
  }
  return 0;
}

// The code in memory where it can run.
class Runnable {
 public:
  explicit Runnable(const std::vector<std::byte>& code) : bytes_(code.size()) {
    at_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memcpy(at_, code.data(), bytes_);
    ::mprotect(at_, bytes_, PROT_READ | PROT_EXEC);
  }
  ~Runnable() { ::munmap(at_, bytes_); }
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;
  template <class F>
  F* function(std::uint64_t offset) const {
    return reinterpret_cast<F*>(static_cast<char*>(at_) + offset);
  }

 private:
  std::size_t bytes_;
  void* at_;
};

using ClockGettime = int(clockid_t, timespec*);

TEST(Vdso, FindsTheFunctionsOfOurOwn) {
  const auto functions = vdso_functions(own_vdso());
  EXPECT_GT(offset_of(functions, "__vdso_clock_gettime"), 0U);
  EXPECT_GT(offset_of(functions, "__vdso_getcpu"), 0U);
}

TEST(Vdso, AnyPartOfItIsReadWithoutHarm) {
  const auto whole = own_vdso();
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += 7)
    EXPECT_LE(vdso_functions(std::span(whole).first(bytes)).size(), vdso_functions(whole).size());
  EXPECT_TRUE(vdso_functions({}).empty());
}

// A copy elsewhere can't find its data: only the jump makes it tell the time.
TEST(Vdso, RedirectedFunctionsTellTheTime) {
  const auto own = own_vdso();
  const Runnable copy(redirect_vdso(own, own, own_address()));
  timespec before{}, told{}, after{};
  ::clock_gettime(CLOCK_MONOTONIC, &before);
  ASSERT_EQ(copy.function<ClockGettime>(offset_of(vdso_functions(own), "__vdso_clock_gettime"))(CLOCK_MONOTONIC, &told),
            0);
  ::clock_gettime(CLOCK_MONOTONIC, &after);
  const auto ns = [](const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; };
  EXPECT_LE(ns(before), ns(told));
  EXPECT_LE(ns(told), ns(after));
}

TEST(Vdso, WhatTheOtherLacksBecomesASystemCall) {
  const auto own = own_vdso();
  auto lacking = own;
  constexpr std::string_view kName = "__vdso_clock_gettime";
  const auto bytes = std::as_bytes(std::span(kName));
  const auto name = std::search(lacking.begin(), lacking.end(), bytes.begin(), bytes.end());
  ASSERT_NE(name, lacking.end());
  std::fill_n(name, bytes.size(), std::byte{'x'});
  for (auto weak = lacking.begin();;) {  // and "clock_gettime", if that is not the end of the other
    const auto rest = bytes.subspan(std::string_view("__vdso_").size());
    weak = std::search(weak, lacking.end(), rest.begin(), rest.end());
    if (weak == lacking.end()) break;
    *weak = std::byte{'x'};
  }
  const auto code = redirect_vdso(own, lacking, 0x1000);
  const auto offset = offset_of(vdso_functions(own), kName);
  ASSERT_EQ(code.size(), own.size());
  EXPECT_EQ(code[offset], std::byte{0xb8});
  const Runnable copy(code);
  timespec told{};
  ASSERT_EQ(copy.function<ClockGettime>(offset)(CLOCK_MONOTONIC, &told), 0);
  EXPECT_GT(told.tv_sec + told.tv_nsec, 0);
}

TEST(Vdso, NonsenseIsNotRedirected) {
  EXPECT_TRUE(redirect_vdso(std::vector<std::byte>(8192), own_vdso(), 0).empty());
  EXPECT_TRUE(redirect_vdso(own_vdso(), std::vector<std::byte>(8192), 0).empty());
}

}  // namespace
}  // namespace drover
