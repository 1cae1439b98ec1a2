#include "pith/audit/evaluate_text.h"

#include <algorithm>

#include "pith/base/error.h"
#include "pith/model/prompt.h"
#include "pith/model/session.h"

namespace pith::audit {
namespace {

using model::LanguageModel;
using model::Tokenizer;

// Ids must mean the same to both.
void check_same_vocabulary(const LanguageModel& a, const LanguageModel& b) {
  if (!a.tokenizer() || !b.tokenizer()) return;
  const Tokenizer &x = *a.tokenizer(), &y = *b.tokenizer();
  const auto differ = [&](const std::string& how) {
    fail(ErrorKind::kUsage, "{} and {} have different vocabularies: {}", a.where(), b.where(), how);
  };
  if (x.size() != y.size()) differ(fmt::format("{} and {} tokens", x.size(), y.size()));
  for (int32_t id = 0; id < x.size(); ++id) {
    if (x.piece(id) != y.piece(id)) differ(fmt::format("token {} is not the same", id));
  }
}

std::optional<int32_t> bos_of(const LanguageModel& m, const Tokenizer& tokenizer,
                              std::optional<bool> wanted) {
  const auto bos = tokenizer.bos() ? tokenizer.bos() : m.config().bos;
  if (wanted.value_or(false) && !bos) {
    fail(ErrorKind::kUsage, "{}: the model has no bos token", m.where());
  }
  return wanted.value_or(tokenizer.adds_bos()) ? bos : std::nullopt;
}

}  // namespace

TextEvaluation evaluate_text(const LanguageModel& model, std::string_view text,
                             PerplexityOptions options, std::optional<bool> with_bos,
                             const LanguageModel* reference,
                             const std::optional<kv::CacheOptions>& cache) {
  if (reference) check_same_vocabulary(model, *reference);
  const LanguageModel& reader = model.tokenizer() || !reference ? model : *reference;
  const Tokenizer& tokenizer = model::tokenizer_of(reader);
  TextEvaluation out{{}, model::text_ids(reader, text, {.add_bos = false}), tokenizer, {}};
  options.bos = bos_of(model, tokenizer, with_bos);
  const uint64_t positions =
      std::clamp<uint64_t>(out.ids.size() + 1, 1, std::max<uint64_t>(options.context, 1));
  model::Session session(model, positions, options.threads, 0, cache);
  const LogitSource source = logits_of(session, cache ? kCachedReading : 0);
  if (!reference) {
    out.evaluation = evaluate(source, out.ids, options);
    return out;
  }
  model::Session other(*reference, positions, options.threads, session.needed_bytes());
  const LogitSource against = logits_of(other);
  out.evaluation = evaluate(source, out.ids, options, &against);
  if (cache && session.position() > 0)
    out.cache_bits =
        static_cast<double>(session.held_bits()) / static_cast<double>(session.read_numbers());
  return out;
}

}  // namespace pith::audit
