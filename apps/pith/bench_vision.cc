// Codes, low ranks and masks on a small vision transformer, alone and in pairs in both orders,
// under one harness: bytes, accuracy, latency, throughput.
#include <algorithm>
#include <cmath>
#include <optional>

#include "../../src/network/testing_images.h"
#include "bench.h"
#include "bench_data.h"
#include "bench_report.h"
#include "pith/fit/quantizers.h"
#include "pith/fit/stages.h"
#include "pith/network/curvature.h"
#include "pith/network/fitted_layers.h"

namespace pith::bench {
namespace {

using fit::Stage;
using fit::StageKind;
using network::Network;
using network::testing::draw_images;
using network::testing::Images;

constexpr uint64_t kCalibration = 500'000, kValidation = 600'000;

std::string name_of(const Stage& s) {
  switch (s.kind) {
    case StageKind::kCodes:
      return fmt::format("codes {}", s.size);
    case StageKind::kRank:
      return fmt::format("rank {}%", 100 * s.size);
    case StageKind::kMask:
      return fmt::format("mask {}%", 100 * s.size);
  }
  return {};
}

std::string name_of(const std::vector<Stage>& stages) {
  std::string s;
  for (const Stage& stage : stages) s += (s.empty() ? "" : ", then ") + name_of(stage);
  return s;
}

std::vector<Stage> stages_of(StageKind kind, std::initializer_list<double> sizes) {
  std::vector<Stage> out;
  for (const double size : sizes) out.push_back({kind, size});
  return out;
}

std::vector<std::vector<Stage>> all_stages(bool quick) {
  constexpr auto kCodes = StageKind::kCodes, kRank = StageKind::kRank, kMask = StageKind::kMask;
  std::vector<std::vector<Stage>> out;
  for (const auto& alone :
       {stages_of(kCodes, {1, 2, 3, 4, 6, 8}), stages_of(kRank, {0.25, 0.5, 0.75, 1}),
        stages_of(kMask, {0.3, 0.5, 0.7, 0.8, 0.9})}) {
    for (const Stage& s : alone) out.push_back({s});
  }
  const auto add_pairs = [&](const std::vector<Stage>& ones, const std::vector<Stage>& others) {
    for (const Stage& a : ones) {
      for (const Stage& b : others) {
        out.push_back({a, b});
        out.push_back({b, a});
      }
    }
  };
  add_pairs(stages_of(kMask, {0.5, 0.6, 0.7, 0.8}), stages_of(kCodes, {2, 3, 4}));
  add_pairs(stages_of(kRank, {0.5, 0.75, 1}), stages_of(kCodes, {3, 4, 6}));
  add_pairs(stages_of(kMask, {0.7, 0.8}), stages_of(kRank, {0.75, 1}));
  if (!quick) return out;
  return {out[1], out[2], out[8], out[13], out[21], out[22], out[41], out[42]};
}

struct Row {
  std::string name;
  bool single = true;
  bool limit = false;  // pairs are compared at this size
  uint64_t bytes = 0;
  double validation = 0, accuracy = 0;  // shares of images
  double latency = 0, throughput = 0;   // seconds of one image, images in a second
};

class Harness {
 public:
  explicit Harness(const Options& o)
      : options_(o),
        network_(network::graph_of(io::read_onnx_graph(reference_networks() / "vit.onnx"))),
        validation_(draw_images(kValidation, o.quick ? 100 : 500)),
        held_out_(draw_images(network::testing::kHeldOut, o.quick ? 100 : 2000)),
        one_(draw_images(kValidation, 1).pixels),
        some_(draw_images(kValidation, 64).pixels),
        seen_(network::input_moments(network_, {draw_images(kCalibration, 64).pixels})) {
    // The first layer and the last have 8 bits whatever becomes of the others.
    const size_t last = network_.layers().size() - 1;
    ends_ = network::with_fitted_layers(network_, seen_,
                                        fit::nearest_fitter(form::parse("uniform(8, group=row)")),
                                        [last](size_t i) { return i == 0 || i == last; });
  }

