// A checkpoint as it will be restored: the source of the original, its tensors replaced on the way.
//
// A tensor's clusters are fitted when its first bytes are asked for, from a sample; after that any
// range can be had from the same range of the original and of the base, so memory does not grow
// with the tensors.

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "residual_clusters.h"

namespace pith::recipe {
namespace {

using archive::Base;
using archive::Input;
using archive::Source;

constexpr uint64_t kSmallest = 1024;   // elements: smaller tensors stay lossless
constexpr uint64_t kSample = 1 << 16;  // elements that clusters are fitted to
constexpr uint64_t kPiece = 1 << 20;   // bytes that are measured at a time

struct Place {
  size_t file;
  uint64_t offset;
};

// Which tensor of the base the writer will take: the one in the file of the same path, or the only
// one with name, type and shape.
class BaseIndex {
 public:
  explicit BaseIndex(const Base& base) : base_(base) {
    for (size_t f = 0; f < base.file_count(); ++f) {
      for (const io::TensorRegion& t : base.tensors(f)) names_[t.name].emplace_back(f, &t);
    }
  }

  std::optional<Place> find(const std::string& path, const io::TensorRegion& tensor) const {
    const auto at = names_.find(tensor.name);
    if (at == names_.end()) return std::nullopt;
    std::optional<Place> only;
    size_t matches = 0;
    for (const auto& [file, other] : at->second) {
      const bool same = other->dtype == tensor.dtype && other->shape == tensor.shape &&
                        other->size == tensor.size && other->big_endian == tensor.big_endian;
      if (!same) continue;
      only = Place{file, other->offset};
      if (base_.path(file) == path) return only;
      ++matches;
    }
    return matches == 1 ? only : std::nullopt;
  }

 private:
  const Base& base_;
  std::map<std::string, std::vector<std::pair<size_t, const io::TensorRegion*>>> names_;
};

template <class Function>
void with_format(DType dtype, Function&& f) {
  namespace steps = lossless::steps;
  switch (dtype) {
    case DType::kF16:
      return f(steps::F16{});
    case DType::kBF16:
      return f(steps::BF16{});
    case DType::kF32:
      return f(steps::F32{});
    case DType::kF64:
      return f(steps::F64{});
    default:
      return;
  }
}

bool is_quantizable(const io::TensorRegion& t) {
  bool known = false;
  with_format(t.dtype, [&](auto) { known = true; });
  return known && !t.big_endian && t.size / info(t.dtype).block_bytes >= kSmallest;
}

template <class F>
Pair pair_at(ByteView values, ByteView base, size_t i) {
  using Bits = typename F::Bits;
  return {F::value(load_le<Bits>(values.data() + i * sizeof(Bits))),
          F::value(load_le<Bits>(base.data() + i * sizeof(Bits)))};
}

// Adds up what a tensor loses.
class Measure {
 public:
  explicit Measure(TensorLoss& loss) : loss_(loss) {}
  void add(const Pair& p, double stored) {
    if (!std::isfinite(p.value) || !std::isfinite(p.base)) return;
    const double error = stored - p.value, residual = p.value - p.base;
    ++loss_.elements;
    loss_.rms_value += p.value * p.value;
    loss_.rms_residual += residual * residual;
    loss_.rms_error += error * error;
    loss_.max_error = std::max(loss_.max_error, std::fabs(error));
  }
  ~Measure() {
    const double n = static_cast<double>(std::max<uint64_t>(loss_.elements, 1));
    for (double* sum : {&loss_.rms_value, &loss_.rms_residual, &loss_.rms_error}) {
      *sum = std::sqrt(*sum / n);
    }
  }

 private:
  TensorLoss& loss_;
};

class PredictedSource : public Source {
 public:
  PredictedSource(std::string path, std::shared_ptr<Source> source,
                  std::shared_ptr<const Base> base, std::shared_ptr<const BaseIndex> index,
                  const PredictionOptions& options, std::shared_ptr<CheckpointLosses> losses)
      : path_(std::move(path)),
        source_(std::move(source)),
        base_(std::move(base)),
        index_(std::move(index)),
        options_(options),
        losses_(std::move(losses)) {}

  io::Layout layout() override {
    io::Layout layout = source_->layout();
    if (!source_->rereadable()) return layout;
    for (const io::TensorRegion& t : layout.tensors) {
      if (!is_quantizable(t)) continue;
      if (const auto place = index_->find(path_, t)) tensors_.push_back({t, *place, {}});
    }
    return layout;
  }
  std::optional<uint64_t> size() const override { return source_->size(); }
  bool rereadable() const override { return source_->rereadable(); }
  void release(uint64_t offset, uint64_t n) override { source_->release(offset, n); }
  void finish() override { source_->finish(); }
  uint32_t mode() const override { return source_->mode(); }

  Buffer get(uint64_t offset, uint64_t n) override {
    Buffer piece = source_->get(offset, n);
    const uint64_t end = offset + piece.bytes.size();
    std::shared_ptr<Bytes> changed;
    auto t = std::ranges::upper_bound(
        tensors_, offset, {}, [](const Tensor& x) { return x.region.offset + x.region.size; });
    for (; t != tensors_.end() && t->region.offset < end; ++t) {
      if (!changed) changed = std::make_shared<Bytes>(piece.bytes.begin(), piece.bytes.end());
      if (!t->clusters) fit(*t);
      const uint64_t first = std::max(offset, t->region.offset);
      const uint64_t last = std::min(end, t->region.offset + t->region.size);
      replace(*t, first - t->region.offset,
              MutableByteView(*changed).subspan(first - offset, last - first));
    }
    if (!changed) return piece;
    return {*changed, changed};
  }

