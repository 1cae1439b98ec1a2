#include <algorithm>
#include <cmath>

#include "chunk_shape.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "stream_allocation.h"
#include "stream_header.h"

namespace pith::kv {
namespace {

void check(const Arrays& a, const StreamOptions& o) {
  check_size(a);
  const auto finite = [](float f) { return std::isfinite(f); };
  if (!std::ranges::all_of(a.keys, finite) || !std::ranges::all_of(a.values, finite))
    fail(ErrorKind::kData, "keys or values that are not finite cannot be coded");
  if (a.size() > kMostStream)
    fail(ErrorKind::kLimit, "{} keys are too many for a stream", a.size());
  if (o.profile) o.profile->check(a);
}

// What is less than this share of a number is its rounding: an eighth of what f16 tells apart.
constexpr double kRounding = 0x1p-14;

// What the numbers of a plane are on the mean, around the means of their channels. Of keys that are
// alike before their rotation nothing is left but rounding, which is not worth bits.
float unit_of(const form::Matrix& plane) {
  const auto [tokens, channels] = plane.shape;
  double sum = 0, all = 0;
  for (uint64_t c = 0; c < channels; ++c) {
    double s = 0, squares = 0;
    for (uint64_t t = 0; t < tokens; ++t) {
      const double v = plane.values[t * channels + c];
      s += v;
      squares += v * v;
    }
    sum += std::max(0.0, squares - s * s / static_cast<double>(tokens));
    all += squares;
  }
  const double rms = std::sqrt(std::max(sum, kRounding * kRounding * all) /
                               static_cast<double>(plane.shape.size()));
  return rms > 1e-20 && rms < 1e20 ? static_cast<float>(rms) : 1;
}

// Logarithms of steps that no use lies outside of.
constexpr double kFinest = -12, kCoarsest = 8;
// Of the bits that are allowed, so large a share is used.
constexpr double kNearEnough = 0.998;

[[noreturn]] void too_few(double bits, double least) {
  fail(ErrorKind::kLimit, "{} bits for a number are too few: {:.3f} at least are needed", bits,
       least);
}

class Encoder {
 public:
  Encoder(const Arrays& arrays, const StreamOptions& options, int threads)
      : options_(options), threads_(threads) {
    header_.shape = {.heads = arrays.heads,
                     .first = arrays.first,
                     .tokens = arrays.tokens,
                     .head_size = arrays.head_size};
    header_.scheme = {.deltas = options.deltas, .group = options.group, .tokens = arrays.tokens};
    header_.rotation = options.rotation;
    if (options.profile) {
      header_.profile = options.profile->id;
      header_.kept = ranks_within(*options.profile, options.kept, options.ranks);
    }
    planes_ = planes_of(arrays.heads, options.profile.get(), header_.kept);
    std::erase_if(planes_, [&](const Plane& p) {
      return arrays.size() == 0 || (p.span ? p.kept : p.heads) == 0;
    });
    prepare(arrays);
  }

  Bytes encode() {
    if (!options_.bits) return encode_with(options_.step);
    const double numbers = 2 * static_cast<double>(header_.shape.size());
    const double room = *options_.bits * numbers / 8;
    if (planes_.empty()) return encode_with(1);
    Bytes best = encode_with(std::exp2(kCoarsest));
    const auto bits_of = [&](const Bytes& b) {
      return 8 * static_cast<double>(b.size()) / numbers;
    };
    if (static_cast<double>(best.size()) > room) too_few(*options_.bits, bits_of(best));
    // The least step that fits, between two of which one does. Bits fall by about one where the
    // step doubles, so that a line between the two tells nearly where it is.
    double fine = kFinest, coarse = kCoarsest, above = bits_of(best) + kCoarsest - kFinest;
    for (int i = 0; i < 14 && bits_of(best) < kNearEnough * *options_.bits; ++i) {
      const double at = (*options_.bits - bits_of(best)) / (above - bits_of(best));
      const double share = i % 3 == 2 ? 0.5 : std::clamp(at - 0.002, 0.02, 0.98);
      const double middle = coarse - share * (coarse - fine);
      Bytes with = encode_with(std::exp2(middle));
      if (static_cast<double>(with.size()) <= room) {
        coarse = middle;
        best = std::move(with);
      } else {
        fine = middle;
        above = bits_of(with);
      }
    }
    return best;
  }

