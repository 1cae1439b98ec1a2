#include "pith/budget/soft_positions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

using Gradient = std::vector<std::vector<double>>;

// Singular values that fall more or less fast, of matrices that matter more or less; what is lost
// is the square of what gates leave out.
std::vector<std::vector<double>> falling() {
  std::vector<std::vector<double>> all;
  for (int m = 0; m < 6; ++m) {
    std::vector<double>& list = all.emplace_back();
    for (int j = 0; j < 60 + 20 * m; ++j) {
      list.push_back((1 + m % 3) * std::exp(-j / (8.0 + 10 * (m % 4))));
    }
  }
  return all;
}

std::vector<SoftList> lists_of(const std::vector<std::vector<double>>& values) {
  std::vector<SoftList> lists;
  for (const auto& v : values) lists.push_back({v.size(), v.size() > 100 ? 2.0 : 1.0});
  return lists;
}

GatedLoss lost(const std::vector<std::vector<double>>& values) {
  return [&values](const Gates& gates, uint64_t, Gradient& gradient) {
    double sum = 0;
    gradient.assign(gates.size(), {});
    for (size_t i = 0; i < gates.size(); ++i) {
      for (size_t j = 0; j < gates[i].size(); ++j) {
        const double off = values[i][j] * (1 - gates[i][j]);
        sum += off * off;
        gradient[i].push_back(-2 * off * values[i][j]);
      }
    }
    return sum;
  };
}

double lost_at(const std::vector<std::vector<double>>& values, std::span<const double> positions) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    for (auto j = static_cast<size_t>(positions[i]); j < values[i].size(); ++j) {
      sum += values[i][j] * values[i][j];
    }
  }
  return sum;
}

TEST(SoftPositions, ComeNearWhatTakingTheBestElementsGives) {
  const auto values = falling();
  const std::vector<SoftList> lists = lists_of(values);
  double all = 0;
  for (const SoftList& list : lists) all += list.cost * static_cast<double>(list.elements);
  const double limit = 0.35 * all;
  std::vector<double> same, best(values.size());
  for (const auto& v : values) same.push_back(0.35 * static_cast<double>(v.size()));
  for (double left = limit; left >= 2;) {
    size_t most = 0;
    double gain = -1;
    for (size_t i = 0; i < values.size(); ++i) {
      const auto at = static_cast<size_t>(best[i]);
      if (at == values[i].size()) continue;
      const double now = values[i][at] * values[i][at] / lists[i].cost;
      if (now > gain) gain = now, most = i;
    }
    best[most] += 1;
    left -= lists[most].cost;
  }
  const SoftPositions learned = learn_positions(lists, limit, lost(values), {.steps = 80});
  double cost = 0;
  for (size_t i = 0; i < lists.size(); ++i) cost += lists[i].cost * learned.positions[i];
  EXPECT_NEAR(cost, limit, 1e-6 * limit);
  EXPECT_LT(lost_at(values, learned.positions), 0.5 * lost_at(values, same));
  EXPECT_LT(lost_at(values, learned.positions), 1.5 * lost_at(values, best));
  EXPECT_LT(learned.losses.back(), 0.8 * learned.losses.front());
}

TEST(SoftPositions, KeepToListsAndLimits) {
  const std::vector<SoftList> lists = {{4, 1}, {0, 1}, {100, 3}};
  const auto nothing = [](const Gates& gates, uint64_t, Gradient& gradient) {
    gradient.clear();
    for (const auto& g : gates) gradient.emplace_back(g.size());
    return 1.0;
  };
  EXPECT_EQ(learn_positions(lists, 1e9, nothing).positions, (std::vector<double>{4, 0, 100}));
  const auto half = learn_positions(lists, 152, nothing, {.steps = 3}).positions;
  EXPECT_NEAR(half[0], 2, 1e-9);
  EXPECT_NEAR(half[2], 50, 1e-9);
  EXPECT_NEAR(learn_positions(lists, 4, nothing).positions[2], 1, 1e-6);
  EXPECT_THROW(learn_positions(lists, 3.9, nothing), Error);
}

TEST(SoftPositions, RefuseWhatIsNoNumber) {
  const std::vector<SoftList> lists = {{4, 1}, {6, 1}};
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const auto loss = [](double value, double derivative, size_t n) {
    return [=](const Gates&, uint64_t, Gradient& gradient) {
      gradient = {std::vector<double>(4), std::vector<double>(n, derivative)};
      return value;
    };
  };
  EXPECT_NO_THROW(learn_positions(lists, 5, loss(1, 1, 6)));
  EXPECT_THROW(learn_positions(lists, 5, loss(kNaN, 1, 6)), Error);
  EXPECT_THROW(learn_positions(lists, 5, loss(1, kNaN, 6)), Error);
  EXPECT_THROW(learn_positions(lists, 5, loss(1, 1, 5)), Error);
  EXPECT_THROW(learn_positions(lists, kNaN, loss(1, 1, 6)), Error);
  EXPECT_THROW(learn_positions(lists, 5, loss(1, 1, 6), {.rate = 0}), Error);
  EXPECT_THROW(learn_positions(lists, 5, loss(1, 1, 6), {.width = kNaN}), Error);
  EXPECT_THROW(learn_positions(std::vector<SoftList>{{4, 0}}, 5, loss(1, 1, 6)), Error);
}

}  // namespace
}  // namespace pith::budget
