#include "runtime/jobs/spec_json.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace drover {
namespace {

using nlohmann::json;

json small() { return {{"argv", {"true"}}, {"env", json::array()}, {"cwd", "/"}}; }

json with(const char* name, const char* value) {
  json spec = small();
  spec[name] = json::parse(value);
  return spec;
}

TEST(SpecJson, RoundTrips) {
  JobSpec spec = spec_from_json(small());
  spec.argv.emplace_back("\xff\x01");
  spec.limits = {{7, 1024, 4096}, {0, ~0ULL, ~0ULL}, {1, 1ULL << 63, (1ULL << 63) + 1}};
  spec.memory_kib = ~0ULL;
  spec.priority = -5;
  spec.after = {{3, true}, {4, false}};
  const json written = spec_to_json(spec);
  const JobSpec read = spec_from_json(json::parse(written.dump()));
  EXPECT_EQ(spec_to_json(read), written);
  EXPECT_EQ(read.argv, spec.argv);
  EXPECT_EQ(read.limits[1].hard, ~0ULL);
  EXPECT_EQ(read.limits[2].soft, 1ULL << 63);
}

TEST(SpecJson, RefusesNumbersThatDoNotFit) {
  for (const char* name : {"umask", "cpus", "memory_kib", "priority", "rows", "columns", "time_limit_s", "retries",
                           "checkpoint_every_s", "array_limit"})
    for (const char* value : {"1e300", "0.5", "-9223372036854775808", "40555555555555555596", "\"1\"", "null"})
      EXPECT_THROW(spec_from_json(with(name, value)), std::invalid_argument) << name << " " << value;
  EXPECT_THROW(spec_from_json(with("rows", "65536")), std::invalid_argument);
  EXPECT_THROW(spec_from_json(with("priority", "2147483648")), std::invalid_argument);
  for (const char* limits : {"[[7, 1, 1e300]]", "[[7, -2, 1]]", "[[7.5, 1, 1]]", "[[4294967296, 1, 1]]", "[[7, 1]]"})
    EXPECT_THROW(spec_from_json(with("limits", limits)), std::invalid_argument) << limits;
  EXPECT_THROW(spec_from_json(with("after", "[[1e300, \"any\"]]")), std::invalid_argument);
  EXPECT_THROW(spec_from_json(with("array", "[[1, 1.5, 1]]")), std::invalid_argument);
}

TEST(SpecJson, RefusesWhatIsNoHexadecimal) {
  EXPECT_EQ(string_from_json({{"hex", "2fFF00"}}), std::string("/\xff\0", 3));
  for (const char* hex : {"2", "-1", "+1", " 1", "0x", "1g", "zz"})
    EXPECT_THROW(string_from_json({{"hex", hex}}), std::invalid_argument) << hex;
}

}  // namespace
}  // namespace drover
