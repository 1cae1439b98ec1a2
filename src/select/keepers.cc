#include "keepers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "geometry.h"
#include "pith/base/error.h"
#include "pith/form/arguments.h"
#include "pith/form/named.h"
#include "score_names.h"

namespace pith::select {
namespace {

using form::Arguments;
using form::Expression;

constexpr int64_t kMostItems = (int64_t{1} << 32) - 1;

Expression score_of(const Arguments& args) {
  const Expression score = args.expression("score");
  check_score(score);
  return score;
}

Keeper all(const Expression& e) {
  Arguments(e, {});
  return {};
}

template <Keeper::Kind kKind>
Keeper counted(const Expression& e) {
  const Arguments args(e, {"n"});
  const Amount n = amount_of(args, "n");
  if (n.open()) throw args.wrong("n", "a number of items or a share of them");
  return {.kind = kKind, .amount = n};
}

Keeper every(const Expression& e) {
  const auto n = static_cast<uint64_t>(Arguments(e, {"n"}).integer("n", 1, kMostItems));
  return {.kind = Keeper::Kind::kEvery, .length = n};
}

Keeper top(const Expression& e) {
  const Arguments args(e, {"score", "n"});
  return {.kind = Keeper::Kind::kTop, .amount = amount_of(args, "n"), .score = score_of(args)};
}

Keeper nucleus(const Expression& e) {
  const Arguments args(e, {"score", "mass"});
  return {.kind = Keeper::Kind::kNucleus, .score = score_of(args), .mass = args.fraction("mass")};
}

Keeper spans(const Expression& e) {
  const Arguments args(e, {"score", "n", "length"});
  return {.kind = Keeper::Kind::kSpans,
          .amount = amount_of(args, "n"),
          .score = score_of(args),
          .length = static_cast<uint64_t>(args.integer("length", 1, kMostItems, 16))};
}

Keeper centers(const Expression& e) {
  return {.kind = Keeper::Kind::kCenters, .amount = amount_of(Arguments(e, {"n"}), "n")};
}

Keeper ladder(const Expression& e) {
  const Arguments args(e, {"depth", "overlap"});
  const int64_t depth = args.integer("depth", 1, 1 << 16);
  return {.kind = Keeper::Kind::kLadder,
          .depth = static_cast<uint64_t>(depth),
          .overlap = static_cast<uint64_t>(args.integer("overlap", 0, depth - 1, 0))};
}

struct Named {
  std::string_view name;
  Keeper (*make)(const Expression&);
};
constexpr std::array kKeepers = {Named{"all", all},
                                 Named{"sink", counted<Keeper::Kind::kSink>},
                                 Named{"window", counted<Keeper::Kind::kWindow>},
                                 Named{"every", every},
                                 Named{"top", top},
                                 Named{"nucleus", nucleus},
                                 Named{"spans", spans},
                                 Named{"kcenter", centers},
                                 Named{"ladder", ladder}};

// Takes items one by one until there is no room.
class Taking {
 public:
  Taking(std::vector<bool>& taken, uint64_t room) : taken_(taken), room_(room) {}

  uint64_t room() const { return room_; }
  bool free(size_t i) const { return !taken_[i]; }
  void take(size_t i) {
    if (room_ == 0 || taken_[i]) return;
    taken_[i] = true;
    --room_;
  }
  std::vector<uint32_t> left() const {
    std::vector<uint32_t> out;
    for (uint32_t i = 0; i < taken_.size(); ++i) {
      if (!taken_[i]) out.push_back(i);
    }
    return out;
  }

