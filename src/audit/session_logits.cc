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

// In pieces, whose logits are gathered.
form::MatrixView read_in_pieces(model::Session& session, std::span<const int32_t> ids,
                                uint64_t at_a_time, model::Logits which, form::Matrix& all) {
  all = form::Matrix(
      {which == model::Logits::kAll ? ids.size() : 0, session.model().config().vocabulary});
  for (uint64_t at = 0; at < ids.size(); at += at_a_time) {
    const auto piece = ids.subspan(at, std::min<uint64_t>(at_a_time, ids.size() - at));
    const form::MatrixView logits = session.feed(piece, which);
    std::copy_n(logits.data, logits.shape.size(),
                all.values.data() + at * all.shape.cols * (all.shape.rows > 0));
  }
  return all.view();
}

}  // namespace

LogitSource logits_of(model::Session& session, uint64_t at_a_time) {
  return {session.model().config().vocabulary,
          [&session, at_a_time, all = form::Matrix()](std::span<const int32_t> ids,
                                                      uint64_t position, bool wanted) mutable {
            session.rewind(position);
            const auto which = wanted ? model::Logits::kAll : model::Logits::kNone;
            const auto logits = at_a_time == 0
                                    ? session.feed(ids, which)
                                    : read_in_pieces(session, ids, at_a_time, which, all);
            require_finite(logits, session.model().where());
            return logits;
          }};
}

}  // namespace pith::audit
