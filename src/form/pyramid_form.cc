#include "pyramid_form.h"

#include <algorithm>
#include <array>
#include <bit>

#include "kinds.h"
#include "pith/form/arguments.h"
#include "pith/math/kmeans.h"
#include "scales.h"

namespace pith::form {
namespace {

constexpr int kMostGainBits = 8;
constexpr int kMostCodeBits = 128;  // of an index and a gain

uint64_t gains_size(const PyramidParameters& p) { return sizeof(float) << p.gain_bits; }

uint64_t codes_size(const PyramidParameters& p, int bits, Shape shape) {
  const uint64_t n = checked_mul(shape.rows, runs_of_row(p, shape));
  return checked_add(checked_mul(n, static_cast<uint64_t>(bits)), 7) / 8;
}

// Codes of a fixed width, up to 128 bits, one after the other.
PyramidIndex get(ByteView stored, uint64_t place, int bits) {
  const uint64_t bit = place * static_cast<uint64_t>(bits), first = bit / 8;
  const auto skip = static_cast<int>(bit % 8);
  PyramidIndex v = 0;
  for (int at = 0; at < skip + bits; at += 8) {
    const PyramidIndex byte = stored[first + static_cast<uint64_t>(at) / 8];
    v |= at < skip ? byte >> skip : byte << (at - skip);
  }
  return bits == 128 ? v : v & ((PyramidIndex{1} << bits) - 1);
}

void put(PyramidIndex v, uint64_t place, int bits, Bytes& stored) {
  const uint64_t bit = place * static_cast<uint64_t>(bits), first = bit / 8;
  const auto skip = static_cast<int>(bit % 8);
  for (int at = 0; at < skip + bits; at += 8) {
    stored[first + static_cast<uint64_t>(at) / 8] |=
        static_cast<uint8_t>(at < skip ? v << skip : v >> (at - skip));
  }
}

PyramidParameters parameters_of(const Expression& call) {
  const Arguments args(call, {"kind", "dim", "k", "bits", "gain", "group", "scales"});
  args.choice("kind", std::array<std::string_view, 2>{"e8", "pyramid"});
  PyramidParameters p;
  p.dim = static_cast<uint64_t>(args.integer("dim", 1, Pyramid::kMostDim, 16));
  p.gain_bits = static_cast<int>(args.integer("gain", 0, kMostGainBits, 4));
  if (args.has("bits") == args.has("k"))
    throw args.wrong("k", "given, or else `bits`: the most bits of an element, gain and all");
  if (args.has("bits")) {
    const double rate = args.number("bits", 0, 64);
    const auto whole = static_cast<int>(rate * static_cast<double>(p.dim));
    p.pulses = Pyramid::pulses_for(p.dim, std::min(whole, kMostCodeBits) - p.gain_bits);
    if (p.pulses == 0) throw args.wrong("bits", "enough for one pulse and a gain");
  } else {
    const uint64_t most = Pyramid::pulses_for(p.dim, kMostCodeBits - p.gain_bits);
    p.pulses = static_cast<uint64_t>(args.integer("k", 1, static_cast<int64_t>(most)));
  }
  p.scales = lattice_scales(args);
  if (p.scales.length <= kMostElements && p.scales.length % p.dim != 0)
    throw args.wrong("group", fmt::format("a multiple of {}, the `dim`", p.dim));
  return p;
}

}  // namespace

uint64_t runs_of_row(const PyramidParameters& p, Shape shape) {
  return shape.cols / p.dim + (shape.cols % p.dim != 0);
}

PyramidForm::PyramidForm(Shape shape, const PyramidParameters& parameters, Buffer gains,
                         Buffer scales, Buffer codes)
    : TiledForm(shape),
      parameters_(parameters),
      pyramid_(parameters.dim, parameters.pulses),
      gains_(std::move(gains)),
      scales_(shape, parameters.scales, std::move(scales)),
      codes_(std::move(codes)) {
  if (gains_.size() != gains_size(parameters_) ||
      codes_.size() != codes_size(parameters_, pyramid_.bits() + parameters_.gain_bits, shape)) {
    fail(ErrorKind::kData, "lattice: gains or codes of the wrong size");
  }
}

PyramidIndex PyramidForm::code(uint64_t place) const {
  return get(codes_.bytes, place, pyramid_.bits() + parameters_.gain_bits);
}

Bytes PyramidForm::pack(std::span<const PyramidIndex> codes, int bits) {
  Bytes stored((codes.size() * static_cast<uint64_t>(bits) + 7) / 8);
  for (uint64_t i = 0; i < codes.size(); ++i) put(codes[i], i, bits, stored);
  return stored;
}

void PyramidForm::decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const {
  const uint64_t dim = parameters_.dim;
  const int bits = pyramid_.bits() + parameters_.gain_bits;
  uint64_t place = row * runs_of_row(parameters_, shape()) + begin / dim;
  std::array<int, Pyramid::kMostDim> point;
  for (uint64_t at = 0; at < n; at += dim, ++place) {
    const PyramidIndex code = get(codes_.bytes, place, bits);
    const auto gain_code = static_cast<uint64_t>(code >> pyramid_.bits());
    const auto gain = load_le<float>(gains_.data() + sizeof(float) * gain_code);
    pyramid_.point(code & ((PyramidIndex{1} << pyramid_.bits()) - 1), point.data());
    for (uint64_t i = 0; i < std::min(dim, n - at); ++i)
      out[at + i] = gain * static_cast<float>(point[i]);
  }
}

Expression PyramidForm::expression() const {
  std::vector<Argument> args = {{"", Expression::call("pyramid")},
                                {"dim", parameters_.dim},
                                {"k", parameters_.pulses},
                                {"gain", parameters_.gain_bits}};
  parameters_.scales.add_to(args, kLatticeScales);
  return Expression::call("lattice", std::move(args));
}

void PyramidForm::write_body(BodyWriter& to) const {
  to.varint(kStoredPyramid);
  to.varint(parameters_.dim);
  to.varint(parameters_.pulses);
  to.varint(static_cast<uint64_t>(parameters_.gain_bits));
  parameters_.scales.write(to);
  to.array(gains_.bytes);
  scales_.write(to);
  to.array(codes_.bytes);
}

FormPtr PyramidForm::read(Shape shape, BodyReader& in) {
  PyramidParameters p;
  p.dim = in.varint(1, Pyramid::kMostDim, "dim");
  p.pulses = in.varint(1, Pyramid::kMostPulses, "pulses");
  p.gain_bits = static_cast<int>(in.varint(0, kMostGainBits, "bits of gains"));
  p.scales = read_lattice_scales(in);
  if (p.scales.length <= kMostElements && p.scales.length % p.dim != 0)
    in.bad("groups that do not hold whole vectors");
  if (p.pulses > Pyramid::pulses_for(p.dim, kMostCodeBits - p.gain_bits))
    in.bad("a pyramid of too many points");
  const int bits = Pyramid(p.dim, p.pulses).bits() + p.gain_bits;
  Buffer gains = in.array(gains_size(p));
  Buffer scales = in.array(checked_mul(p.scales.count(shape), scale_bytes(p.scales.type)));
  Buffer codes = in.array(codes_size(p, bits, shape));
  return std::make_shared<PyramidForm>(shape, p, std::move(gains), std::move(scales),
                                       std::move(codes));
}

FormPtr PyramidForm::encode(const Expression& call, MatrixView matrix) {
  const PyramidParameters p = parameters_of(call);
  const Pyramid pyramid(p.dim, p.pulses);
  require_finite(matrix, "lattice");
  const Shape shape = matrix.shape;
  const uint64_t runs = runs_of_row(p, shape), all = shape.rows * runs;
  ScaleFit scales(matrix, p.scales, 1);
  // First all points and the gains that would suit them best, then the few gains there are.
  std::vector<PyramidIndex> indices;
  std::vector<float> gains, weights, row(runs * p.dim);
  std::vector<int> point(p.dim);
  for (uint64_t r = 0; r < shape.rows && runs > 0; ++r) {
    scales.normalized(r, row.data());
    for (uint64_t c = 0; c < row.size(); c += p.dim) {
      const std::span<const float> x(row.data() + c, p.dim);
      pyramid.nearest(x, point.data());
      double product = 0, square = 0;
      for (uint64_t i = 0; i < p.dim; ++i) {
        product += double{x[i]} * point[i];
        square += double(point[i]) * point[i];
      }
      indices.push_back(pyramid.index(point));
      gains.push_back(static_cast<float>(product / square));
      weights.push_back(static_cast<float>(square));
    }
  }
  const std::vector<float> table = math::kmeans_1d(gains, weights, uint64_t{1} << p.gain_bits);
  std::vector<uint32_t> gain_codes(all);
  math::NearestCentroid(table, 1)(gains, gain_codes.data());

  const int bits = pyramid.bits() + p.gain_bits;
  Bytes codes(codes_size(p, bits, shape)), stored_gains;
  for (const float g : table) ByteWriter(stored_gains).u32(std::bit_cast<uint32_t>(g));
  for (uint64_t r = 0, place = 0; r < shape.rows && runs > 0; ++r) {
    for (uint64_t c = 0; c < row.size(); c += p.dim, ++place) {
      put(indices[place] | PyramidIndex{gain_codes[place]} << pyramid.bits(), place, bits, codes);
      pyramid.point(indices[place], point.data());
      for (uint64_t i = 0; i < p.dim; ++i)
        row[c + i] = table[gain_codes[place]] * static_cast<float>(point[i]);
    }
    scales.add(r, row.data());
  }
  scales.finish();
  return std::make_shared<PyramidForm>(shape, p, Buffer(std::move(stored_gains)), scales.stored(),
                                       Buffer(std::move(codes)));
}

}  // namespace pith::form
