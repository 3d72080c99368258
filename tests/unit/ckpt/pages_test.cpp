#include "ckpt/image/pages.h"

#include <gtest/gtest.h>

#include <cstring>

#include "ckpt/image/error.h"

namespace drover {
namespace {

std::vector<std::byte> make_payload(PagesHead head, std::vector<PageRun> runs, std::size_t pages) {
  std::vector<std::byte> payload(sizeof head + pages * kPageBytes + runs.size() * sizeof(PageRun));
  std::memcpy(payload.data(), &head, sizeof head);
  if (!runs.empty())
    std::memcpy(payload.data() + sizeof head + pages * kPageBytes, runs.data(), runs.size() * sizeof(PageRun));
  return payload;
}

TEST(Pages, FitIntoARecordEvenIfEachIsARun) {
  EXPECT_LE(sizeof(PagesHead) + kMaxPagesPerRecord * (kPageBytes + sizeof(PageRun)), kMaxPayloadBytes);
  EXPECT_GE(kMaxPagesPerRecord, 63U);
}

TEST(Pages, AreRead) {
  const auto payload = make_payload({7, 0, 2, 3}, {{0x1000, 2}, {0x8000, 1}}, 3);
  const PagesView view = parse_pages(payload, 0);
  EXPECT_EQ(view.head.process, 7);
  ASSERT_EQ(view.runs.size(), 2U);
  EXPECT_EQ(view.runs[1].address, 0x8000U);
  EXPECT_EQ(view.bytes.size(), 3 * kPageBytes);
}

TEST(Pages, LiesAreRefused) {
  EXPECT_THROW(parse_pages(make_payload({7, 0, 1, 3}, {{0x1000, 2}}, 2), 0), ImageError);               // count
  EXPECT_THROW(parse_pages(make_payload({7, 0, 1, 1}, {{0x1001, 1}}, 1), 0), ImageError);               // alignment
  EXPECT_THROW(parse_pages(make_payload({7, 0, 2, 2}, {{0x2000, 1}, {0x1000, 1}}, 2), 0), ImageError);  // order
  EXPECT_THROW(parse_pages(make_payload({7, 0, 1, 0}, {{0x1000, 0}}, 0), 0), ImageError);               // empty run
  EXPECT_THROW(parse_pages(make_payload({7, 0, 1, 1}, {{0xfffffffffffff000, 1}}, 1), 0), ImageError);   // no user space
  EXPECT_THROW(parse_pages(make_payload({7, 0, 4000000000U, 1}, {{0x1000, 1}}, 1), 0), ImageError);     // runs
  EXPECT_THROW(parse_pages({}, 0), ImageError);
}

}  // namespace
}  // namespace drover
