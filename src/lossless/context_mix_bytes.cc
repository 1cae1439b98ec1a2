#include "context_mix_bytes.h"

namespace pith::lossless::cm {

ByteModel::ByteModel(const BytePlan& plan)
    : width_(plan.width),
      with_base_(plan.with_base),
      computed_(plan.width == 1),
      center_(plan.planes[0].center),
      planes_(plan.width),
      expectation_(computed_ ? plan.row : 0, int64_t{16} << kUnit),
      above_(size_t(plan.row)) {
  for (size_t p = 0; p < planes_.size(); ++p) {
    Plane& plane = planes_[p];
    const BytePlane& from = plan.planes[p];
    plane.symbols = from.symbols;
    plane.rank.fill(uint8_t(plane.symbols.size() - 1));
    for (size_t r = plane.symbols.size(); r-- > 0;) {
      const int low = r == 0 ? -129 : int(int8_t(from.symbols[r - 1] - from.center));
      for (int v = low + 1; v <= int(int8_t(from.symbols[r] - from.center)); ++v) {
        plane.rank[uint8_t(v + from.center)] = uint8_t(r);
      }
    }
    plane.tree.build(from.weights);
    std::vector<uint32_t> contexts = {p > 0 ? 256u : 1u, 256, 256, p > 0 ? 1024u : 576u};
    if (plan.with_base) contexts.push_back(512);
    plane.mixer.init(uint32_t(plane.tree.nodes.size()), contexts, plan.with_base ? 2 : 1,
                     computed_);
    for (uint8_t symbol : plane.symbols) {
      plane.bound.push_back(point(symbol) - (int64_t{1} << (kUnit - 1)));
    }
  }
}

}  // namespace pith::lossless::cm
