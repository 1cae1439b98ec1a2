// Networks whose layers are fitted and stored, read back from archives.
#include "pith/network/compress_network.h"

#include <gtest/gtest.h>

#include "layer_table.h"
#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "pith/fit/quantizers.h"
#include "pith/network/fitted_layers.h"
#include "testing_data.h"
#include "testing_images.h"

namespace pith::network {
namespace {

using namespace testing;

LayerForm form_of(const std::string& expression, bool feedback = true) {
  const auto e = form::parse(expression);
  return {expression, feedback ? fit::feedback_fitter(e) : fit::nearest_fitter(e)};
}

// A file of data/networks, fitted and written; read back as a network.
class Small {
 public:
  explicit Small(const std::string& name) : name_(name) {}

  CompressNetworkOptions options;
  NetworkLimits limits = {};

  const CompressedNetwork& fit() {
    const std::filesystem::path paths[] = {data_file(name_)};
    inputs_ = archive::expand_inputs(paths);
    const NetworkCompressor compressor(io::read_onnx_graph(paths[0]), inputs_, options);
    made_ = compressor.compress(limits);
    archive::WriteOptions write;
    compressor.store(made_, write);
    bytes_.clear();
    report_ = archive::write_archive(
        inputs_, [&](ByteView more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); },
        write);
    return made_;
  }
  uint64_t bytes() const { return bytes_.size(); }
  archive::Archive archive() const { return archive::Archive::open_memory(bytes_); }
  Network read_back() const {
    Bytes file;
    archive().extract_file(
        0, [&](ByteView more) { file.insert(file.end(), more.begin(), more.end()); });
    return Network(graph_of(io::read_onnx_graph(Buffer(std::move(file)), "small")));
  }