 private:
  struct Tensor {
    io::TensorRegion region;
    Place place;
    std::optional<ResidualClusters> clusters;
  };

  // Calls visit(values, base) with all of the tensor, a piece of whole elements at a time.
  template <class Visit>
  void each_piece(const Tensor& t, Visit&& visit) {
    Bytes base;
    for (uint64_t at = 0; at < t.region.size; at += kPiece) {
      base.resize(std::min(kPiece, t.region.size - at));
      const Buffer piece = original(t, at, base.size());
      base_->read(t.place.file, t.place.offset + at, base);
      visit(piece.bytes, ByteView(base));
      source_->release(t.region.offset + at, base.size());
    }
  }

  Buffer original(const Tensor& t, uint64_t at, uint64_t n) {
    Buffer piece = source_->get(t.region.offset + at, n);
    if (piece.bytes.size() != n)
      fail(ErrorKind::kIo, "{}: became shorter while it was being read", path_);
    return piece;
  }

  void fit(Tensor& t) {
    with_format(t.region.dtype, [&](auto format) { fit_as<decltype(format)>(t); });
  }

  template <class F>
  void fit_as(Tensor& t) {
    constexpr uint64_t kWidth = sizeof(typename F::Bits);
    const uint64_t stride = std::max<uint64_t>(1, t.region.size / kWidth / kSample);
    std::vector<Pair> sample;
    uint64_t seen = 0;
    each_piece(t, [&](ByteView values, ByteView base) {
      const uint64_t n = values.size() / kWidth;
      uint64_t i = (stride - seen % stride) % stride;
      for (; i < n; i += stride) sample.push_back(pair_at<F>(values, base, i));
      seen += n;
    });
    t.clusters.emplace(sample, role_of(t.region.name), options_);
    if (losses_) measure<F>(t);
  }

  template <class F>
  void measure(const Tensor& t) {
    TensorLoss loss{path_, t.region.name, t.clusters->domain()};
    {
      Measure sums(loss);
      each_piece(t, [&](ByteView values, ByteView base) {
        for (size_t i = 0; i < values.size() / sizeof(typename F::Bits); ++i) {
          const Pair p = pair_at<F>(values, base, i);
          double step = 0, stored = p.value;
          if (t.clusters->step(p, step)) {
            stored = F::value(lossless::steps::apply<F>(loss.domain, p.base, step));
            loss.pruned += step == lossless::steps::neutral(loss.domain);
          }
          sums.add(p, stored);
        }
      });
    }
    losses_->push_back(std::move(loss));
  }

  void replace(const Tensor& t, uint64_t at, MutableByteView out) {
    with_format(t.region.dtype, [&](auto format) { replace_as<decltype(format)>(t, at, out); });
  }

  // `at` and the end of `out` may lie within an element.
  template <class F>
  void replace_as(const Tensor& t, uint64_t at, MutableByteView out) {
    using Bits = typename F::Bits;
    const uint64_t first = at / sizeof(Bits) * sizeof(Bits);
    const uint64_t last = (at + out.size() + sizeof(Bits) - 1) / sizeof(Bits) * sizeof(Bits);
    const Buffer piece = original(t, first, last - first);
    Bytes values(piece.bytes.begin(), piece.bytes.end()), base(last - first);
    base_->read(t.place.file, t.place.offset + first, base);
    for (size_t i = 0; i < values.size() / sizeof(Bits); ++i) {
      const Pair p = pair_at<F>(values, base, i);
      double step = 0;
      if (t.clusters->step(p, step)) {
        store_le(values.data() + i * sizeof(Bits),
                 lossless::steps::apply<F>(t.clusters->domain(), p.base, step));
      }
    }
    std::copy_n(values.begin() + static_cast<int64_t>(at - first), out.size(), out.begin());
  }

  std::string path_;
  std::shared_ptr<Source> source_;
  std::shared_ptr<const Base> base_;
  std::shared_ptr<const BaseIndex> index_;
  PredictionOptions options_;
  std::shared_ptr<CheckpointLosses> losses_;
  std::vector<Tensor> tensors_;  // ascending by offset
};

}  // namespace

void check(const PredictionOptions& options) {
  if (options.bits < 2 || options.bits > 8) {
    fail(ErrorKind::kUsage, "bits={}: 2 to 8 bits an index are possible", options.bits);
  }
  if (!(options.prune >= 0 && options.prune <= 4)) {
    fail(ErrorKind::kUsage, "prune={}: the threshold is 0 to 4 times the root mean square",
         options.prune);
  }
}

std::vector<Input> predict_checkpoint(std::vector<Input> inputs,
                                      const std::shared_ptr<const Base>& base,
                                      const PredictionOptions& options,
                                      const std::shared_ptr<CheckpointLosses>& losses) {
  check(options);
  const auto index = std::make_shared<const BaseIndex>(*base);
  for (Input& input : inputs) {
    if (!input.source) continue;
    input.source = std::make_shared<PredictedSource>(input.path, std::move(input.source), base,
                                                     index, options, losses);
  }
  return inputs;
}

}  // namespace pith::recipe
