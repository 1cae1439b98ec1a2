// One of each kind of dynamic networks that a survey tells apart ("A Survey on Dynamic Neural
// Networks", Guo et al. 2025), on the small residual network of data/networks and without training:
// an early exit, a layer that a gate skips, and a part of the picture looked at first. Each beside
// static networks of as many multiplications.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "../network/testing_data.h"
#include "../network/testing_images.h"
#include "pith/fit/unit_removal.h"
#include "pith/math/cholesky.h"
#include "pith/network/fitted_layers.h"

namespace pith::recipe {
namespace {

using namespace network::testing;
using network::Network;
using network::Tensor;
using Row = std::vector<double>;
using Rows = std::vector<Row>;

// Least squares.
class Linear {
 public:
  Linear(const Rows& x, const Rows& y) : weights_(y[0].size(), Row(x[0].size())) {
    const size_t n = x[0].size(), outs = y[0].size();
    Row moments(n * n), inverse(n * n), both(n * outs);
    for (size_t r = 0; r < x.size(); ++r) {
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j) moments[i * n + j] += x[r][i] * x[r][j];
        for (size_t k = 0; k < outs; ++k) both[i * outs + k] += x[r][i] * y[r][k];
      }
    }
    double trace = 0;
    for (size_t i = 0; i < n; ++i) trace += moments[i * n + i];
    for (size_t i = 0; i < n; ++i) moments[i * n + i] += 1e-5 * trace / static_cast<double>(n);
    EXPECT_TRUE(math::cholesky(moments.data(), n));
    math::inverse_of_factored(moments.data(), n, inverse.data());
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        for (size_t k = 0; k < outs; ++k) weights_[k][i] += inverse[i * n + j] * both[j * outs + k];
      }
    }
  }
  Row operator()(const Row& x) const {
    Row out;
    for (const Row& w : weights_) {
      out.push_back(std::inner_product(x.begin(), x.end(), w.begin(), 0.0));
    }
    return out;
  }

 private:
  Rows weights_;
};

// Of each image and channel what is there on average, in squares and at most.
Rows features(const Tensor& t) {
  const uint64_t n = t.dim(0), channels = t.dim(1), places = t.size() / (n * channels);
  Rows out(n, {1});
  for (uint64_t i = 0; i < n * channels; ++i) {
    double mean = 0, square = 0, most = 0;
    for (const double x : t.floats().subspan(i * places, places)) {
      mean += x;
      square += x * x;
      most = std::max(most, x);
    }
    const auto all = static_cast<double>(places);
    const Row three = {mean / all, std::sqrt(square / all), most};
    out[i / channels].insert(out[i / channels].end(), three.begin(), three.end());
  }
  return out;
}

double mean(const Row& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}
int best(const Row& v) { return static_cast<int>(std::ranges::max_element(v) - v.begin()); }
double margin(Row v) {
  std::ranges::sort(v, std::greater<>());
  return v[0] - v[1];
}
Row right(const Rows& outputs, const Images& images) {
  Row out;
  for (size_t i = 0; i < outputs.size(); ++i) out.push_back(best(outputs[i]) == images.classes[i]);
  return out;
}
Row losses(const Rows& logits, const Images& images) {
  Row out;
  for (size_t i = 0; i < logits.size(); ++i) {
    double sum = 0;
    for (const double x : logits[i]) sum += std::exp(x);
    out.push_back(std::log(sum) - logits[i][static_cast<size_t>(images.classes[i])]);
  }
  return out;
}

double correlation(const Row& a, const Row& b) {
  const double ma = mean(a), mb = mean(b);
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
  }
  return ab / std::sqrt(aa * bb);
}

// Multiplications of the whole and up to each exit: behind the first pooling and two of three
// blocks.
constexpr const char* kExits[] = {"/3/MaxPool_output_0", "/4/Relu_output_0", "/5/Relu_output_0"};
constexpr const char* kLast = "/6/Relu_output_0";
constexpr double kCosts[] = {62'208, 435'456, 725'760, 908'856};
constexpr double kAll = kCosts[3];

struct Seen {
  Rows logits;
  std::map<std::string, Tensor, std::less<>> values;
};

Rows rows_of(const Tensor& t) {
  Rows out;
  for (uint64_t i = 0; i < t.dim(0); ++i) {
    const auto row = t.floats().subspan(i * t.dim(1), t.dim(1));
    out.emplace_back(row.begin(), row.end());
  }
  return out;
}

Seen see(const Network& net, const Images& images) {
  Seen seen;
  const auto keep = [&](std::string_view name, const Tensor& value) {
    if (name == kLast || std::ranges::count(kExits, name) > 0) {
      seen.values.emplace(name, value);
    }
  };
  seen.logits = rows_of(net.run({images.pixels}, {.threads = 2, .values = keep})[0]);
  return seen;
}

