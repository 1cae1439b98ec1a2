#include "classes.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "pith/entropy/byte_rans.h"
#include "pith/entropy/histogram.h"
#include "pith/entropy/nibble_rans.h"
#include "stream.h"

namespace pith::lossless {
namespace {

constexpr size_t kClasses = 8;
constexpr int kSegmentBits = 8;
constexpr size_t kSegment = size_t{1} << kSegmentBits;
constexpr size_t kLeastSegments = 64;      // shorter streams are of one character
// Segments that the classes are learned from, quickly and with care.
constexpr size_t kFewest = 32, kFewTrainingSegments = 96, kTrainingSegments = 192;
// Unevenness (below) from which classes are tried, with and without a check of what they gain.
constexpr double kUneven = 2, kVeryUneven = 6;
constexpr int kRounds = 4;
constexpr size_t kTableUnit = 32768;  // symbols for which an order-0 coder has a table of its own

// Code lengths of every symbol in every class, in sixteenths of a bit, so that the sum over a
// segment fits 16 bits.
using Lengths = std::array<std::array<uint16_t, kClasses>, 256>;
using Histograms = std::array<entropy::Histogram, kClasses>;

void count(ByteView segment, entropy::Histogram& h) {
  for (const uint8_t s : segment) ++h[s];
}

void lengths_of(const Histograms& classes, Lengths& lengths) {
  for (size_t k = 0; k < kClasses; ++k) {
    uint32_t total = 0;
    for (const uint32_t c : classes[k]) total += c;
    // A quarter of a count for every symbol, seen or not.
    const uint32_t whole = entropy::log2_q16(4 * total + 256);
    for (size_t s = 0; s < 256; ++s) {
      const uint32_t bits = (whole - entropy::log2_q16(4 * classes[k][s] + 1)) >> 12;
      lengths[s][k] = static_cast<uint16_t>(std::min(bits, 255u));
    }
  }
}

// The class in which the segment is shortest.
uint8_t nearest(ByteView segment, const Lengths& lengths) {
  std::array<uint16_t, kClasses> sums{};  // one 128-bit vector
  for (const uint8_t s : segment) {
    for (size_t k = 0; k < kClasses; ++k) sums[k] = static_cast<uint16_t>(sums[k] + lengths[s][k]);
  }
  return static_cast<uint8_t>(std::ranges::min_element(sums) - sums.begin());
}

ByteView segment_of(ByteView symbols, size_t i) {
  return symbols.subspan(i * kSegment, std::min(kSegment, symbols.size() - i * kSegment));
}

// The training segments with how long they are under the histogram of all of them, shortest first.
struct Ranking {
  std::vector<std::pair<uint32_t, size_t>> order;  // length, segment
  // Variance of the lengths over what equally distributed symbols would give: about 1 for a stream of
  // one character, 5 and more where classes pay.
  double unevenness = 0;
};

Ranking rank(ByteView symbols, const std::vector<size_t>& training) {
  Histograms one{};
  for (const size_t i : training) count(segment_of(symbols, i), one[0]);
  Lengths lengths;
  lengths_of(one, lengths);
  Ranking r;
  double sum = 0, squares = 0, symbol_squares = 0;
  for (const size_t i : training) {
    uint32_t length = 0, square = 0;
    for (const uint8_t s : segment_of(symbols, i)) {
      length += lengths[s][0];
      square += uint32_t{lengths[s][0]} * lengths[s][0];
    }
    r.order.emplace_back(length, i);
    sum += length;
    squares += static_cast<double>(length) * length;
    symbol_squares += square;
  }
  std::ranges::sort(r.order);
  const double n = static_cast<double>(training.size()), each = sum / (n * kSegment);
  const double symbol_variance = symbol_squares / (n * kSegment) - each * each;
  const double variance = squares / n - (sum / n) * (sum / n);
  r.unevenness = symbol_variance > 0 ? variance / (kSegment * symbol_variance) : 0;
  return r;
}

// First classes: the ranking in equal parts.
Histograms first_classes(ByteView symbols, const Ranking& ranking) {
  Histograms classes{};
  const size_t n = ranking.order.size();
  for (size_t i = 0; i < n; ++i) {
    count(segment_of(symbols, ranking.order[i].second), classes[i * kClasses / n]);
  }
  return classes;
}

double cost_of(const entropy::Histogram& h) {
  return std::min(entropy::nibble_rans_cost(h), entropy::byte_rans_cost(h));
}

std::vector<size_t> training_segments(size_t segments, size_t most) {
  std::vector<size_t> training(std::min(segments, most));
  for (size_t i = 0; i < training.size(); ++i) training[i] = i * segments / training.size();
  return training;
}

// Learns the classes; the gain estimated on the training segments, as a share, goes to `gain`.
Lengths learn(ByteView symbols, const std::vector<size_t>& training, const Ranking& ranking, double& gain) {
  Histograms classes = first_classes(symbols, ranking);
  Lengths lengths;
  for (int round = 0; round < kRounds; ++round) {
    lengths_of(classes, lengths);
    classes = {};
    for (const size_t i : training) {
      const ByteView segment = segment_of(symbols, i);
      count(segment, classes[nearest(segment, lengths)]);
    }
  }
  entropy::Histogram all{};
  double apart = 0;
  for (const auto& h : classes) {
    for (size_t s = 0; s < 256; ++s) all[s] += h[s];
    apart += entropy::entropy_bits(h);
  }
  gain = 1 - (apart + 2.5 * static_cast<double>(training.size())) / (entropy::entropy_bits(all) + 1);
  lengths_of(classes, lengths);
  return lengths;
}

double plain_cost(ByteView symbols) {
  double bits = 0;
  entropy::Histogram all{};
  for (size_t at = 0; at < symbols.size(); at += kTableUnit) {
    entropy::Histogram h;
    entropy::histogram(symbols.subspan(at, std::min(kTableUnit, symbols.size() - at)), h);
    for (size_t s = 0; s < 256; ++s) all[s] += h[s];
    bits += cost_of(h);
  }
  return std::min(bits, cost_of(all));  // units of like histograms share a table
}

// The segments sorted by class, each class's one after the other in `members`.
std::array<ByteView, kClasses> gather(ByteView symbols, ByteView ids, Bytes& members) {
  std::array<size_t, kClasses> sizes{};
  for (size_t i = 0; i < ids.size(); ++i) sizes[ids[i]] += segment_of(symbols, i).size();
  if (members.size() < symbols.size()) members.resize(symbols.size());
  std::array<ByteView, kClasses> classes;
  std::array<uint8_t*, kClasses> to;
  size_t at = 0;
  for (size_t k = 0; k < kClasses; at += sizes[k++]) {
    to[k] = members.data() + at;
    classes[k] = {to[k], sizes[k]};
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const ByteView segment = segment_of(symbols, i);
    std::memcpy(to[ids[i]], segment.data(), segment.size());
    to[ids[i]] += segment.size();
  }
  return classes;
}

double classes_cost(ByteView ids, const std::array<ByteView, kClasses>& classes) {
  entropy::Histogram h;
  entropy::histogram(ids, h);
  double bits = entropy::entropy_bits(h);
  for (const ByteView c : classes) {
    entropy::histogram(c, h);
    bits += c.empty() ? 0 : cost_of(h);
  }
  return bits;
}

}  // namespace

bool encode_classes(ByteView symbols, double least_gain, bool check, Level level, Bytes& out) {
  const size_t segments = (symbols.size() + kSegment - 1) / kSegment;
  if (segments < kLeastSegments) return false;
  const std::vector<size_t> training =
      training_segments(segments, check ? kTrainingSegments : std::clamp(segments / 8, kFewest, kFewTrainingSegments));
  const Ranking ranking = rank(symbols, training);
  if (ranking.unevenness < (check ? kUneven : kVeryUneven)) return false;
  double gain = 0;
  const Lengths lengths = learn(symbols, training, ranking, gain);
  if (gain < least_gain) return false;
  Bytes ids(segments);
  for (size_t i = 0; i < segments; ++i) ids[i] = nearest(segment_of(symbols, i), lengths);
  thread_local Bytes members;
  const std::array<ByteView, kClasses> classes = gather(symbols, ids, members);
  if (check && classes_cost(ids, classes) > (1 - least_gain) * plain_cost(symbols)) return false;
  out.push_back(kSegmentBits);
  encode_plain_stream(ids, level, out);
  for (const ByteView c : classes) encode_plain_stream(c, level, out);
  return true;
}

void decode_classes(ByteReader& in, MutableByteView symbols, int depth) {
  if (depth > 1) in.bad("classes within classes");
  const int bits = in.u8();
  if (bits < 4 || bits > 16) in.bad("a segment length that is not 16 to 65536");
  const size_t length = size_t{1} << bits, segments = (symbols.size() + length - 1) / length;
  Bytes ids(segments);
  decode_stream(in, ids, depth + 1);
  std::array<size_t, kClasses> sizes{};
  for (size_t i = 0; i < segments; ++i) {
    if (ids[i] >= kClasses) in.bad("a class that does not exist");
    sizes[ids[i]] += std::min(length, symbols.size() - i * length);
  }
  thread_local std::array<Bytes, kClasses> scratch;
  std::array<const uint8_t*, kClasses> next{};
  for (size_t k = 0; k < kClasses; ++k) next[k] = decode_stream_view(in, sizes[k], scratch[k], depth + 1).data();
  for (size_t i = 0; i < segments; ++i) {
    const size_t n = std::min(length, symbols.size() - i * length);
    std::memcpy(symbols.data() + i * length, next[ids[i]], n);
    next[ids[i]] += n;
  }
}

}  // namespace pith::lossless
