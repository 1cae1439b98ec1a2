// Language models measured on a text: the sessions and the windows' beginnings around evaluate().
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "pith/audit/perplexity.h"
#include "pith/kv/options.h"
#include "pith/model/language_model.h"

namespace pith::audit {

inline constexpr uint64_t kCachedReading = 16;

// What was measured, and on what.
struct TextEvaluation {
  Evaluation evaluation;
  std::vector<int32_t> ids;  // of the text
  model::Tokenizer tokenizer;
  // With a cache: bits that it held for each number of the keys and values read, at the end of the
  // last window; what lay as it is counts as numbers of 16 bits.
  std::optional<double> cache_bits = {};
};

// `options.bos` is not looked at: with_bos says whether windows begin with the bos token; unset, if
// the tokenizer begins texts with it. A model without a tokenizer is measured with the
// reference's. Throws as evaluate() does, ErrorKind::kData where there is no tokenizer or its model
// has no rows for its tokens, ErrorKind::kUsage where there is no bos token or the vocabularies
// differ, ErrorKind::kLimit where there is not enough memory for both models. cache: that of the
// model, not of the reference; it then reads kCachedReading tokens at a time, as which see each
// other as they are.
TextEvaluation evaluate_text(const model::LanguageModel& model, std::string_view text,
                             PerplexityOptions options, std::optional<bool> with_bos = {},
                             const model::LanguageModel* reference = nullptr,
                             const std::optional<kv::CacheOptions>& cache = {});

}  // namespace pith::audit
