// Weights, activations, keys and values, and gradients as the pictures of a video, coded by what
// codes videos (VcLLM: Xu et al. 2024), beside forms of as many bytes, and of the same error.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "bench.h"
#include "bench_data.h"
#include "bench_dense_model.h"
#include "bench_peers.h"
#include "bench_report.h"
#include "bench_tensors.h"
#include "output.h"
#include "pith/base/file.h"
#include "pith/base/half.h"
#include "pith/form/form.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSide = 128;  // of a frame
constexpr int kMiddle = 128;     // the byte of a weight that is zero
constexpr uint64_t kTokens = 512, kMostMoved = 1 << 20;
// Two of them with a part switched off.
constexpr const char* kEncoders[] = {"libx264", "libx264+vlc", "libx264+16x16", "libx265",
                                     "libaom-av1"};
constexpr uint64_t kWindows = 8;  // of 512 predictions, where a model is run

using Matrices = std::vector<form::Matrix>;

struct Outcome {
  double bits = 0, error = 0;  // of a weight; over the mean square of all
  Matrices back = {};
};

double squared_error(const Matrices& a, const Matrices& b) {
  double sum = 0;
  for (size_t m = 0; m < a.size(); ++m) {
    for (uint64_t i = 0; i < a[m].values.size(); ++i) {
      const double e = double{a[m].values[i]} - double{b[m].values[i]};
      sum += e * e;
    }
  }
  return sum;
}

class Pictures {
 public:
  Pictures(const Matrices& matrices, const fs::path& folder)
      : matrices_(matrices), frames_(folder / "frames"), decoded_(folder / "decoded") {
    Bytes frames;
    for (const form::Matrix& m : matrices) {
      for (uint64_t r = 0; r < m.shape.rows; ++r) {
        float most = 0;
        for (const float v : m.view().row(r)) most = std::max(most, std::fabs(v));
        scales_.push_back(float_from_f16(f16_from_float(most / 127)));
      }
      weights_ += m.shape.size();
    }
    for_each_element([&](size_t m, uint64_t at, float scale) {
      const float v = scale > 0 ? std::round(matrices[m].values[at] / scale) : 0;
      frames.push_back(static_cast<uint8_t>(std::clamp(v + kMiddle, 0.0f, 255.0f)));
    });
    AtomicFile out(frames_, true);
    out.write(frames);
    out.commit();
  }

  uint64_t weights() const { return weights_; }
  double side_bits() const {
    return 16 * static_cast<double>(scales_.size()) / static_cast<double>(weights_);
  }

  // With scales as f16 counted. Throws ErrorKind::kData with the reason where it cannot be.
  Outcome with(const std::string& encoder, double bits, double power, int& quantizer) const {
    const auto most =
        static_cast<uint64_t>((bits - side_bits()) / 8 * static_cast<double>(weights_));
    const std::string out = output_of(fmt::format("{} {} {} {} {} {} {}", std::getenv("PITH_VIDEO"),
                                                  quoted(frames_.string()), kSide, kSide, encoder,
                                                  most, quoted(decoded_.string())));
    const Json answer = Json::parse(out, nullptr, false);
    if (!answer.is_object()) fail(ErrorKind::kData, "$PITH_VIDEO printed no JSON");
    if (answer.contains("error")) fail(ErrorKind::kData, "{}", answer["error"].get<std::string>());
    quantizer = answer.at("quantizer");
    Matrices back = restored(decoded_);
    const double error = squared_error(matrices_, back) / power;
    return {side_bits() + 8 * answer.at("bytes").get<double>() / static_cast<double>(weights_),
            error, std::move(back)};
  }
  // As bytes, before any coder.
  double error() const { return squared_error(matrices_, restored(frames_)); }

 private:
  // In the order of frames, each row by row.
  template <class Function>
  void for_each_element(const Function& f) const {
    uint64_t first = 0;
    for (size_t m = 0; m < matrices_.size(); ++m) {
      const auto [rows, cols] = matrices_[m].shape;
      for (uint64_t top = 0; top < rows; top += kSide) {
        for (uint64_t left = 0; left < cols; left += kSide) {
          for (uint64_t r = top; r < top + kSide; ++r) {
            for (uint64_t c = left; c < left + kSide; ++c) f(m, r * cols + c, scales_[first + r]);
          }
        }
      }
      first += rows;
    }
  }

  Matrices restored(const fs::path& frames) const {
    const Bytes bytes = read_file(frames);
    Matrices back = matrices_;
    uint64_t i = 0;
    for_each_element([&](size_t m, uint64_t at, float scale) {
      back[m].values[at] = scale * static_cast<float>(int{bytes.at(i++)} - kMiddle);
    });
    return back;
  }

  const Matrices& matrices_;
  fs::path frames_, decoded_;
  std::vector<float> scales_;  // of all rows
  uint64_t weights_ = 0;
};

Outcome ours(const Matrices& matrices, const std::string& expression, double power) {
  double bits = 0, weights = 0;
  Outcome out;
  for (const form::Matrix& m : matrices) {
    const form::FormPtr form = form::encode(form::parse(expression), m.view());
    out.back.push_back(form::decode(*form));
    bits += static_cast<double>(form::bits(*form));
    weights += static_cast<double>(m.shape.size());
  }
  out.bits = bits / weights;
  out.error = squared_error(matrices, out.back) / power;
  return out;
}

