#include "e8_form.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "e8.h"
#include "e8_kernel.h"
#include "kinds.h"
#include "pith/form/arguments.h"
#include "scale_search.h"
#include "scales.h"

namespace pith::form {
namespace {

constexpr uint64_t kMostBits = 8, kMostStages = 4;
// The first stage counts so much; later ones, which hold what is left, less.
constexpr uint8_t kFirstWeight = 64;
constexpr uint64_t kSample = 256;
// The least squared error for a normal variable is near the middle of these.
constexpr std::array kFactors = {0.5, 0.65, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.4};
constexpr std::array kRatios = {1 / 6.0, 1 / 5.0, 1 / 4.5, 1 / 4.0, 1 / 3.6,
                                1 / 3.2, 1 / 2.8, 1 / 2.4, 1 / 2.0};

uint64_t vectors_of_row(Shape shape) { return shape.cols / kE8 + (shape.cols % kE8 != 0); }

uint64_t codes_size(const E8Parameters& p, uint64_t stage, Shape shape) {
  return checked_mul(checked_mul(shape.rows, vectors_of_row(shape)), p.is_short(stage) ? 1 : 2);
}

E8Parameters parameters_of(const Expression& call) {
  const Arguments args(call, {"kind", "bits", "group", "scales"});
  args.choice("kind", std::array<std::string_view, 2>{"e8", "pyramid"});
  E8Parameters p;
  p.bits = static_cast<uint64_t>(args.integer("bits", 1, kMostBits, 2));
  p.scales = lattice_scales(args);
  return p;
}

// Codes of eight elements in units of the lattice scale, stage by stage.
class Quantizer {
 public:
  Quantizer(const E8Parameters& p, std::vector<uint8_t> weights)
      : p_(p), weights_(std::move(weights)) {}

  // out: what the codes stand for.
  void operator()(const float* x, uint16_t* codes, float* out) const {
    std::array<float, kE8> left, y;
    std::copy_n(x, kE8, left.begin());
    std::fill_n(out, kE8, 0.0f);
    for (uint64_t stage = 0; stage < weights_.size(); ++stage) {
      const float unit = kE8Unit * static_cast<float>(weights_[stage]);
      for (uint64_t k = 0; k < kE8; ++k) y[k] = left[k] / unit;
      codes[stage] = p_.is_short(stage) ? nearest_short_e8(y.data()) : nearest_e8(y.data());
      const E8Vector v = p_.is_short(stage) ? e8_short_vector(static_cast<uint8_t>(codes[stage]))
                                            : e8_vector(codes[stage]);
      for (uint64_t k = 0; k < kE8; ++k) {
        left[k] -= unit * static_cast<float>(v[k]);
        out[k] += unit * static_cast<float>(v[k]);
      }
    }
  }