  const Network& network() const { return network_; }
  Row measure(const std::string& name, const Network& net, uint64_t bytes) const {
    Row row{.name = name, .bytes = bytes + network::other_bytes(net)};
    row.validation = accuracy(net, validation_);
    row.accuracy = accuracy(net, held_out_);
    row.latency = best_of(
        10 * options_.runs, [&] { net.run({one_}); }, options_.clock);
    row.throughput = 64 / best_of(
                              options_.runs, [&] { net.run({some_}); }, options_.clock);
    return row;
  }
  // Masks keep blocks of four: places of single elements take much of matrices this small.
  Network with(const std::vector<Stage>& stages, bool feedback = true) const {
    const size_t last = network_.layers().size() - 1;
    const fit::StageOptions options{.feedback = feedback, .block = 4};
    return network::with_fitted_layers(*ends_, seen_, fit::in_stages(stages, options),
                                       [last](size_t i) { return i > 0 && i < last; });
  }

 private:
  static double accuracy(const Network& net, const Images& images) {
    return network::accuracy(net.run({images.pixels})[0], images.classes);
  }

  const Options& options_;
  Network network_;
  Images validation_, held_out_;
  network::Tensor one_, some_;
  std::vector<fit::Metric> seen_;
  std::optional<Network> ends_;
};

void add_row(Table& table, const Row& row, const Row& whole) {
  table.add({text(row.name), count(row.bytes),
             number(static_cast<double>(row.bytes) / static_cast<double>(whole.bytes), 3),
             number(100 * row.accuracy, 1), number(1e3 * row.latency, 3),
             number(row.throughput, 0)});
}

// Of those within the bytes the best on validation images, the smaller of two that are as good.
const Row* best(const std::vector<Row>& rows, uint64_t within, bool single) {
  const Row* found = nullptr;
  for (const Row& row : rows) {
    if (row.single != single || row.bytes > within) continue;
    const bool better = found == nullptr || row.validation > found->validation ||
                        (row.validation == found->validation && row.bytes < found->bytes);
    if (better) found = &row;
  }
  return found;
}

// Where codes alone just fit, and just below that.
void compare(const std::vector<Row>& rows, Report& report) {
  report.section("The best within so many bytes, chosen on other images");
  std::vector<uint64_t> limits;
  for (const Row& row : rows) {
    if (row.limit) limits.insert(limits.end(), {row.bytes - 1, row.bytes});
  }
  Table table({"bytes", "one alone", "right", "a pair", "right", "gain"});
  for (const uint64_t within : limits) {
    const Row *one = best(rows, within, true), *two = best(rows, within, false);
    if (one == nullptr || two == nullptr) continue;
    table.add({count(within), text(one->name), number(100 * one->accuracy, 1), text(two->name),
               number(100 * two->accuracy, 1), number(100 * (two->accuracy - one->accuracy), 1)});
  }
  report.table(table);
}

}  // namespace

void bench_vision(const Options& options) {
  Report report("vision", options.json);
  const Harness harness(options);
  report.note(
      "a vision transformer of 27,786 weights, trained on drawn shapes of ten classes; bytes: of "
      "all weights, norms, biases and constants; the first and the last layer have 8 bits in all "
      "rows but the first. Masks keep blocks of four; codes of all elements are chosen with error "
      "feedback, unless they are the nearest, and are multiplied by inputs as they are, unless "
      "these "
      "are rounded to bytes as they come. right: percent of held-out images. Fitted to 64 images "
      "that are neither "
      "trained with nor counted; one thread");
  Table table({"stages", "bytes", "ratio", "right", "ms an image", "images/s"});
  const Row whole = harness.measure("as trained, f32", harness.network(),
                                    network::layer_bytes(harness.network()));
  add_row(table, whole, whole);
  std::vector<Row> rows;
  for (const std::vector<Stage>& stages : all_stages(options.quick)) {
    const std::string name = name_of(stages);
    report.status(name);
    const Network small = harness.with(stages);
    const uint64_t bytes = network::layer_bytes(small);
    rows.push_back(harness.measure(name, small, bytes));
    rows.back().single = stages.size() == 1;
    if (stages.size() > 1 || stages[0].kind != StageKind::kCodes) continue;
    rows.back().name += ", inputs in bytes";
    rows.push_back(harness.measure(name, network::decoded_layers(small), bytes));
    rows.back().limit = true;
    const Network nearest = network::decoded_layers(harness.with(stages, false));
    rows.push_back(harness.measure(name + ", the nearest", nearest, bytes));
  }
  for (const Row& row : rows) add_row(table, row, whole);
  report.section("All");
  report.table(table);
  compare(rows, report);
  report.finish();
}

}  // namespace pith::bench
