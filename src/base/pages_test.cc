#include "pith/base/pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace pith {
namespace {

constexpr size_t kLargePage = size_t{2} << 20;

TEST(Pages, AreZeroAlignedAndOnesOwnToTheLastByte) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{4097},
                            kLargePage - 1, kLargePage, kLargePage + 1, 3 * kLargePage + 12345}) {
    const auto pages = allocate_pages(size);
    const size_t alignment = size < kLargePage ? 64 : kLargePage;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pages.get()) % alignment, 0u) << size;
    EXPECT_TRUE(std::all_of(pages.get(), pages.get() + size, [](uint8_t b) { return b == 0; }))
        << size;
    std::fill_n(pages.get(), size, uint8_t{7});
  }
}

TEST(Pages, MoreThanThereCanBeIsRefused) {
  EXPECT_THROW(allocate_pages(std::numeric_limits<size_t>::max()), std::bad_alloc);
  EXPECT_THROW(allocate_pages(size_t{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace pith
