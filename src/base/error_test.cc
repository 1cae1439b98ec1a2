#include "pith/base/error.h"

#include <gtest/gtest.h>

#include "pith/base/progress.h"

namespace pith {
namespace {

TEST(Error, GainsItsPlaceAndKeepsItsKind) {
  const Error e = Error(ErrorKind::kBase, "is missing").in("chunk 7").in("model.pith");
  EXPECT_STREQ(e.what(), "model.pith: chunk 7: is missing");
  EXPECT_EQ(e.kind(), ErrorKind::kBase);
  // Names come from outside: braces in them are no format.
  EXPECT_STREQ(Error(ErrorKind::kData, "{}").in("{0}").what(), "{0}: {}");
}

TEST(Progress, StopsTheWorkWhenToldSo) {
  uint64_t seen = 0;
  const Progress until_ten = [&](uint64_t done, uint64_t total) {
    EXPECT_EQ(total, 20u);
    seen = done;
    return done < 10;
  };
  report(until_ten, 9, 20);
  EXPECT_EQ(seen, 9u);
  try {
    report(until_ten, 10, 20);
    ADD_FAILURE() << "went on";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kIo);
    EXPECT_STREQ(e.what(), "interrupted");
  }
  EXPECT_EQ(seen, 10u);
  report(nullptr, 10, 20);  // nobody listens
}

}  // namespace
}  // namespace pith
