#include <algorithm>
#include <cmath>

#include "pith/audit/perplexity.h"
#include "pith/base/error.h"
#include "pith/model/session.h"

namespace pith::audit {
namespace {

void require_finite(form::MatrixView logits, const std::string& model) {
  for (uint64_t r = 0; r < logits.shape.rows; ++r) {
    const auto row = logits.row(r);
    const auto bad = std::ranges::find_if_not(row, [](float v) { return std::isfinite(v); });
    if (bad == row.end()) continue;
    fail(ErrorKind::kData,
         "{}: the logit of token {} is {}: weights or sums left the range of floats", model,
         bad - row.begin(), std::isnan(*bad) ? "nan" : "infinite");
  }
}

}  // namespace

LogitSource logits_of(model::Session& session) {
  return {session.model().config().vocabulary,
          [&session](std::span<const int32_t> ids, uint64_t position, bool wanted) {
            session.rewind(position);
            const auto logits =
                session.feed(ids, wanted ? model::Logits::kAll : model::Logits::kNone);
            require_finite(logits, session.model().where());
            return logits;
          }};
}

}  // namespace pith::audit
