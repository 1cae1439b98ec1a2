// What caches are tried on: texts that go on, passages that come again, facts that are asked for.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "bench_kv.h"
#include "pith/audit/planted_facts.h"
#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/model/prompt.h"

namespace pith::bench {
namespace {

using audit::Trial;
using Ids = std::vector<int32_t>;

constexpr uint64_t kPrompt = 512;
constexpr uint64_t kPassage = 64, kBegun = 16, kBack = 384;
constexpr uint64_t kFacts = 4;
constexpr size_t kProse = 1500;  // characters around them

constexpr std::array kNames = {
    "Alice", "Arthur", "Bertha", "Cecil",   "Clara",  "Edgar",  "Edith",  "Edmund",
    "Eliza", "Emily",  "Ernest", "Fanny",   "Felix",  "Flora",  "Frank",  "George",
    "Grace", "Harold", "Henry",  "Herbert", "Hugh",   "Ida",    "Isabel", "James",
    "Jane",  "Julia",  "Laura",  "Lewis",   "Lucy",   "Mabel",  "Martha", "Maud",
    "Nora",  "Oliver", "Oscar",  "Peter",   "Philip", "Ralph",  "Robert", "Rose",
    "Ruth",  "Samuel", "Susan",  "Thomas",  "Victor", "Walter", "William"};
constexpr std::array kWords = {
    "lemon",   "river",  "candle", "hammer",  "silver",  "garden", "window", "bottle", "copper",
    "feather", "marble", "ribbon", "saddle",  "thunder", "velvet", "walnut", "anchor", "basket",
    "button",  "carpet", "cherry", "cotton",  "engine",  "forest", "ginger", "hollow", "island",
    "jacket",  "kettle", "ladder", "lantern", "mirror",  "needle", "orange", "pepper", "pillow",
    "pocket",  "rabbit", "shadow", "spider",  "stable",  "summer", "temple", "timber", "tunnel"};

// As many ids as are wanted of the text's beginning; no token is longer than this, on the mean.
Ids beginning(const model::LanguageModel& model, const std::string& text, uint64_t count) {
  Ids ids = model::text_ids(model, text.substr(0, count * 16), {.add_bos = false});
  if (ids.size() < count)
    fail(ErrorKind::kUsage, "the text has {} tokens, {} are needed", ids.size(), count);
  return ids;
}

Ids with_bos(const model::LanguageModel& model, std::span<const int32_t> ids) {
  Ids out;
  if (const auto bos = model::tokenizer_of(model).bos()) out.push_back(*bos);
  out.insert(out.end(), ids.begin(), ids.end());
  return out;
}

Ids part(const Ids& ids, uint64_t first, uint64_t count) {
  const auto at = ids.begin() + static_cast<std::ptrdiff_t>(first);
  return {at, at + static_cast<std::ptrdiff_t>(count)};
}

std::vector<std::string> sentences(const std::string& text) {
  std::vector<std::string> out;
  std::string one;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!space) {
      one += c;
      continue;
    }
    if (one.empty()) continue;
    if (one.back() == '.' || one.back() == '!' || one.back() == '?') {
      if (one.size() > 20 && one.size() < 300) out.push_back(one);
      one.clear();
    } else if (one.back() != ' ') {
      one += ' ';
    }
  }
  return out;
}

Ids ids_of(const model::LanguageModel& model, const std::string& text) {
  return with_bos(model, model::text_ids(model, text, {.add_bos = false}));
}

