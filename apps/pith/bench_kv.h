// Pieces of `pith bench kv`: caches at equal bytes, over several tasks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench_report.h"
#include "pith/audit/cache_trials.h"
#include "pith/model/language_model.h"
#include "pith/weights/journal.h"

namespace pith::bench {

struct KvOptions {
  std::string model, text, tuning, calibration;  // empty: the reference model, shared data
  std::string recall;  // a model that was trained to tell facts; empty: one that is built
  std::vector<double> sizes = {0.5, 0.25, 0.125};  // shares of the bytes of f16
  std::vector<std::string> caches;                 // names or expressions; empty: all
  std::string output;                              // file for all figures as JSON
  uint64_t windows = 4;                            // of 1000 tokens
  uint64_t seed = 1;                               // of the facts
  int threads = 1;
  bool quick = false;
};
void bench_kv(const KvOptions& options);

// Every trial is of so many tokens, so that caches hold as much in each.
inline constexpr uint64_t kTrialTokens = 1000;

// A text cut into windows: the first 512 tokens are the prompt.
std::vector<audit::Trial> continuations(const model::LanguageModel& model, const std::string& text,
                                        uint64_t count);
// Windows that end with a passage of 64 tokens which was there 384 tokens ago; the first 16 of them
// are read. Or the same passages where they stand first.
enum class Passage : uint8_t { kAgain, kFirst };
std::vector<audit::Trial> copies(const model::LanguageModel& model, const std::string& text,
                                 uint64_t count, Passage passage);
// Prose of which four sentences of the first half tell passwords of people, one of whom is asked
// for at the end. No pair of name and word comes twice.
std::vector<audit::Trial> passwords(const model::LanguageModel& model, const std::string& text,
                                    uint64_t count, uint64_t seed);

// Words drawn at random with 16 facts among them, for audit::make_recall_model().
std::vector<audit::Trial> pairs(uint64_t count, uint64_t seed);

// The cache that a name stands for. Where it lies along axes, the path of the profile is what `pith
// kv profile` is told to make it.
std::string composition(std::string_view name_or_cache);

// Profiles of a model, each made once, of a text.
class Profiles {
 public:
  // journal: where they are kept; off: in a folder that goes with this.
  // text: which gives it, asked for once, when there is a profile to make.
  Profiles(const model::LanguageModel& model, const Hash128& model_hash,
           std::function<std::string()> text, const weights::Journal& journal, int threads);
  ~Profiles();
  Profiles(const Profiles&) = delete;
  Profiles& operator=(const Profiles&) = delete;

  // A composition with the path of its profile; as it is where there is none.
  std::string ready(const std::string& composition);
  // Of what a composition is measured with, beside itself; zeros where there is no profile.
  Hash128 hash(const std::string& composition);

 private:
  const std::string& text();

  const model::LanguageModel& model_;
  Hash128 model_hash_;
  std::function<std::string()> give_text_;
  std::optional<std::string> text_;
  const weights::Journal& journal_;
  int threads_;
  std::filesystem::path folder_;  // without a journal
};

// A cache of one size, or why there is none.
struct CacheRow {
  std::string name;        // of the method, or its expression
  std::string composed;    // its composition
  double share = 0;        // of f16's bytes that it was to hold at most; 0: as it is composed
  bool shown = true;       // else it is there for what a claim compares
  std::string cache = {};  // what was measured
  std::string error = {};  // empty: it was
  audit::TrialOutcome pieces = {};                 // a text continued
  std::optional<audit::TrialOutcome> whole = {};   // likewise, the prompt read in one piece
  std::optional<audit::TrialOutcome> copied = {};  // a passage that came again
  std::optional<audit::TrialOutcome> recall = {};  // facts told
  std::optional<audit::TrialOutcome> recall_whole = {};

  bool measured() const { return error.empty(); }
};
Json to_json(const CacheRow& row);
CacheRow row_of(const Json& json);

// Of rows of all sizes those that nothing as small loses less than, smallest first, each cache
// once.
std::vector<const CacheRow*> front(const std::vector<CacheRow>& rows);

// Tables of rows by size, fronts, and what claims come to.
void report_caches(const std::vector<CacheRow>& rows, const CacheRow& full,
                   const std::vector<double>& sizes, Report& report);
void report_claims(const std::vector<CacheRow>& rows, const std::vector<double>& sizes,
                   Report& report);

}  // namespace pith::bench
