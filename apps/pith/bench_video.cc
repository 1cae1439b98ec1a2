// Weights as the pictures of a video, coded by what codes videos (VcLLM: Xu et al. 2024), beside
// forms of as many bytes.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bench.h"
#include "bench_data.h"
#include "bench_peers.h"
#include "bench_report.h"
#include "pith/base/file.h"
#include "pith/base/float_elements.h"
#include "pith/base/half.h"
#include "pith/form/form.h"
#include "pith/io/layout.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSide = 128;  // of a frame
constexpr int kMiddle = 128;     // the byte of a weight that is zero
constexpr const char* kEncoders[] = {"libx264", "libx265", "libaom-av1"};

struct Outcome {
  double bits = 0, error = 0;  // of a weight; over the mean square of all
};

// The matrices of the reference model but its vocabulary.
std::vector<form::Matrix> matrices() {
  const fs::path path = reference_model();
  const Bytes file = read_file(path);
  std::vector<form::Matrix> out;
  for (const io::TensorRegion& t : io::describe(file, path).layout.tensors) {
    const bool vocabulary = t.name.find("embed") != std::string::npos;
    if (t.shape.size() != 2 || t.dtype != DType::kBF16 || vocabulary) continue;
    form::Matrix m({t.shape[0], t.shape[1]});
    if (m.shape.rows % kSide != 0 || m.shape.cols % kSide != 0) continue;
    floats_from(ByteView(file).subspan(t.offset, t.size), t.dtype, false, m.values.data());
    out.push_back(std::move(m));
  }
  return out;
}

class Pictures {
 public:
  Pictures(const std::vector<form::Matrix>& matrices, const fs::path& folder)
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
    for_each_element([&](const form::Matrix& m, uint64_t at, float scale) {
      const float v = scale > 0 ? std::round(m.values[at] / scale) : 0;
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
    return {side_bits() + 8 * answer.at("bytes").get<double>() / static_cast<double>(weights_),
            error(read_file(decoded_)) / power};
  }
  // As bytes, before any coder.
  double error() const { return error(read_file(frames_)); }

 private:
  // In the order of frames, each row by row.
  template <class Function>
  void for_each_element(const Function& f) const {
    uint64_t first = 0;
    for (const form::Matrix& m : matrices_) {
      for (uint64_t top = 0; top < m.shape.rows; top += kSide) {
        for (uint64_t left = 0; left < m.shape.cols; left += kSide) {
          for (uint64_t r = top; r < top + kSide; ++r) {
            for (uint64_t c = left; c < left + kSide; ++c) {
              f(m, r * m.shape.cols + c, scales_[first + r]);
            }
          }
        }
      }
      first += m.shape.rows;
    }
  }

  double error(const Bytes& frames) const {
    double sum = 0;
    uint64_t i = 0;
    for_each_element([&](const form::Matrix& m, uint64_t at, float scale) {
      const double e = double{scale} * (frames.at(i++) - kMiddle) - double{m.values[at]};
      sum += e * e;
    });
    return sum;
  }

  const std::vector<form::Matrix>& matrices_;
  fs::path frames_, decoded_;
  std::vector<float> scales_;  // of all rows
  uint64_t weights_ = 0;
};

Outcome ours(const std::vector<form::Matrix>& matrices, const std::string& expression,
             double power) {
  double bits = 0, error = 0, weights = 0;
  for (const form::Matrix& m : matrices) {
    const form::FormPtr form = form::encode(form::parse(expression), m.view());
    const form::Matrix back = form::decode(*form);
    bits += static_cast<double>(form::bits(*form));
    weights += static_cast<double>(m.shape.size());
    for (uint64_t i = 0; i < m.values.size(); ++i) {
      const double e = double{back.values[i]} - double{m.values[i]};
      error += e * e;
    }
  }
  return {bits / weights, error / power};
}

}  // namespace

void bench_video(const Options& options) {
  Report report("video", options.json);
  const char* const command = std::getenv("PITH_VIDEO");
  const bool coded = command != nullptr && *command != '\0';
  if (!coded) {
    report.note(
        "video coders: install ffmpeg and set PITH_VIDEO=\"python3 tools/peer_video.py\"; they are "
        "left out");
  }
  const std::vector<form::Matrix> all = matrices();
  double power = 0;
  for (const form::Matrix& m : all) {
    for (const float v : m.values) power += double{v} * v;
  }
  const Scratch scratch(options);
  const Pictures pictures(all, scratch / "");
  report.note(fmt::format(
      "{} matrices of the reference model, {} weights. Pictures: bytes by a scale for each row, in "
      "frames of {} x {}, each coded by itself with the finest quantizer that keeps within the "
      "bits; bytes alone leave {:.1e}. error: squared, over the weights' squares; above: bits "
      "beyond log2(1 / error) / 2, the least for normal variables that are all alike",
      all.size(), pictures.weights(), kSide, kSide, pictures.error() / power));
  Table table({"coder", "asked for", "bits", "error", "above"});
  const auto add = [&](const std::string& name, double asked, const Outcome& o) {
    table.add({text(name),
               number(asked, 1),
               number(o.bits, 3),
               {fmt::format("{:.3e}", o.error), o.error},
               number(o.bits - 0.5 * std::log2(1 / o.error), 3)});
  };
  const std::vector<double> sizes =
      options.quick ? std::vector<double>{3.0} : std::vector<double>{2.2, 3.2, 4.2};
  for (const double bits : sizes) {
    const std::string expression = fmt::format("integer(bits={}) > rans", bits);
    report.status(expression);
    add("pith " + expression, bits, ours(all, expression, power));
    for (const char* encoder : kEncoders) {
      if (!coded) break;
      report.status(fmt::format("{} {}", encoder, bits));
      int quantizer = 0;
      try {
        const Outcome o = pictures.with(encoder, bits, power, quantizer);
        add(fmt::format("{} -qp {}", encoder, quantizer), bits, o);
      } catch (const Error& e) {
        report.note(fmt::format("{} at {} bits is left out: {}", encoder, bits, e.what()));
      }
    }
    const std::string rounded = fmt::format("uniform({}, group=128)", std::floor(bits));
    add("pith " + rounded, bits, ours(all, rounded, power));
  }
  report.table(table);
  report.finish();
}

}  // namespace pith::bench