// Ids from the beginning.
uint64_t in_common(const Ids& a, const Ids& b) {
  return static_cast<uint64_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

std::string fact(const std::string& name, const std::string& word) {
  return "The password of " + name + " is " + word + ".";
}

// Numbers below a bound, one after the other.
class Random {
 public:
  explicit Random(uint64_t seed) : seed_(seed) {}
  size_t below(size_t bound) { return random_bits(seed_, next_++) % bound; }

 private:
  uint64_t seed_, next_ = 0;
};

using Pair = std::pair<size_t, size_t>;  // of a name and a word

// Names and words of a document, none twice; no pair that was there before.
std::vector<Pair> new_pairs(Random& random, std::set<Pair>& used) {
  std::vector<Pair> out;
  while (out.size() < kFacts) {
    const Pair p = {random.below(kNames.size()), random.below(kWords.size())};
    const bool here = std::ranges::any_of(
        out, [&](const Pair& o) { return o.first == p.first || o.second == p.second; });
    if (!here && used.insert(p).second) out.push_back(p);
  }
  return out;
}

std::string prose_with(const std::vector<std::string>& pool, const std::vector<Pair>& facts,
                       Random& random) {
  std::vector<std::string> body;
  size_t size = 0;
  for (size_t at = random.below(pool.size()); size < kProse; at = (at + 1) % pool.size()) {
    body.push_back(pool[at]);
    size += pool[at].size() + 1;
  }
  for (const Pair& p : facts)
    body.insert(body.begin() + static_cast<std::ptrdiff_t>(random.below(body.size() / 2 + 1)),
                fact(kNames[p.first], kWords[p.second]));
  std::string out;
  for (const std::string& s : body) out += s + " ";
  return out;
}

}  // namespace

std::vector<Trial> continuations(const model::LanguageModel& model, const std::string& text,
                                 uint64_t count) {
  const Ids ids = beginning(model, text, count * kTrialTokens);
  std::vector<Trial> out;
  for (uint64_t i = 0; i < count; ++i) {
    const Ids all = with_bos(model, part(ids, i * kTrialTokens, kTrialTokens));
    out.push_back({part(all, 0, kPrompt), part(all, kPrompt, kTrialTokens - kPrompt)});
  }
  return out;
}

std::vector<Trial> copies(const model::LanguageModel& model, const std::string& text,
                          uint64_t count, Passage passage) {
  const uint64_t before = kTrialTokens - kPassage - 1;
  const Ids ids = beginning(model, text, count * before);
  std::vector<Trial> out;
  for (uint64_t i = 0; i < count; ++i) {
    const Ids window = part(ids, i * before, before);
    Ids read = window;
    if (passage == Passage::kFirst) read.resize(before - kBack);
    const Ids repeated = part(window, before - kBack, kPassage);
    read.insert(read.end(), repeated.begin(), repeated.begin() + kBegun);
    out.push_back({with_bos(model, read), part(repeated, kBegun, kPassage - kBegun)});
  }
  return out;
}

std::vector<Trial> passwords(const model::LanguageModel& model, const std::string& text,
                             uint64_t count, uint64_t seed) {
  const std::vector<std::string> pool = sentences(text);
  if (pool.empty()) fail(ErrorKind::kUsage, "the text has no sentences to hide facts among");
  Random random(seed);
  std::set<Pair> used;
  std::vector<Trial> out;
  for (uint64_t i = 0; i < count; ++i) {
    const std::vector<Pair> pairs = new_pairs(random, used);
    const Pair asked = pairs[random.below(pairs.size())];
    const std::string prose = prose_with(pool, pairs, random);
    const std::string asks = prose + "The password of " + kNames[asked.first] + " is";
    const Ids all = ids_of(model, asks + " " + kWords[asked.second]);
    const uint64_t prompt = in_common(all, ids_of(model, prose));
    const uint64_t told = in_common(all, ids_of(model, asks));
    out.push_back({part(all, 0, prompt), part(all, told, all.size() - told),
                   part(all, prompt, told - prompt)});
  }
  return out;
}

std::vector<Trial> pairs(uint64_t count, uint64_t seed) {
  std::vector<Trial> out;
  for (audit::PlantedFacts& f : audit::plant_facts(count, kTrialTokens, 16, seed)) {
    Trial t{std::move(f.ids), {f.answer}};
    t.question = {t.prompt.back()};
    t.prompt.pop_back();
    out.push_back(std::move(t));
  }
  return out;
}

}  // namespace pith::bench
