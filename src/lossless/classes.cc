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
constexpr size_t kLeastSegments = 64;  // shorter streams are of one character
// Segments that the classes are learned from, quickly and with care.
constexpr size_t kFewest = 32, kFewTrainingSegments = 96, kTrainingSegments = 192;
constexpr int kRounds = 4;
constexpr size_t kTableUnit = 32768;  // symbols for which an order-0 coder has a table of its own

// Code lengths of every symbol in every class, in sixteenths of a bit, so that the sum over a
// segment fits 16 bits.
using Lengths = std::array<std::array<uint16_t, kClasses>, 256>;
using Histograms = std::array<entropy::Histogram, kClasses>;

void count(ByteView segment, entropy::Histogram& h) {
  for (const uint8_t s : segment) ++h[s];
}

std::array<uint16_t, 256> lengths_of(const entropy::Histogram& counts) {
  uint32_t total = 0;
  for (const uint32_t c : counts) total += c;
  // A quarter of a count for every symbol, seen or not.
  const uint32_t whole = entropy::log2_q16(4 * total + 256);
  std::array<uint16_t, 256> lengths;
  for (size_t s = 0; s < 256; ++s) {
    const uint32_t bits = (whole - entropy::log2_q16(4 * counts[s] + 1)) >> 12;
    lengths[s] = static_cast<uint16_t>(std::min(bits, 255u));
  }
  return lengths;
}

void lengths_of(const Histograms& classes, Lengths& lengths) {
  for (size_t k = 0; k < kClasses; ++k) {
    const std::array<uint16_t, 256> one = lengths_of(classes[k]);
    for (size_t s = 0; s < 256; ++s) lengths[s][k] = one[s];
  }
}

uint32_t length(ByteView segment, const std::array<uint16_t, 256>& lengths) {
  uint32_t sum = 0;
  for (const uint8_t s : segment) sum += lengths[s];
  return sum;
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

// The training segments, those shortest under the histogram of all of them first.
std::vector<size_t> rank(ByteView symbols, const std::vector<size_t>& training) {
  entropy::Histogram all{};
  for (const size_t i : training) count(segment_of(symbols, i), all);
  const std::array<uint16_t, 256> lengths = lengths_of(all);
  std::vector<std::pair<uint32_t, size_t>> order;
  order.reserve(training.size());
  for (const size_t i : training) order.emplace_back(length(segment_of(symbols, i), lengths), i);
  std::ranges::sort(order);
  std::vector<size_t> ranking;
  ranking.reserve(order.size());
  for (const auto& [bits, i] : order) ranking.push_back(i);
  return ranking;
}

// First classes: the ranking in equal parts.
Histograms first_classes(ByteView symbols, const std::vector<size_t>& ranking) {
  Histograms classes{};
  const size_t n = ranking.size();
  for (size_t i = 0; i < n; ++i) count(segment_of(symbols, ranking[i]), classes[i * kClasses / n]);
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
Lengths learn(ByteView symbols, const std::vector<size_t>& training,
              const std::vector<size_t>& ranking, double& gain) {
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
  gain =
      1 - (apart + 2.5 * static_cast<double>(training.size())) / (entropy::entropy_bits(all) + 1);
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

double unevenness(ByteView sample, const entropy::Histogram& counts) {
  const size_t segments = sample.size() / kSegment;
  if (segments == 0) return 0;
  const std::array<uint16_t, 256> lengths = lengths_of(counts);
  double sum = 0, squares = 0, symbol_squares = 0;
  for (size_t s = 0; s < 256; ++s)
    symbol_squares += static_cast<double>(counts[s]) * lengths[s] * lengths[s];
  for (size_t i = 0; i < segments; ++i) {
    const double bits = length(segment_of(sample, i), lengths);
    sum += bits;
    squares += bits * bits;
  }
  const double n = static_cast<double>(segments), each = sum / (n * kSegment);
  const double symbol_variance = symbol_squares / static_cast<double>(sample.size()) - each * each;
  const double variance = squares / n - (sum / n) * (sum / n);
  return symbol_variance > 0 ? variance / (kSegment * symbol_variance) : 0;
}

bool encode_classes(ByteView symbols, double least_gain, bool check, Level level, Bytes& out) {
  const size_t segments = (symbols.size() + kSegment - 1) / kSegment;
  if (segments < kLeastSegments) return false;
  const std::vector<size_t> training =
      training_segments(segments, check ? kTrainingSegments
                                        : std::clamp(segments / 8, kFewest, kFewTrainingSegments));
  const std::vector<size_t> ranking = rank(symbols, training);
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
  for (size_t k = 0; k < kClasses; ++k)
    next[k] = decode_stream_view(in, sizes[k], scratch[k], depth + 1).data();
  for (size_t i = 0; i < segments; ++i) {
    const size_t n = std::min(length, symbols.size() - i * length);
    std::memcpy(symbols.data() + i * length, next[ids[i]], n);
    next[ids[i]] += n;
  }
}

}  // namespace pith::lossless