// Integers of the bits with which they lose as much.
Outcome ours_at(const Matrices& matrices, double error, double power) {
  // Of an error a bit is a factor of four, nearly.
  double bits = std::clamp(0.5 * std::log2(1 / error), 0.1, 8.0);
  Outcome found;
  for (int tries = 0; tries < 4; ++tries) {
    found = ours(matrices, fmt::format("integer(bits={:.4f}) > rans", bits), power);
    const double off = 0.5 * std::log2(found.error / error);
    if (std::fabs(off) < 0.002) break;
    bits = std::clamp(bits + off, 0.1, 8.0);
  }
  return found;
}

class VideoBench {
 public:
  // Without a text no model is run.
  VideoBench(const Options& options, Report& report, const std::string& text)
      : options_(options), report_(report), scratch_(options) {
    if (text.empty()) return;
    model_.emplace(reference_model().parent_path(), kWindows, 1);
    ids_ = model_->ids(text);
  }

  void run(const Tensors& tensors) {
    power_ = 0;
    for (const form::Matrix& m : tensors.matrices) {
      for (const float v : m.values) power_ += double{v} * v;
    }
    const Pictures pictures(tensors.matrices, scratch_ / "");
    report_.section(tensors.kind);
    report_.note(fmt::format("{} matrices, {} numbers; as bytes they are off by {:.1e}",
                             tensors.matrices.size(), pictures.weights(),
                             pictures.error() / power_));
    names_ = tensors.names;
    if (judged()) {
      report_.note(
          fmt::format("The model with these matrices on {} windows of books-valid; its "
                      "own perplexity there is {:.2f}",
                      kWindows, model_->loss(ids_).perplexity()));
    }
    Table table({"coder", "asked for", "bits", "error", "above", "integers at this error, bits",
                 "bits over theirs", "divergence", "perplexity"});
    for (const double bits :
         options_.quick ? std::vector<double>{3.0} : std::vector<double>{2.2, 3.2, 4.2}) {
      const std::string expression = fmt::format("integer(bits={}) > rans", bits);
      report_.status(fmt::format("{}: {}", tensors.kind, expression));
      add(table, "pith " + expression, bits, ours(tensors.matrices, expression, power_), {});
      if (coded()) {
        for (const char* encoder : kEncoders) code(table, tensors, pictures, encoder, bits);
      }
      const std::string rounded = fmt::format("uniform({}, group=128)", std::floor(bits));
      const Outcome o = ours(tensors.matrices, rounded, power_);
      add(table, "pith " + rounded, bits, o, ours_at(tensors.matrices, o.error, power_));
    }
    report_.table(table);
  }

  static bool coded() {
    const char* const command = std::getenv("PITH_VIDEO");
    return command != nullptr && *command != '\0';
  }

 private:
  void code(Table& table, const Tensors& tensors, const Pictures& pictures, const char* encoder,
            double bits) {
    report_.status(fmt::format("{}: {} {}", tensors.kind, encoder, bits));
    int quantizer = 0;
    try {
      const Outcome o = pictures.with(encoder, bits, power_, quantizer);
      add(table, fmt::format("{} -qp {}", encoder, quantizer), bits, o,
          ours_at(tensors.matrices, o.error, power_));
    } catch (const Error& e) {
      report_.note(fmt::format("{} at {} bits is left out: {}", encoder, bits, e.what()));
    }
  }

  bool judged() const { return model_ && !names_.empty(); }

  void add(Table& table, const std::string& name, double asked, const Outcome& o,
           const std::optional<Outcome>& same) {
    std::optional<audit::Evaluation> judgement;
    if (judged()) {
      DenseModel::Matrices changed;
      for (size_t m = 0; m < names_.size(); ++m) changed.emplace(names_[m], o.back[m]);
      judgement = model_->compare(changed, ids_);
    }
    table.add({text(name),
               number(asked, 1),
               number(o.bits, 3),
               {fmt::format("{:.3e}", o.error), o.error},
               number(o.bits - 0.5 * std::log2(1 / o.error), 3),
               same ? number(same->bits, 3) : none(),
               same ? number(o.bits / same->bits, 2) : none(),
               judgement ? number(judgement->divergence->kl.mean, 4) : none(),
               judgement ? number(judgement->model.perplexity(), 2) : none()});
  }

  const Options& options_;
  Report& report_;
  Scratch scratch_;
  std::optional<DenseModel> model_;
  std::vector<int32_t> ids_;
  std::vector<std::string> names_;
  double power_ = 0;
};

}  // namespace

void bench_video(const Options& options) {
  Report report("video", options.json);
  if (!VideoBench::coded()) {
    report.note(
        "video coders: install ffmpeg and set PITH_VIDEO=\"python3 tools/peer_video.py\"; they are "
        "left out");
  }
  report.note(fmt::format(
      "Pictures: bytes by a scale for each row, in frames of {0} x {0}, each coded by itself with "
      "the finest quantizer that keeps within the bits. error: squared, over the numbers' squares; "
      "above: bits beyond log2(1 / error) / 2, the least for normal variables that are all alike",
      kSide));
  const fs::path path = shared_data() / "text/books-valid.txt";
  const std::string text = fs::exists(path) ? command::text_of(path.string()) : "";
  VideoBench bench(options, report, text);
  bench.run(weights(kSide));
  if (!text.empty()) {
    for (const Tensors& t : moved(text, kTokens, kSide, kMostMoved)) bench.run(t);
  } else {
    report.note(
        fmt::format("activations, keys and values, and gradients, and what a model loses, are left "
                    "out: there is no {}",
                    path.string()));
  }
  report.finish();
}

}  // namespace pith::bench