// The middle of the pictures.
Images middle(const Images& images, uint64_t side) {
  std::vector<float> pixels;
  const uint64_t n = images.classes.size(), edge = (24 - side) / 2;
  for (uint64_t row = 0; row < n * side; ++row) {
    const uint64_t at = (row / side * 24 + edge + row % side) * 24 + edge;
    const auto part = images.pixels.floats().subspan(at, side);
    pixels.insert(pixels.end(), part.begin(), part.end());
  }
  return {Tensor({n, 1, side, side}, std::move(pixels)), images.classes};
}

struct Model {
  double cost = 0, right = 0;  // multiplications of an image, share of images
};

class DynamicStudyQuality : public ::testing::Test {
 protected:
  DynamicStudyQuality() {
    for (const int c : fit_.classes) {
      classes_.emplace_back(10);
      classes_.back()[static_cast<size_t>(c)] = 1;
    }
    statics_.push_back({kAll, mean(full_right_)});
    for (size_t e = 0; e < 3; ++e) {
      outputs_.push_back(read_out(fit_seen_, test_seen_, kExits[e]));
      statics_.push_back({kCosts[e], mean(right(outputs_.back(), test_))});
    }
    for (const uint64_t side : {12, 16, 20}) {
      parts_[side] = read_out(see(net_, middle(fit_, side)), see(net_, middle(test_, side)), kLast);
      statics_.push_back({part_cost(side), mean(right(parts_[side], test_))});
    }
    // Channels inside of the last two blocks, whose both products they take part in.
    statics_.push_back(narrow({{7, 18}}, kAll - 87'480));
    statics_.push_back(narrow({{4, 18}, {7, 18}}, kAll - 87'480 - 69'984));
    statics_.push_back(narrow({{4, 12}, {7, 18}}, kAll - 87'480 - 139'968));
  }

  static double part_cost(uint64_t side) { return kAll * static_cast<double>(side * side) / 576; }
  // Of a value that the network makes, a linear read-out of the classes.
  Rows read_out(const Seen& fit, const Seen& test, const char* value) const {
    const Linear linear(features(fit.values.at(value)), classes_);
    Rows out;
    for (const Row& row : features(test.values.at(value))) out.push_back(linear(row));
    return out;
  }
  // With so many of the channels that these layers read, which make up for the others.
  Model narrow(const std::map<size_t, uint64_t>& left, double cost) const {
    Network net = net_;
    for (const auto& [layer, count] : left) {
      const fit::UnitMoments moments(moments_[layer], 9, 1e-3);
      const auto kept = fit::pivoted_units(moments, count);
      const form::Matrix weights = net_.decoded(layer);
      form::Matrix small = fit::folded(moments, weights.view(), kept), wide(weights.shape);
      for (uint64_t r = 0; r < wide.shape.rows; ++r) {
        for (size_t k = 0; k < kept.size(); ++k) {
          std::copy_n(&small.row(r)[9 * k], 9, &wide.row(r)[9 * kept[k]]);
        }
      }
      net.set_form(layer, form::encode(form::parse("dense(f32)"), wide.view()));
    }
    return {cost, mean(right(rows_of(net.run({test_.pixels}, {.threads = 2})[0]), test_))};
  }
  // The best that static networks get of so many multiplications on average, two of them taking
  // turns at random where that is better.
  double static_right(double cost) const {
    double most = 0;
    for (const Model& a : statics_) {
      if (a.cost <= cost) most = std::max(most, a.right);
      for (const Model& b : statics_) {
        if (a.cost >= cost || b.cost <= cost) continue;
        const double turn = (cost - a.cost) / (b.cost - a.cost);
        most = std::max(most, a.right + turn * (b.right - a.right));
      }
    }
    return most;
  }
  struct Dynamic {
    Model model;
    double hardness = 0;  // correlation of an image's multiplications with the full network's loss
  };
  Dynamic dynamic(const Row& costs, const Row& rights) const {
    return {{mean(costs), mean(rights)}, correlation(costs, full_losses_)};
  }

  Network net_{graph_of_file("residual.onnx")};
  Images fit_ = draw_images(500'000, 1500), test_ = draw_images(kHeldOut + 10'000, 1500);
  Seen fit_seen_ = see(net_, fit_), test_seen_ = see(net_, test_);
  Row full_right_ = right(test_seen_.logits, test_);
  Row full_losses_ = losses(test_seen_.logits, test_);
  std::vector<fit::Metric> moments_ = network::input_moments(
      net_, {draw_images(500'000, 100).pixels},
      {.threads = 2, .which = [](size_t layer) { return layer == 4 || layer == 7; }});
  Rows classes_;               // of what is fitted to
  std::vector<Rows> outputs_;  // of each exit
  std::map<uint64_t, Rows> parts_;
  std::vector<Model> statics_;
};

TEST_F(DynamicStudyQuality, ExitsBySurenessAreBetterThanStaticNetworks) {
  for (const double sure : {0.2, 0.3}) {
    Row costs, rights;
    for (size_t i = 0; i < full_right_.size(); ++i) {
      size_t e = 0;
      while (e < 3 && margin(outputs_[e][i]) < sure) ++e;
      costs.push_back(kCosts[e]);
      rights.push_back(e < 3 ? best(outputs_[e][i]) == test_.classes[i] : full_right_[i]);
    }
    const Dynamic d = dynamic(costs, rights);
    EXPECT_LT(d.model.cost, 0.8 * kAll);
    EXPECT_GT(d.model.right, static_right(d.model.cost) + 0.01);
    EXPECT_GT(d.hardness, 0.2);
  }
}

TEST_F(DynamicStudyQuality, LookingAtTheMiddleFirstIsBetterThanStaticNetworks) {
  constexpr uint64_t kSide = 16;
  const Rows& outputs = parts_.at(kSide);
  Row costs, rights;
  for (size_t i = 0; i < full_right_.size(); ++i) {
    const bool sure = margin(outputs[i]) >= 0.25;
    costs.push_back(part_cost(kSide) + (sure ? 0 : kAll));
    rights.push_back(sure ? best(outputs[i]) == test_.classes[i] : full_right_[i]);
  }
  const Dynamic d = dynamic(costs, rights);
  EXPECT_LT(d.model.cost, 0.9 * kAll);
  EXPECT_GT(d.model.right, static_right(d.model.cost) + 0.005);
  EXPECT_GT(d.hardness, 0.2);
}

// A failure: a gate knows which images need the layer, but static networks of as many
// multiplications need no gate.
TEST_F(DynamicStudyQuality, ALayerSkippedByAGateIsWorseThanStaticNetworks) {
  // The first block's two convolutions, or the one that is nearest to them.
  network::Graph graph = net_.graph();
  const auto block = std::ranges::find_if(
      graph.nodes, [](const network::Node& n) { return n.outputs[0] == kExits[1]; });
  graph.nodes.erase(graph.nodes.begin(), block + 1);
  graph.inputs = {kExits[1]};
  const Network behind(graph);
  const auto around = [](const Tensor& t, uint64_t image, uint64_t place) {
    Row patch = {1};
    for (uint64_t k = 0; k < 9; ++k) {
      const uint64_t y = place / 12 + k / 3 - 1, x = place % 12 + k % 3 - 1;  // may wrap: outside
      for (uint64_t c = 0; c < 12; ++c) {
        patch.push_back(y < 12 && x < 12 ? t.floats()[(image * 12 + c) * 144 + y * 12 + x] : 0);
      }
    }
    return patch;
  };
  const Tensor &before = fit_seen_.values.at(kExits[0]), &after = fit_seen_.values.at(kExits[1]);
  Rows patches, values;
  for (uint64_t i = 0; i < 200; ++i) {
    for (uint64_t p = i % 7; p < 144; p += 7) {
      patches.push_back(around(before, i, p));
      values.emplace_back();
      for (uint64_t c = 0; c < 12; ++c) {
        values.back().push_back(after.floats()[(i * 12 + c) * 144 + p]);
      }
    }
  }
  const Linear near(patches, values);
  const auto skipped = [&](const Seen& seen) {
    const Tensor& from = seen.values.at(kExits[0]);
    std::vector<float> out(from.size());
    for (uint64_t i = 0; i < from.dim(0) * 144; ++i) {
      const Row at = near(around(from, i / 144, i % 144));
      for (uint64_t c = 0; c < 12; ++c) {
        out[(i / 144 * 12 + c) * 144 + i % 144] = static_cast<float>(std::max(0.0, at[c]));
      }
    }
    return rows_of(behind.run({Tensor(from.dims(), std::move(out))}, {.threads = 2})[0]);
  };
  const Rows fit_logits = skipped(fit_seen_), test_logits = skipped(test_seen_);
  const Row fit_before = losses(fit_seen_.logits, fit_), fit_after = losses(fit_logits, fit_);
  Rows rises;
  for (size_t i = 0; i < fit_after.size(); ++i) {
    rises.push_back({std::clamp(fit_after[i] - fit_before[i], -3.0, 3.0)});
  }
  const Linear gate(features(before), rises);
  const Rows seen = features(test_seen_.values.at(kExits[0]));
  const Row skipped_right = right(test_logits, test_);
  Row costs, rights;
  for (size_t i = 0; i < seen.size(); ++i) {
    const bool skips = gate(seen[i])[0] < 0.5;
    costs.push_back(kAll - (skips ? 186'624 : 0));
    rights.push_back(skips ? skipped_right[i] : full_right_[i]);
  }
  const Dynamic d = dynamic(costs, rights);
  const double taken = (kAll - d.model.cost) / 186'624;
  EXPECT_NEAR(taken, 0.5, 0.3);
  EXPECT_GT(d.model.right, taken * mean(skipped_right) + (1 - taken) * mean(full_right_) + 0.02);
  EXPECT_GT(d.hardness, 0.2);
  EXPECT_LT(d.model.right, static_right(d.model.cost) - 0.01);
}

}  // namespace
}  // namespace pith::recipe
