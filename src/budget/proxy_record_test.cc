#include "pith/budget/proxy_record.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

TEST(ProxyRecord, KnownCorrelations) {
  ProxyRecord record;
  // Ranks 1 2 3 4 5 against 2 1 4 3 5: Spearman 0.8, Kendall 0.6.
  const double measured[] = {20, 10, 40, 30, 50};
  for (int i = 0; i < 5; ++i) record.add("swapped", i, measured[i]);
  const ProxyQuality q = record.qualities().at(0);
  EXPECT_EQ(q.pairs, 5u);
  EXPECT_NEAR(q.spearman, 0.8, 1e-12);
  EXPECT_NEAR(q.kendall, 0.6, 1e-12);
  EXPECT_NEAR(q.slope, (1 * 10 + 2 * 40 + 3 * 30 + 4 * 50) / 30.0, 1e-12);
}

TEST(ProxyRecord, TiesAreTies) {
  ProxyRecord record;
  // Ranks 1.5 1.5 3 4 against 1 2 3.5 3.5; of five pairs ordered on either side four are on both.
  const double predicted[] = {1, 1, 2, 3}, measured[] = {1, 2, 3, 3};
  for (int i = 0; i < 4; ++i) record.add("tied", predicted[i], measured[i]);
  EXPECT_NEAR(record.qualities()[0].spearman, 8.0 / 9, 1e-12);
  EXPECT_NEAR(record.qualities()[0].kendall, 4.0 / 5, 1e-12);
  record.add("constant", 1, 1);
  record.add("constant", 1, 2);
  EXPECT_EQ(record.qualities()[1].spearman, 0);
  EXPECT_EQ(record.qualities()[1].kendall, 0);
}

TEST(ProxyRecord, TheBestComesFirst) {
  ProxyRecord record;
  for (int i = 1; i <= 6; ++i) {
    record.add("reversed", -i, i);
    record.add("log", std::log(i), 3 * i);
    record.add("half", 0.5 * i, i);
  }
  const std::vector<ProxyQuality> all = record.qualities();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].proxy, "log");  // as good as the next, and the first of them
  EXPECT_EQ(all[1].proxy, "half");
  EXPECT_NEAR(all[1].slope, 2, 1e-12);
  EXPECT_EQ(all[2].proxy, "reversed");
  EXPECT_NEAR(all[2].spearman, -1, 1e-12);
  EXPECT_EQ(record.table().find("proxy"), 0u);
  EXPECT_NE(record.table().find("half           6     1.000     1.000           2\n"),
            std::string::npos)
      << record.table();
}

TEST(ProxyRecord, Json) {
  ProxyRecord record;
  EXPECT_EQ(record.json(), R"({"best": null, "proxies": []})");
  EXPECT_EQ(record.table(), "");
  record.add("a \"quoted\\\n name", 1e-300, 0.1);
  record.add("a \"quoted\\\n name", 2, 1.0 / 3);
  const auto json = nlohmann::json::parse(record.json());
  EXPECT_EQ(json["best"], "a \"quoted\\\n name");
  EXPECT_EQ(json["proxies"][0]["measured"][1], 1.0 / 3);
  EXPECT_EQ(json["proxies"][0]["predicted"][0], 1e-300);
  EXPECT_EQ(json["proxies"][0]["pairs"], 2);
  EXPECT_EQ(json["proxies"][0]["spearman"], 1);
}

TEST(ProxyRecord, AddsAnother) {
  ProxyRecord a, b;
  a.add("x", 1, 1);
  b.add("x", 2, 2);
  b.add("y", 1, 3);
  a.add(b);
  EXPECT_EQ(a.qualities().size(), 2u);
  EXPECT_EQ(a.qualities()[0].pairs, 2u);
  a.add(a);
  EXPECT_EQ(a.qualities()[0].pairs, 4u);
}

TEST(ProxyRecord, RefusesWhatIsNoNumber) {
  ProxyRecord record;
  EXPECT_THROW(record.add("x", std::nan(""), 1), Error);
  EXPECT_THROW(record.add("x", 1, std::numeric_limits<double>::infinity()), Error);
  EXPECT_TRUE(record.qualities().empty());
}

}  // namespace
}  // namespace pith::budget
