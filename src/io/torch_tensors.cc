#include "torch_tensors.h"

#include <algorithm>

#include "pith/io/names.h"

namespace pith::io {
namespace {

using Kind = PickleNode::Kind;

constexpr size_t kMaxName = 1024;
constexpr size_t kMaxDimensions = 64;  // PyTorch's own limit; many views may share one shape

// A call of one of torch._utils._rebuild_tensor*, taken apart.
struct View {
  const PickleNode* storage;
  int64_t offset = 0;
  std::vector<uint64_t> shape;
  std::vector<uint64_t> strides;
  std::optional<DType> dtype;  // where the storage is untyped
};

// The part of a qualified name behind its last dot.
std::string_view last_part(std::string_view name) { return name.substr(name.rfind('.') + 1); }

class Finder {
 public:
  explicit Finder(const Pickle& pickle) : pickle_(pickle), seen_(pickle.nodes.size()) {}

  // Depth first in the pickle's order; the path to each object is kept as a chain of steps, since
  // spelling all of them out could take far more memory than the pickle.
  TorchStorages run() {
    visit(pickle_.root, Step{});
    while (!open_.empty()) {
      const auto [ref, step] = open_.back();
      open_.pop_back();
      const size_t before = open_.size();
      expand(ref, step);
      std::reverse(open_.begin() + static_cast<ptrdiff_t>(before), open_.end());
    }
    return std::move(storages_);
  }

 private:
  struct Step {
    size_t parent = 0;   // 0: the root
    PickleRef key = 0;   // a dictionary's key, or
    int64_t index = -1;  // a place in a sequence, or neither: the same path as the parent
  };

  void visit(PickleRef ref, Step step) {
    if (seen_[ref]) return;
    seen_[ref] = true;
    steps_.push_back(step);
    open_.emplace_back(ref, steps_.size() - 1);
  }

  void expand(PickleRef ref, size_t step) {
    const PickleNode& node = pickle_[ref];
    if (node.kind == Kind::kCall) {
      if (const auto view = as_view(node)) return add(*view, step);
      expand_call(node, step);
    } else if (node.kind == Kind::kSequence) {
      expand_items(node, step);
    }
    for (const auto& [key, value] : node.entries) visit(value, Step{step, key, -1});
  }

  void expand_items(const PickleNode& node, size_t step) {
    for (size_t k = 0; k < node.items.size(); ++k) {
      visit(node.items[k], Step{step, 0, static_cast<int64_t>(k)});
    }
  }

  // Parameters wrap their tensor in a call, modules keep theirs in their state; neither adds a part
  // to the name.
  void expand_call(const PickleNode& node, size_t step) {
    const PickleNode& arguments = pickle_[node.items[1]];
    const bool wraps = last_part(pickle_[node.items[0]].text).starts_with("_rebuild_parameter");
    if (wraps && !arguments.items.empty()) {
      visit(arguments.items[0], Step{step, 0, -1});
    } else {
      visit(node.items[1], Step{step, 0, -1});
    }
    for (size_t k = 2; k < node.items.size(); ++k) visit(node.items[k], Step{step, 0, -1});
  }

  std::optional<View> as_view(const PickleNode& call) const {
    std::string_view function = last_part(pickle_[call.items[0]].text);
    const PickleNode* arguments = &pickle_[call.items[1]];
    if (function == "_rebuild_from_type_v2" && arguments->items.size() >= 3) {
      function = last_part(pickle_[arguments->items[0]].text);
      arguments = &pickle_[arguments->items[2]];
    }
    const bool known = function == "_rebuild_tensor" || function == "_rebuild_tensor_v2" ||
                       function == "_rebuild_tensor_v3" || function == "_rebuild_qtensor";
    if (!known || arguments->items.size() < 4) return std::nullopt;
    View view;
    view.storage = &pickle_[arguments->items[0]];
    view.offset = pickle_[arguments->items[1]].number;
    if (!counts(arguments->items[2], view.shape)) return std::nullopt;
    if (!counts(arguments->items[3], view.strides)) return std::nullopt;
    if (function == "_rebuild_tensor_v3" && arguments->items.size() >= 7) {
      view.dtype = torch_dtype(last_part(pickle_[arguments->items[6]].text));
    }
    return view;
  }

  bool counts(PickleRef sequence, std::vector<uint64_t>& out) const {
    // torch.Size is a call with the tuple as its only argument.
    const PickleNode* node = &pickle_[sequence];
    if (node->kind == Kind::kCall && pickle_[node->items[1]].items.size() == 1) {
      node = &pickle_[pickle_[node->items[1]].items[0]];
    }
    if (node->items.size() > kMaxDimensions) return false;
    for (const PickleRef item : node->items) {
      out.push_back(static_cast<uint64_t>(pickle_[item].number));
    }
    return true;
  }

  // ('storage', type, key, location, length)
  void add(const View& view, size_t step) {
    if (view.storage->kind != Kind::kPersistent) return;
    const PickleNode& id = pickle_[view.storage->items[0]];
    if (id.items.size() < 5 || pickle_[id.items[0]].text != "storage") return;
    const std::string_view type = last_part(pickle_[id.items[1]].text);
    const auto dtype =
        view.dtype ? view.dtype : torch_storage_dtype(type.substr(0, type.rfind("Storage")));
    const auto [at, first] = storages_.try_emplace(pickle_[id.items[2]].text);
    TorchStorage& storage = at->second;
    if (first) {
      storage = {dtype.value_or(DType::kBytes), dtype.has_value(), name(step), view.shape,
                 contiguous(view)};
    } else {
      storage.whole = storage.whole && contiguous(view) && view.shape == storage.shape;
      if (dtype != storage.dtype) storage.typed = false;
    }
  }

  static bool contiguous(const View& view) {
    if (view.offset != 0 || view.shape.size() != view.strides.size()) return false;
    uint64_t stride = 1;
    for (size_t k = view.shape.size(); k-- > 0;) {
      if (view.shape[k] > 1 && view.strides[k] != stride) return false;
      if (__builtin_mul_overflow(stride, view.shape[k], &stride)) return false;
    }
    return true;
  }

  std::string name(size_t step) const {
    std::vector<std::string> parts;
    size_t length = 0;
    for (; step != 0 && length < kMaxName; step = steps_[step].parent) {
      std::string part = part_of(steps_[step]);
      if (part.empty()) continue;
      length += part.size() + 1;
      parts.push_back(std::move(part));
    }
    if (length > kMaxName) return {};
    std::string out;
    for (size_t k = parts.size(); k-- > 0;) out += parts[k] + (k ? "." : "");
    return out;
  }

  std::string part_of(const Step& step) const {
    if (step.index >= 0) return std::to_string(step.index);
    const PickleNode& key = pickle_[step.key];
    if (key.kind == Kind::kInteger) return std::to_string(key.number);
    // How torch.nn.Module keeps its parts; state dictionaries leave these out too.
    const bool inner =
        key.text == "_modules" || key.text == "_parameters" || key.text == "_buffers";
    return inner ? std::string() : key.text;
  }

  const Pickle& pickle_;
  std::vector<bool> seen_;
  std::vector<Step> steps_;
  std::vector<std::pair<PickleRef, size_t>> open_;
  TorchStorages storages_;
};

}  // namespace

TorchStorages torch_storages(const Pickle& pickle) { return Finder(pickle).run(); }

}  // namespace pith::io