 private:
  E8Parameters p_;
  std::vector<uint8_t> weights_;
};

// How large the lattice is beside the elements, and later stages beside earlier ones: each in turn,
// then the first again beside the others.
struct Sizes {
  double factor = 1;
  std::vector<uint8_t> weights = {kFirstWeight};
};

Sizes sizes_of(const E8Parameters& p, MatrixView matrix) {
  const ScaleSample sample = scale_sample(matrix, p.scales, kE8, kSample);
  Sizes s;
  const auto quantize = [&](const std::vector<uint8_t>& weights, double factor, const float* in,
                            float* out) {
    std::array<float, kE8> scaled;
    std::array<uint16_t, kMostStages> codes;
    const auto f = static_cast<float>(factor);
    for (uint64_t k = 0; k < kE8; ++k) scaled[k] = in[k] / f;
    Quantizer(p, weights)(scaled.data(), codes.data(), out);
    for (uint64_t k = 0; k < kE8; ++k) out[k] *= f;
  };
  const auto find_factor = [&] {
    s.factor = best_candidate(sample, kFactors, [&](const float* in, float* out, double factor) {
      quantize(s.weights, factor, in, out);
    });
  };
  find_factor();
  while (s.weights.size() < p.stages()) {
    const auto with = [&](double ratio) {
      std::vector<uint8_t> weights = s.weights;
      const double weight = std::round(ratio * weights.back());
      weights.push_back(static_cast<uint8_t>(std::max(1.0, weight)));
      return weights;
    };
    s.weights =
        with(best_candidate(sample, kRatios, [&](const float* in, float* out, double ratio) {
          quantize(with(ratio), s.factor, in, out);
        }));
    find_factor();
  }
  return s;
}

}  // namespace

E8Form::E8Form(Shape shape, const E8Parameters& parameters, std::vector<uint8_t> weights,
               Buffer scales, std::vector<Buffer> codes)
    : TiledForm(shape),
      parameters_(parameters),
      weights_(std::move(weights)),
      scales_(shape, parameters.scales, std::move(scales)),
      codes_(std::move(codes)) {
  bool good = weights_.size() == parameters_.stages() && codes_.size() == weights_.size();
  for (uint64_t s = 0; good && s < codes_.size(); ++s)
    good = weights_[s] > 0 && codes_[s].size() == codes_size(parameters_, s, shape);
  if (!good) fail(ErrorKind::kData, "lattice: stages or codes of the wrong size");
}

void E8Form::decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const {
  const uint64_t first = row * vectors_of_row(shape()) + begin / kE8;
  for (uint64_t s = 0; s < codes_.size(); ++s) {
    const E8Codes codes{codes_[s].data(), first, parameters_.is_short(s)};
    decode_e8(codes, n, kE8Unit * static_cast<float>(weights_[s]), s > 0, out);
  }
}

Expression E8Form::expression() const {
  std::vector<Argument> args = {{"", Expression::call("e8")}, {"", parameters_.bits}};
  parameters_.scales.add_to(args, kLatticeScales);
  return Expression::call("lattice", std::move(args));
}

void E8Form::write_body(BodyWriter& to) const {
  to.varint(kStoredE8);
  to.varint(parameters_.bits);
  parameters_.scales.write(to);
  for (const uint8_t w : weights_) to.varint(w);
  scales_.write(to);
  for (const Buffer& c : codes_) to.array(c.bytes);
}

FormPtr E8Form::read(Shape shape, BodyReader& in) {
  E8Parameters p;
  p.bits = in.varint(1, kMostBits, "bits");
  p.scales = read_lattice_scales(in);
  std::vector<uint8_t> weights;
  while (weights.size() < p.stages())
    weights.push_back(static_cast<uint8_t>(in.varint(1, 255, "weight of a stage")));
  Buffer scales = in.array(checked_mul(p.scales.count(shape), scale_bytes(p.scales.type)));
  std::vector<Buffer> codes;
  for (uint64_t s = 0; s < p.stages(); ++s) codes.push_back(in.array(codes_size(p, s, shape)));
  return std::make_shared<E8Form>(shape, p, std::move(weights), std::move(scales),
                                  std::move(codes));
}

FormPtr E8Form::encode(const Expression& call, MatrixView matrix) {
  const E8Parameters p = parameters_of(call);
  require_finite(matrix, "lattice");
  const Shape shape = matrix.shape;
  const Sizes sizes = sizes_of(p, matrix);
  const Quantizer quantizer(p, sizes.weights);
  ScaleFit scales(matrix, p.scales, sizes.factor);
  std::vector<Bytes> codes(p.stages());
  const uint64_t padded = vectors_of_row(shape) * kE8;
  std::vector<float> row(padded), unscaled(padded);  // filled up with zeros
  for (uint64_t r = 0; r < shape.rows && shape.cols > 0; ++r) {
    scales.normalized(r, row.data());
    for (uint64_t c = 0; c < padded; c += kE8) {
      std::array<uint16_t, kMostStages> chosen;
      quantizer(row.data() + c, chosen.data(), unscaled.data() + c);
      for (uint64_t s = 0; s < codes.size(); ++s) {
        ByteWriter to(codes[s]);
        p.is_short(s) ? to.u8(static_cast<uint8_t>(chosen[s])) : to.u16(chosen[s]);
      }
    }
    scales.add(r, unscaled.data());
  }
  scales.finish();
  std::vector<Buffer> stored;
  for (Bytes& c : codes) stored.emplace_back(std::move(c));
  return std::make_shared<E8Form>(shape, p, sizes.weights, scales.stored(), std::move(stored));
}

}  // namespace pith::form