 private:
  std::string name_;
  std::vector<archive::Input> inputs_;
  CompressedNetwork made_;
  archive::WriteReport report_;
  Bytes bytes_;
};

std::string refusal(const std::function<void()>& work, ErrorKind kind) {
  try {
    work();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  return "";
}

double held_out_error(const std::string& name, const Network& small) {
  const Network whole(graph_of_file(name));
  const Tensor images = draw_images(kHeldOut, 40).pixels;
  return output_error(small.run({images}), whole.run({images}));
}

TEST(CompressNetwork, LayersComeBackFromArchivesAsTheyWereFitted) {
  for (const std::string name : {"residual.onnx", "vit.onnx"}) {
    Small small(name);
    small.options.candidates = {form_of("uniform(6, group=32)")};
    const CompressedNetwork& made = small.fit();
    EXPECT_TRUE(made.left.empty());
    const Network back = small.read_back(), whole(graph_of_file(name));
    ASSERT_EQ(back.layers().size(), whole.layers().size());
    EXPECT_EQ(made.layers.size(), whole.layers().size());
    for (size_t i = 0; i < back.layers().size(); ++i) {
      // Groups of 32 inputs: of convolutions those of all the window.
      const form::FormPtr fitted =
          form_of("uniform(6, group=32)").fitter({"w", whole.decoded(i).view(), {}, {}, 1}).form;
      EXPECT_EQ(back.decoded(i).values, form::decode(*fitted).values) << name << " " << i;
    }
    EXPECT_LT(held_out_error(name, back), 0.05);
    EXPECT_GT(held_out_error(name, back), 0);
    // Everything that is stored, but for what frames leave free.
    EXPECT_NEAR(made.bytes, static_cast<double>(small.bytes()), 64.0 * 44 + 100);
    EXPECT_GE(made.bytes, static_cast<double>(small.bytes()));
  }
}

TEST(CompressNetwork, InputsMakeTheErrorOnOthersLess) {
  for (const std::string name : {"residual.onnx", "vit.onnx"}) {
    double errors[2];
    for (const bool with : {false, true}) {
      Small small(name);
      small.options.candidates = {form_of("uniform(4, group=row)", with)};
      if (with) small.options.inputs = {draw_images(500'000, 64).pixels};
      EXPECT_EQ(small.fit().error.has_value(), with);
      errors[with] = held_out_error(name, small.read_back());
    }
    EXPECT_LT(errors[1], 0.8 * errors[0]) << name;
  }
}

TEST(CompressNetwork, LimitsAreMetByTheWholeArchive) {
  double before = 1e9;
  // 57,418 of them are the graph, with its names, and what is no matrix.
  for (const uint64_t bytes : {69'000, 74'000, 86'000}) {
    Small small("vit.onnx");
    for (const char* e : {"uniform(2, group=32)", "uniform(3, group=32)", "uniform(4, group=32)",
                          "uniform(8, group=32)"}) {
      small.options.candidates.push_back(form_of(e));
    }
    small.options.inputs = {draw_images(500'000, 16).pixels};
    small.limits.bytes = bytes;
    small.fit();
    EXPECT_LE(small.bytes(), bytes);
    const double error = held_out_error("vit.onnx", small.read_back());
    EXPECT_LT(error, before);
    before = error;
  }
}

TEST(CompressNetwork, LimitsBelowTheSmallestAreRefusedBeforeInputsAreLookedAt) {
  Small small("vit.onnx");
  small.options.candidates = {form_of("uniform(2, group=32)"), form_of("uniform(4, group=32)")};
  small.options.inputs = {draw_images(500'000, 2).pixels};
  bool looked = false;
  small.options.progress = [&](const char*) {
    looked = true;
    return Progress();
  };
  small.limits.bytes = 3000;
  const std::string why = refusal([&] { small.fit(); }, ErrorKind::kLimit);
  EXPECT_NE(why.find("3000 bytes are asked for"), std::string::npos) << why;
  EXPECT_NE(why.find("bits a weight"), std::string::npos) << why;
  EXPECT_FALSE(looked);
  small.limits = {};
  EXPECT_NE(refusal([&] { small.fit(); }, ErrorKind::kUsage).find("--bits"), std::string::npos);
}

TEST(CompressNetwork, WhatACandidateRefusesStaysAsItIs) {
  Small small("residual.onnx");
  LayerForm even = form_of("uniform(4, group=row)");
  even.check = [](form::Shape shape) {
    if (shape.cols % 12 != 0) fail(ErrorKind::kUsage, "12 do not divide {}", shape.cols);
  };
  small.options.candidates = {even};
  const CompressedNetwork& made = small.fit();
  const Network whole(graph_of_file("residual.onnx")), back = small.read_back();
  ASSERT_FALSE(made.left.empty());
  EXPECT_NE(made.left[0].find("12 do not divide 9"), std::string::npos) << made.left[0];
  EXPECT_EQ(back.decoded(0).values, whole.decoded(0).values);
  EXPECT_NE(back.decoded(1).values, whole.decoded(1).values);
}

TEST(CompressNetwork, RulesLeaveLayersAlone) {
  Small small("vit.onnx");
  small.options.candidates = {form_of("uniform(4, group=row)")};
  small.options.rules = {archive::lossless_rule("patches|head")};
  const CompressedNetwork& made = small.fit();
  for (const FittedLayer& l : made.layers) EXPECT_EQ(l.tensor.find("head"), std::string::npos);
  EXPECT_EQ(made.layers.size(), 12U);
  small.options.rules = {archive::lossless_rule(".")};
  refusal([&] { small.fit(); }, ErrorKind::kUsage);
}

TEST(CompressNetwork, MomentsOfSomeOfTheInputsAreNearThoseOfAll) {
  const Network net(graph_of_file("residual.onnx"));
  const Tensor images = draw_images(0, 16).pixels;
  const std::vector<uint64_t> counts = input_counts(net, {images});
  EXPECT_EQ(counts[0], 16 * 24 * 24);
  const auto all = input_moments(net, {images});
  const auto some = input_moments(net, {images}, {.every = [](size_t) { return 7; }});
  const auto total = [](const fit::Metric& m) {
    double sum = 0;
    for (uint64_t c = 0; c < m.columns(); ++c) sum += m.importance(c);
    return sum;
  };
  for (size_t i = 0; i < all.size(); ++i) {
    if (counts[i] < 2000) continue;
    EXPECT_NEAR(total(some[i]) / total(all[i]), 1.0 / 7, 0.02) << i;
  }
}

}  // namespace
}  // namespace pith::network
