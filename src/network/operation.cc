#include "operation.h"

namespace pith::network {
namespace {

using Kind = io::OnnxAttribute::Kind;

OperatorTable make_table() {
  OperatorTable table;
  add_elementwise(table);
  add_convolutions(table);
  add_pools(table);
  add_products(table);
  add_normalizations(table);
  add_reductions(table);
  add_shapes(table);
  add_pieces(table);
  add_resizing(table);
  add_rescaling(table);
  return table;
}

}  // namespace

const Tensor& Step::in(size_t k) const {
  if (!has(k)) fail(ErrorKind::kData, "input {} is missing", k);
  return *inputs[k];
}

const io::OnnxAttribute* Attributes::find(std::string_view key, Kind kind) {
  read_.insert(key);
  const auto at = node_.attributes.find(key);
  if (at == node_.attributes.end()) return nullptr;
  if (at->second.kind != kind) {
    fail(ErrorKind::kUsage, "its attribute '{}' is of another kind than it should be", key);
  }
  return &at->second;
}

float Attributes::number(std::string_view key, float otherwise) {
  const auto* a = find(key, Kind::kFloat);
  return a ? a->number : otherwise;
}

int64_t Attributes::integer(std::string_view key, int64_t otherwise) {
  const auto* a = find(key, Kind::kInteger);
  return a ? a->integer : otherwise;
}

std::string Attributes::text(std::string_view key, std::string_view otherwise) {
  const auto* a = find(key, Kind::kText);
  return a ? a->text : std::string(otherwise);
}

std::vector<int64_t> Attributes::integers(std::string_view key) {
  const auto* a = find(key, Kind::kIntegers);
  return a ? a->integers : std::vector<int64_t>();
}

Tensor Attributes::tensor(std::string_view key, const Tensor& otherwise) {
  const auto* a = find(key, Kind::kTensor);
  return a ? Tensor(a->tensor) : otherwise;
}

void Attributes::finish() const {
  for (const auto& [key, value] : node_.attributes) {
    if (!read_.contains(key)) {
      fail(ErrorKind::kUsage, "its attribute '{}' is not supported", key);
    }
  }
}

Operation make_operation(const Node& node, const Graph& graph, std::vector<Layer>& layers) {
  static const OperatorTable table = make_table();
  const auto at = table.find(node.op);
  if (at == table.end()) {
    fail(ErrorKind::kUsage, "{}: this operator is not supported", described(node));
  }
  try {
    Attributes attributes(node);
    Operation made = at->second({node, graph, attributes, layers});
    attributes.finish();
    return made;
  } catch (const Error& e) {
    throw e.in(described(node));
  }
}

std::string described(const Node& node) {
  return fmt::format("node '{}' ({})", node.name, node.op);
}

size_t axis_of(int64_t axis, size_t rank, bool end) {
  const auto n = static_cast<int64_t>(rank);
  if (axis < -n - end || axis >= n + end) {
    fail(ErrorKind::kData, "axis or index {} is outside of {}", axis, rank);
  }
  return static_cast<size_t>(axis < 0 ? axis + n + end : axis);
}

}  // namespace pith::network