 private:
  void prepare(const Arrays& arrays) {
    std::optional<Rotator> rotator;
    if (options_.rotation && !planes_.empty())
      rotator.emplace(*options_.rotation, arrays.head_size, arrays.first, arrays.tokens);
    matrices_.resize(planes_.size());
    units_.resize(planes_.size(), 1);
    parallel_for(threads_, planes_.size(), [&](size_t i) {
      matrices_[i] = gather(arrays, planes_[i], rotator ? &*rotator : nullptr);
      if (!planes_[i].span) units_[i] = unit_of(matrices_[i]) * deeper(planes_[i]);
    });
  }

  float deeper(const Plane& p) const {
    const uint64_t layers = header_.shape.heads.size();
    const double depth =
        layers > 1 ? static_cast<double>(p.layer) / static_cast<double>(layers - 1) : 0;
    return static_cast<float>(1 + (options_.deeper - 1) * depth);
  }

  // With steps of this many units or, with a programme, so few bits that they are about as many.
  Bytes encode_with(double step) {
    std::vector<PlaneCodes> codes(planes_.size());
    if (options_.steps == Steps::kDynamic) {
      const auto bits = bits_of_axes(planes_, step);
      for (size_t i = 0; i < codes.size(); ++i) {
        codes[i].bits = bits[i];
        codes[i].unit = kAxisRange;
        codes[i].steps = steps_of_bits(bits[i], kAxisRange, planes_[i].span->deviations);
      }
    } else {
      for (size_t i = 0; i < codes.size(); ++i) {
        codes[i].unit = static_cast<float>(step) * units_[i];
        codes[i].steps.assign(matrices_[i].shape.cols, codes[i].unit);
      }
    }
    parallel_for(threads_, codes.size(),
                 [&](size_t i) { quantize(matrices_[i], header_.scheme, codes[i]); });
    return write(codes);
  }

  Bytes write(const std::vector<PlaneCodes>& codes) {
    std::array<SymbolCounts, 2> shared{};
    if (options_.models == Models::kShared) {
      for (const PlaneCodes& c : codes) add_counts(c, shared);
    }
    std::vector<Bytes> blocks(codes.size());
    parallel_for(threads_, codes.size(), [&](size_t i) {
      std::array<SymbolCounts, 2> own{};
      if (options_.models == Models::kLayer) add_counts(codes[i], own);
      const PlaneTables tables =
          options_.models == Models::kChannel
              ? channel_tables(codes[i], header_.scheme)
              : same_tables(codes[i], header_.scheme,
                            options_.models == Models::kLayer ? own : shared);
      blocks[i] = write_plane(codes[i], header_.scheme, tables);
    });
    Bytes out;
    write_header(header_, out);
    ByteWriter to(out);
    for (const Bytes& b : blocks) {
      to.u32(static_cast<uint32_t>(b.size()));
      to.u32(check_of(b));
      to.bytes(b);
    }
    out.resize(std::max<uint64_t>(out.size(), header_.shape.size() / kNumbersPerByte + 1));
    return out;
  }

  const StreamOptions& options_;
  int threads_;
  StreamHeader header_;
  std::vector<Plane> planes_;
  std::vector<form::Matrix> matrices_;
  std::vector<float> units_;
};

}  // namespace

void check_stream(const Arrays& shape, const StreamOptions& options) {
  if (shape.size() > kMostStream)
    fail(ErrorKind::kLimit, "{} keys are too many for a stream", shape.size());
  try {
    if (options.profile) options.profile->check(shape);
  } catch (const Error& e) {
    throw e.in(options.profile_path);
  }
  constexpr uint64_t kTried = 1024;  // more take fewer bits each
  if (!options.bits || shape.tokens > kTried || shape.size() == 0) return;
  // Of zeros there is nothing to say but what every stream says of itself.
  Arrays zeros = shape;
  zeros.keys.resize(zeros.size());
  zeros.values.resize(zeros.size());
  StreamOptions coarsest = options;
  coarsest.bits.reset();
  coarsest.step = std::exp2(kCoarsest);
  const double bits = 8 * static_cast<double>(encode_stream(zeros, coarsest).size()) /
                      (2 * static_cast<double>(shape.size()));
  if (bits > *options.bits) too_few(*options.bits, bits);
}

Bytes encode_stream(const Arrays& arrays, const StreamOptions& options, int threads) {
  check(arrays, options);
  return Encoder(arrays, options, threads).encode();
}

}  // namespace pith::kv
