#include "mergers.h"

#include <algorithm>
#include <array>
#include <limits>

#include "geometry.h"
#include "pith/base/error.h"
#include "pith/form/arguments.h"
#include "score_names.h"

namespace pith::select {
namespace {

using form::Arguments;
using Share = Selection::Share;

constexpr std::array<std::string_view, 4> kMergers = {"nearest", "similar", "clusters", "smooth"};
constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();
using Places = std::vector<uint32_t>;  // of each item, the kept one it goes to, or kNowhere

Places own_places(const Selection& s) {
  Places to(s.count, kNowhere);
  for (uint32_t k = 0; k < s.kept.size(); ++k) to[s.kept[k]] = k;
  return to;
}

Places nearest(const Selection& s) {
  Places to = own_places(s);
  uint32_t next = 0;  // the first kept item from here on
  for (uint32_t i = 0; i < s.count; ++i) {
    while (next < s.kept.size() && s.kept[next] < i) ++next;
    if (to[i] != kNowhere) continue;
    const bool after = next<s.kept.size(), before = next> 0;
    to[i] = before && (!after || i - s.kept[next - 1] <= s.kept[next] - i) ? next - 1 : next;
  }
  return to;
}

Places similar(const Merger& m, const Selection& s, form::MatrixView vectors) {
  const form::Matrix units = unit_rows(vectors);
  Places to = own_places(s);
  for (uint32_t i = 0; i < s.count; ++i) {
    if (to[i] != kNowhere) continue;
    auto best = static_cast<float>(m.threshold);
    for (uint32_t k = 0; k < s.kept.size(); ++k) {
      const float cosine = dot(units.view().row(i), units.view().row(s.kept[k]));
      if (cosine > best || (cosine == best && to[i] == kNowhere)) {
        best = cosine;
        to[i] = k;
      }
    }
  }
  return to;
}

Places clusters(const Merger& m, const Selection& s, form::MatrixView vectors) {
  require_finite(vectors);
  const Places own = own_places(s);
  form::Matrix centers = kept_rows(s, vectors);
  Places to;
  for (uint64_t round = 0; round < m.rounds; ++round) {
    to = own;
    for (uint32_t i = 0; i < s.count; ++i) {
      if (own[i] != kNowhere) continue;
      float best = std::numeric_limits<float>::infinity();
      for (uint32_t k = 0; k < s.kept.size(); ++k) {
        const float d = squared_distance(vectors.row(i), centers.view().row(k));
        if (d < best) {
          best = d;
          to[i] = k;
        }
      }
    }
    std::vector<float> sizes(s.kept.size());
    std::ranges::fill(centers.values, 0.0f);
    for (uint32_t i = 0; i < s.count; ++i) {
      ++sizes[to[i]];
      for (uint64_t c = 0; c < vectors.shape.cols; ++c) centers.row(to[i])[c] += vectors.row(i)[c];
    }
    for (uint32_t k = 0; k < sizes.size(); ++k) {
      for (float& v : centers.row(k)) v /= sizes[k];
    }
  }
  return to;
}

// By place of the kept item, then of what went into it.
void set_shares(Selection& s, std::vector<Share> shares) {
  std::ranges::stable_sort(shares, {}, [](const Share& a) { return std::pair(a.to, a.from); });
  for (size_t begin = 0; begin < shares.size();) {
    size_t end = begin;
    double sum = 0;
    for (; end < shares.size() && shares[end].to == shares[begin].to; ++end)
      sum += shares[end].weight;
    for (size_t i = begin; i < end; ++i) {
      Share& share = shares[i];
      // Where nothing of it weighs anything, the kept item is what it was.
      share.weight = sum > 0 ? static_cast<float>(share.weight / sum)
                             : (share.from == s.kept[share.to] ? 1.0f : 0.0f);
    }
    begin = end;
  }
  s.shares = std::move(shares);
}

std::vector<Share> smooth(const Merger& m, const Selection& s, const std::vector<float>& weights) {
  const Places own = own_places(s);
  std::vector<Share> shares;
  const auto reach = static_cast<int64_t>(m.width / 2);
  for (uint32_t k = 0; k < s.kept.size(); ++k) {
    for (int64_t by = -reach; by <= reach; ++by) {
      const int64_t i = int64_t{s.kept[k]} + by;
      if (i < 0 || i >= static_cast<int64_t>(s.count)) continue;
      const auto from = static_cast<uint32_t>(i);
      if (own[from] != kNowhere && own[from] != k) continue;
      const auto triangle = static_cast<float>(reach + 1 - std::abs(by));
      shares.push_back({from, k, triangle * weights[from]});
    }
  }
  return shares;
}

// Not negative.
std::vector<float> weights_of(const Merger& m, const Items& items) {
  if (!m.weight) return std::vector<float>(items.count, 1.0f);
  std::vector<float> w = score(*m.weight, items);
  const float least = w.empty() ? 0 : std::min(0.0f, *std::ranges::min_element(w));
  for (float& v : w) v -= least;
  return w;
}

}  // namespace

Merger merger_of(const form::Expression& e) {
  const Arguments args(e, {"by", "threshold", "weight", "rounds", "width"});
  Merger m;
  m.kind = static_cast<Merger::Kind>(args.choice("by", kMergers));
  const auto only = [&](std::string_view parameter, Merger::Kind kind) {
    if (args.has(parameter) && m.kind != kind)
      throw args.wrong(parameter, fmt::format("left out but for merge({})",
                                              kMergers[static_cast<size_t>(kind)]));
  };
  only("threshold", Merger::Kind::kSimilar);
  only("rounds", Merger::Kind::kClusters);
  only("width", Merger::Kind::kSmooth);
  m.threshold = args.number("threshold", -1, 1, -1.0);
  m.rounds = static_cast<uint64_t>(args.integer("rounds", 1, 1000, 3));
  m.width = static_cast<uint64_t>(args.integer("width", 3, 1 << 20, 3));
  if (m.width % 2 == 0) throw args.wrong("width", "odd");
  if (args.has("weight")) {
    m.weight = args.expression("weight");
    check_score(*m.weight);
  }
  return m;
}

void merge(const Merger& m, const Items& items, Selection& s) {
  if (s.kept.empty()) return;  // nothing to go into
  const bool geometric = m.kind == Merger::Kind::kSimilar || m.kind == Merger::Kind::kClusters;
  if (geometric && items.vectors.data == nullptr)
    fail(ErrorKind::kUsage, "merge({}): the items have no vectors",
         kMergers[static_cast<size_t>(m.kind)]);
  const std::vector<float> weights = weights_of(m, items);
  if (m.kind == Merger::Kind::kSmooth) return set_shares(s, smooth(m, s, weights));
  const Places to = m.kind == Merger::Kind::kNearest   ? nearest(s)
                    : m.kind == Merger::Kind::kSimilar ? similar(m, s, items.vectors)
                                                       : clusters(m, s, items.vectors);
  std::vector<Share> shares;
  for (uint32_t i = 0; i < s.count; ++i) {
    if (to[i] != kNowhere) shares.push_back({i, to[i], weights[i]});
  }
  set_shares(s, std::move(shares));
}

}  // namespace pith::select