 private:
  std::vector<bool>& taken_;
  uint64_t room_;
};

void by_score(std::vector<uint32_t>& items, const std::vector<float>& scores) {
  std::ranges::stable_sort(items, [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
}

void take_nucleus(const Keeper& k, const std::vector<float>& scores, Taking& to) {
  std::vector<uint32_t> left = to.left();
  by_score(left, scores);
  double sum = 0, got = 0;
  for (const uint32_t i : left) {
    if (scores[i] < 0)
      fail(ErrorKind::kUsage, "nucleus: scores must not be negative; take top(…) of these");
    sum += scores[i];
  }
  for (const uint32_t i : left) {
    if (got >= k.mass * sum) break;
    got += scores[i];
    to.take(i);
  }
}

// Stretches of the largest sums, none over another.
void take_spans(const Keeper& k, const std::vector<float>& scores, Taking& to) {
  const size_t n = scores.size(), length = std::min<size_t>(k.length, n);
  while (to.room() > 0 && length > 0) {
    double sum = 0, best = -std::numeric_limits<double>::infinity();
    size_t begin = n, covered = 0;  // of the stretch that ends at i
    for (size_t i = 0; i < n; ++i) {
      sum += scores[i];
      covered += to.free(i) ? 0 : 1;
      if (i >= length) {
        sum -= scores[i - length];
        covered -= to.free(i - length) ? 0 : 1;
      }
      if (i + 1 < length || covered > 0 || sum <= best) continue;
      best = sum;
      begin = i + 1 - length;
    }
    if (begin == n) break;  // no whole stretch is left: single items are
    for (size_t i = begin; i < begin + length; ++i) to.take(i);
  }
  std::vector<uint32_t> left = to.left();
  by_score(left, scores);
  for (const uint32_t i : left) to.take(i);
}

void take_centers(const Items& items, Taking& to) {
  if (items.count > 0 && items.vectors.data == nullptr)
    fail(ErrorKind::kUsage, "kcenter: the items have no vectors");
  require_finite(items.vectors);
  std::vector<float> distance(items.count, std::numeric_limits<float>::infinity());
  const auto beside = [&](size_t center) {
    for (size_t i = 0; i < distance.size(); ++i)
      distance[i] =
          std::min(distance[i], squared_distance(items.vectors.row(i), items.vectors.row(center)));
  };
  for (size_t i = 0; i < distance.size(); ++i) {
    if (!to.free(i)) beside(i);
  }
  while (to.room() > 0) {
    size_t farthest = distance.size();
    for (size_t i = 0; i < distance.size(); ++i) {
      if (to.free(i) && (farthest == distance.size() || distance[i] > distance[farthest]))
        farthest = i;
    }
    if (farthest == distance.size()) return;
    to.take(farthest);
    beside(farthest);
  }
}

// The items fall into as many stretches as the ladder has rungs, the oldest of which lies in the
// shallowest layers.
void take_ladder(const Keeper& k, const Items& items, Taking& to) {
  const uint64_t step = k.depth - k.overlap, layers = std::max<uint64_t>(1, items.layers);
  const uint64_t rungs = layers <= k.depth ? 1 : (layers - k.depth + step - 1) / step + 1;
  const std::vector<uint32_t> left = to.left();
  // The newest first, for where there is not room for all.
  for (size_t p = left.size(); p-- > 0;) {
    const uint64_t rung = p * rungs / left.size();
    const uint64_t first = std::min(rung * step, layers - std::min(layers, k.depth));
    if (items.layer >= first && items.layer < first + k.depth) to.take(left[p]);
  }
}

}  // namespace

Amount amount_of(const Arguments& args, std::string_view name) {
  const form::Value* v = args.find(name);
  if (v == nullptr) return {};
  if (v->get_if<int64_t>() != nullptr)
    return {.items = static_cast<uint64_t>(args.integer(name, 0, kMostItems))};
  if (v->get_if<form::Percent>() != nullptr) return {.share = args.fraction(name)};
  throw args.wrong(name, "a number of items or a share of them, as 64 or 20%");
}

uint64_t Amount::of(uint64_t count) const {
  if (items) return *items;
  return static_cast<uint64_t>(std::llround(*share * static_cast<double>(count)));
}

Keeper keeper_of(const Expression& e) {
  const Named* found = e.is_call() ? form::find_named(kKeepers, e.name()) : nullptr;
  if (!found) {
    throw e.place().error(ErrorKind::kUsage, fmt::format("no keeper is called `{}`; there are {}",
                                                         e.name(), form::names_of(kKeepers)));
  }
  return found->make(e);
}

void take(const Keeper& k, const Items& items, uint64_t room, std::vector<bool>& taken) {
  const uint64_t wanted = k.amount.open() ? room : k.amount.of(items.count);
  Taking to(taken, std::min(room, wanted));
  const uint64_t n = items.count;
  switch (k.kind) {
    case Keeper::Kind::kAll:
      for (uint64_t i = n; i-- > 0;) to.take(i);
      return;
    case Keeper::Kind::kSink:
      for (uint64_t i = 0; i < std::min(n, wanted); ++i) to.take(i);
      return;
    case Keeper::Kind::kWindow:
      for (uint64_t i = n - std::min(n, wanted); i < n; ++i) to.take(i);
      return;
    case Keeper::Kind::kEvery: {
      const std::vector<uint32_t> left = to.left();
      for (size_t p = 0; p < left.size(); p += k.length) to.take(left[p]);
      return;
    }
    case Keeper::Kind::kTop: {
      std::vector<uint32_t> left = to.left();
      by_score(left, score(*k.score, items));
      for (const uint32_t i : left) to.take(i);
      return;
    }
    case Keeper::Kind::kNucleus:
      return take_nucleus(k, score(*k.score, items), to);
    case Keeper::Kind::kSpans:
      return take_spans(k, score(*k.score, items), to);
    case Keeper::Kind::kCenters:
      return take_centers(items, to);
    case Keeper::Kind::kLadder:
      return take_ladder(k, items, to);
  }
}

}  // namespace pith::select
