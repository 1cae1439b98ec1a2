#include "pith/audit/perplexity.h"
#include "pith/model/session.h"

namespace pith::audit {

LogitSource logits_of(model::Session& session) {
  return {session.model().config().vocabulary,
          [&session](std::span<const int32_t> ids, uint64_t position, bool wanted) {
            session.rewind(position);
            return session.feed(ids, wanted ? model::Logits::kAll : model::Logits::kNone);
          }};
}

}  // namespace pith::audit
