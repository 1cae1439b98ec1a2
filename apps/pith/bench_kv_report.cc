// What `pith bench kv` prints.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "bench_kv.h"
#include "pith/form/expression.h"
#include "pith/kv/options.h"
#include "pith/recipe/cache_claims.h"
#include "pith/recipe/cache_recipes.h"

namespace pith::bench {
namespace {

using audit::TrialOutcome;

Json outcome_json(const TrialOutcome& o) {
  return {{"tokens", o.tokens}, {"bits", o.bits},           {"divergence", o.divergence},
          {"loss", o.loss},     {"same_best", o.same_best}, {"exact", o.exact}};
}

TrialOutcome outcome_of(const Json& j) {
  return {.tokens = j.at("tokens"),
          .divergence = j.at("divergence"),
          .loss = j.at("loss"),
          .same_best = j.at("same_best"),
          .exact = j.at("exact"),
          .bits = j.at("bits")};
}

// What was turned: the budget, or the forms.
std::string setting(const CacheRow& row) {
  if (row.cache.empty()) return "";
  if (recipe::codes_chunks(row.cache)) {
    const form::Expression e = form::parse(row.cache);
    for (const char* key : {"bits", "level", "step"}) {
      if (const form::Value* v = e.argument(key))
        return fmt::format("{}={}", key, form::to_string(*v));
    }
    return "";
  }
  const kv::CacheOptions o = kv::CacheOptions::parse(row.cache);
  if (o.budget)
    return o.budget->tokens ? fmt::format("{} tokens", *o.budget->tokens)
                            : fmt::format("{:.4g}%", 100 * o.budget->share);
  if (o.axes) return fmt::format("{:.0f}% of the axes", 100 * o.axes->kept);
  return fmt::format("`{}`", form::to_string(o.keys.form));
}

Cell thousandths(double nats) { return {fmt::format("{:.3g}", 1e3 * nats), nats}; }

const std::vector<std::string> kColumns = {
    "cache",      "setting",      "bits",       "divergence",    "same best, %",
    "perplexity", "prompt whole", "copy: loss", "facts told, %", "prompt whole"};

std::vector<Cell> cells(const CacheRow& r) {
  const auto told = [](const std::optional<TrialOutcome>& o) {
    return o ? number(100 * o->exact, 0) : none();
  };
  return {text(r.name),
          text(setting(r)),
          number(r.pieces.bits, 2),
          thousandths(r.pieces.divergence),
          number(100 * r.pieces.same_best, 1),
          number(std::exp(r.pieces.loss), 2),
          r.whole ? thousandths(r.whole->divergence) : none(),
          r.copied ? number(r.copied->loss, 3) : none(),
          told(r.recall),
          told(r.recall_whole)};
}

// One of the things that rows differ in; less is better.
struct Measure {
  std::string name;
  std::function<std::optional<double>(const CacheRow&)> of;
};

const std::vector<Measure> kMeasures = {
    {"text that goes on", [](const CacheRow& r) { return std::optional(r.pieces.divergence); }},
    {"copies",
     [](const CacheRow& r) { return r.copied ? std::optional(r.copied->loss) : std::nullopt; }},
    {"facts",
     [](const CacheRow& r) { return r.recall ? std::optional(-r.recall->exact) : std::nullopt; }}};

// Nobody else is as good in all and better in one.
bool on_front(const CacheRow& row, const std::vector<const CacheRow*>& rows,
              const std::vector<Measure>& by) {
  return std::ranges::none_of(rows, [&](const CacheRow* other) {
    bool better = false;
    for (const Measure& m : by) {
      const double a = m.of(row).value_or(INFINITY), b = m.of(*other).value_or(INFINITY);
      if (b > a) return false;
      better |= b < a;
    }
    return better;
  });
}

std::string names_on_front(const std::vector<const CacheRow*>& rows,
                           const std::vector<Measure>& by) {
  std::vector<std::string> names;
  for (const CacheRow* r : rows) {
    if (on_front(*r, rows, by)) names.push_back(r->name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// What a row of tokens left out gains where its prompt is read whole.
void note_phases(const std::vector<const CacheRow*>& rows, Report& report) {
  size_t both = 0, less = 0;
  std::vector<double> ratios;
  for (const CacheRow* r : rows) {
    if (!r->whole || r->pieces.divergence <= 0) continue;
    ++both;
    less += r->whole->divergence < r->pieces.divergence ? 1 : 0;
    ratios.push_back(r->whole->divergence / r->pieces.divergence);
  }
  if (both == 0) return;
  std::ranges::sort(ratios);
  report.note(fmt::format(
      "phases: leaving out only after the prompt was read whole loses less than while it is read "
      "with {} of {} caches ({:.2f} to {:.2f} times, in the middle {:.2f})",
      less, both, ratios.front(), ratios.back(), ratios[ratios.size() / 2]));
}

void report_size(const std::vector<CacheRow>& rows, double share, const CacheRow& full,
                 Report& report) {
  Table table(kColumns);
  table.add(cells(full));
  std::vector<const CacheRow*> measured;
  std::vector<std::string> missing;
  for (const CacheRow& r : rows) {
    if (r.share != share || !r.shown) continue;
    if (r.measured()) {
      measured.push_back(&r);
    } else {
      missing.push_back(fmt::format("{}: {}", r.name, r.error));
    }
  }
  std::ranges::stable_sort(measured, [](const CacheRow* a, const CacheRow* b) {
    return a->pieces.divergence < b->pieces.divergence;
  });
  for (const CacheRow* r : measured) table.add(cells(*r));
  report.table(table);
  if (!missing.empty()) report.note(fmt::format("not so small: {}", fmt::join(missing, "; ")));
  if (share == 0 || measured.empty()) return;
  for (const Measure& m : kMeasures) {
    const auto best = *std::ranges::min_element(measured, [&](auto* a, auto* b) {
      return m.of(*a).value_or(INFINITY) < m.of(*b).value_or(INFINITY);
    });
    report.note(fmt::format("best for {}: {}", m.name, best->name));
  }
  report.note("front over all tasks: " + names_on_front(measured, kMeasures));
  note_phases(measured, report);
}

const CacheRow* find(const std::vector<CacheRow>& rows, std::string_view cache, double share) {
  const std::string composed = composition(cache);
  const auto at = std::ranges::find_if(rows, [&](const CacheRow& r) {
    return r.composed == composed && r.share == share && r.measured();
  });
  return at == rows.end() ? nullptr : &*at;
}

// What the one has of what the other has, and whether that is better; a fiftieth is no difference.
struct Verdict {
  std::string text;
  int better = 0;  // 1, 0, -1
};

int sign_of(double gain, double least) { return gain > least ? 1 : gain < -least ? -1 : 0; }

std::optional<Verdict> verdict(const recipe::CacheClaim& claim, const CacheRow& a,
                               const CacheRow& b) {
  switch (claim.task) {
    case recipe::Task::kContinuation: {
      const double ratio = a.pieces.divergence / b.pieces.divergence;
      return Verdict{fmt::format("{:.2f}x", ratio), sign_of(1 - ratio, 0.02)};
    }
    case recipe::Task::kCopy: {
      if (!a.copied || !b.copied) return std::nullopt;
      const double more = a.copied->loss - b.copied->loss;
      return Verdict{fmt::format("{:+.3f} nats", more), sign_of(-more, 0.01)};
    }
    default: {
      if (!a.recall || !b.recall) return std::nullopt;
      const double more = a.recall->exact - b.recall->exact;
      return Verdict{fmt::format("{:+.0f} points", 100 * more), sign_of(more, 0.02)};
    }
  }
}

std::string summary(const std::vector<int>& signs) {
  if (signs.empty()) return "";
  const auto all = [&](int sign) { return std::ranges::count(signs, sign) == std::ssize(signs); };
  if (all(1)) return "holds";
  if (all(0)) return "no difference";
  return std::ranges::count(signs, 1) == 0 ? "contradicted" : "in part";
}

}  // namespace

Json to_json(const CacheRow& r) {
  Json j = {{"name", r.name},
            {"composed", r.composed},
            {"share", r.share},
            {"shown", r.shown},
            {"cache", r.cache},
            {"error", r.error},
            {"continued", outcome_json(r.pieces)}};
  if (r.whole) j["prompt whole"] = outcome_json(*r.whole);
  if (r.copied) j["copied"] = outcome_json(*r.copied);
  if (r.recall) j["recall"] = outcome_json(*r.recall);
  if (r.recall_whole) j["recall, prompt whole"] = outcome_json(*r.recall_whole);
  return j;
}

CacheRow row_of(const Json& j) {
  CacheRow r{.name = j.at("name"), .composed = j.at("composed"), .share = j.at("share")};
  r.shown = j.at("shown");
  r.cache = j.at("cache");
  r.error = j.at("error");
  r.pieces = outcome_of(j.at("continued"));
  if (j.contains("prompt whole")) r.whole = outcome_of(j.at("prompt whole"));
  if (j.contains("copied")) r.copied = outcome_of(j.at("copied"));
  if (j.contains("recall")) r.recall = outcome_of(j.at("recall"));
  if (j.contains("recall, prompt whole")) r.recall_whole = outcome_of(j.at("recall, prompt whole"));
  return r;
}

std::vector<const CacheRow*> front(const std::vector<CacheRow>& rows) {
  std::vector<const CacheRow*> all, out;
  for (const CacheRow& r : rows) {
    if (r.shown && r.measured()) all.push_back(&r);
  }
  std::ranges::stable_sort(
      all, [](const CacheRow* a, const CacheRow* b) { return a->pieces.bits < b->pieces.bits; });
  const std::vector<Measure> by = {
      {"bits", [](const CacheRow& row) { return std::optional(row.pieces.bits); }},
      {"divergence", [](const CacheRow& row) { return std::optional(row.pieces.divergence); }}};
  // One cache may be what fits several sizes.
  std::set<std::string> seen;
  for (const CacheRow* one : all) {
    if (on_front(*one, all, by) && seen.insert(one->cache).second) out.push_back(one);
  }
  return out;
}

void report_caches(const std::vector<CacheRow>& rows, const CacheRow& full,
                   const std::vector<double>& sizes, Report& report) {
  for (const double share : sizes) {
    report.section(fmt::format("At most {:g}% of f16: {:g} bits", 100 * share, 16 * share));
    report_size(rows, share, full, report);
  }
  report.section("As they are composed");
  report_size(rows, 0, full, report);
  report.section("Front of all sizes: nothing as small loses less");
  Table table({"cache", "setting", "bits", "divergence"});
  for (const CacheRow* r : front(rows))
    table.add({text(r->name), text(setting(*r)), number(r->pieces.bits, 2),
               thousandths(r->pieces.divergence)});
  report.table(table);
}

void report_claims(const std::vector<CacheRow>& rows, const std::vector<double>& sizes,
                   Report& report) {
  report.section("Claims checked, at equal bytes");
  report.note(
      "divergence as a multiple of the other's, loss of copies and facts told as differences from "
      "it; empty: one of them cannot be so small; as composed: of caches that read a part of what "
      "they hold, beside what holds no more than they read");
  std::vector<std::string> headers = {"cache", "claim"};
  for (const double share : sizes) headers.push_back(fmt::format("{:g}%", 100 * share));
  headers.insert(headers.end(), {"as composed", "verdict"});
  Table table(headers);
  for (const recipe::CacheClaim& claim : recipe::all_cache_claims()) {
    std::vector<Cell> row = {text(std::string(claim.recipe)), text(std::string(claim.says))};
    std::vector<int> signs;
    const auto compare = [&](double share, bool wanted) {
      const CacheRow *a = find(rows, claim.cache, share), *b = find(rows, claim.than, share);
      const std::optional<Verdict> v = wanted && a && b ? verdict(claim, *a, *b) : std::nullopt;
      row.push_back(v ? text(v->text) : none());
      if (v) signs.push_back(v->better);
    };
    for (const double share : sizes) compare(share, !claim.as_composed);
    compare(0, claim.as_composed);
    row.push_back(text(summary(signs)));
    if (!signs.empty()) table.add(std::move(row));
  }
  report.table(table);
}

}  // namespace pith::bench
