#include "pith/select/spans.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::select {
namespace {

struct Span {
  uint64_t begin = 0, end = 0;
  double score = 0;
};

// Sums of weights and of their squares over any rectangle below the diagonal.
class Sums {
 public:
  explicit Sums(form::MatrixView map) : n_(map.shape.rows), sums_((n_ + 1) * (n_ + 1)) {
    for (uint64_t r = 0; r < n_; ++r) {
      const auto weights = map.row(r).first(r + 1);
      float most = 0;
      for (const float w : weights) {
        if (!std::isfinite(w) || w < 0)
          fail(ErrorKind::kData, "spans: a weight of item {} is negative or not finite", r);
        most = std::max(most, w);
      }
      double row = 0;
      for (uint64_t c = 0; c < n_; ++c) {
        // In units of its largest: the later in a span, the more weights it shares one among.
        const double w = c <= r && most > 0 ? double{weights[c]} / most : 0;
        row += w;
        squares_ += w * w;
        sums_[(r + 1) * (n_ + 1) + c + 1] = sums_[r * (n_ + 1) + c + 1] + row;
      }
    }
  }

  // Rows begin … end - 1, columns from … to - 1.
  double of(uint64_t begin, uint64_t end, uint64_t from, uint64_t to) const {
    const auto at = [&](uint64_t r, uint64_t c) { return sums_[r * (n_ + 1) + c]; };
    return at(end, to) - at(begin, to) - at(end, from) + at(begin, from);
  }
  double deviation() const {
    const auto count = static_cast<double>(n_ * (n_ + 1) / 2);
    const double mean = of(0, n_, 0, n_) / count;
    return std::sqrt(std::max(0.0, squares_ / count - mean * mean));
  }

 private:
  uint64_t n_;
  std::vector<double> sums_;
  double squares_ = 0;
};

// The span's triangle against the square of its rows and as many items before it, and against that
// of as many items after it and its columns: a part of a span is no better than the whole.
double score(const Sums& sums, uint64_t begin, uint64_t end, uint64_t n) {
  const uint64_t length = end - begin;
  const double area = static_cast<double>(length * (length + 1)) / 2;
  const double inside = sums.of(begin, end, begin, end) / area;
  double outside = 0, cells = 0;
  const auto add = [&](uint64_t r0, uint64_t r1, uint64_t c0, uint64_t c1) {
    outside += sums.of(r0, r1, c0, c1);
    cells += static_cast<double>((r1 - r0) * (c1 - c0));
  };
  add(begin, end, begin - std::min(begin, length), begin);
  add(end, std::min(n, end + length), begin, end);
  if (cells > 0) outside /= cells;
  return (inside - outside) * std::sqrt(area);
}

// The ends of pieces of equal size, none longer than `most`.
void cut(uint64_t begin, uint64_t end, uint64_t most, std::vector<uint32_t>& ends) {
  if (begin >= end) return;
  const uint64_t pieces = (end - begin + most - 1) / most;
  for (uint64_t p = 1; p <= pieces; ++p)
    ends.push_back(static_cast<uint32_t>(begin + (end - begin) * p / pieces - 1));
}

}  // namespace

std::vector<uint32_t> span_ends(form::MatrixView map, const SpanOptions& options) {
  const uint64_t n = map.shape.rows;
  if (map.shape.cols != n)
    fail(ErrorKind::kUsage, "spans: a map of {} x {} weights", n, map.shape.cols);
  if (options.least == 0 || options.least > options.most)
    fail(ErrorKind::kUsage, "spans: of {} to {} items", options.least, options.most);
  const Sums sums(map);
  const double noise = sums.deviation();
  std::vector<Span> spans;
  for (uint64_t begin = 0; begin < n; ++begin) {
    for (uint64_t end = begin + options.least; end <= std::min(n, begin + options.most); ++end)
      spans.push_back({begin, end, score(sums, begin, end, n)});
  }
  std::ranges::stable_sort(spans, [](const Span& a, const Span& b) { return a.score > b.score; });
  std::vector<Span> chosen;
  for (const Span& s : spans) {
    if (s.score <= noise) break;
    if (std::ranges::none_of(chosen,
                             [&](const Span& c) { return s.begin < c.end && c.begin < s.end; }))
      chosen.push_back(s);
  }
  std::ranges::sort(chosen, {}, &Span::begin);
  std::vector<uint32_t> ends;
  uint64_t done = 0;
  for (const Span& s : chosen) {
    cut(done, s.begin, options.most, ends);
    ends.push_back(static_cast<uint32_t>(s.end - 1));
    done = s.end;
  }
  cut(done, n, options.most, ends);
  return ends;
}

}  // namespace pith::select
