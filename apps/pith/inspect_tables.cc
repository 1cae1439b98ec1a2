#include <map>

#include "form_table.h"
#include "inspect.h"
#include "pith/audit/planes.h"
#include "pith/form/tensor.h"
#include "units.h"

namespace pith::command {

std::string metadata_text(const MetadataPairs& metadata) {
  constexpr size_t kShown = 100;
  Table table({"key", "value"});
  for (const auto& [key, value] : metadata) {
    table.row({key, value.size() <= kShown ? value : value.substr(0, kShown) + " …"});
  }
  return table.empty() ? "" : table.text();
}

Json metadata_json(const MetadataPairs& metadata) {
  Json pairs = Json::array();
  for (const auto& [key, value] : metadata) pairs.push_back({key, value});
  return pairs;
}

std::string form_text(const io::TensorRegion& tensor) {
  if (tensor.big_endian) return "";
  const auto expression = form::tensor_expression(tensor.dtype);
  return expression ? form::to_string(*expression) : "";
}

namespace {

struct Sum {
  uint64_t count = 0, weights = 0, raw = 0, stored = 0;
  std::string form = {};

  void add(const io::TensorRegion& tensor, uint64_t in_archive) {
    count += 1;
    weights += element_count(tensor);
    raw += tensor.size;
    stored += in_archive;
  }
};

Sum total(const std::vector<io::TensorRegion>& tensors, const std::vector<uint64_t>& stored) {
  Sum all;
  for (size_t i = 0; i < tensors.size(); ++i) {
    all.add(tensors[i], stored.empty() ? tensors[i].size : stored[i]);
  }
  return all;
}

}  // namespace

std::string dtype_table(const std::vector<io::TensorRegion>& tensors,
                        const std::vector<uint64_t>& stored) {
  if (tensors.empty()) return "";
  const bool plain = stored.empty();
  std::map<DType, Sum> sums;
  for (size_t i = 0; i < tensors.size(); ++i) {
    Sum& sum = sums[tensors[i].dtype];
    sum.add(tensors[i], plain ? tensors[i].size : stored[i]);
    sum.form = form_text(tensors[i]);
  }
  std::vector<std::string> headers{"dtype", ">tensors", ">weights", ">bits/weight", ">raw"};
  if (plain) {
    headers.insert(headers.begin() + 1, "form");
  } else {
    headers.insert(headers.end(), {">stored", ">ratio"});
  }
  Table table(headers);
  const auto row = [&](const std::string& name, const Sum& sum) {
    std::vector<std::string> cells{name, fmt::format("{}", sum.count),
                                   fmt::format("{}", sum.weights),
                                   bits_text(sum.stored, sum.weights), size_text(sum.raw)};
    if (plain) {
      cells.insert(cells.begin() + 1, sum.form);
    } else {
      cells.insert(cells.end(), {size_text(sum.stored), ratio_text(sum.raw, sum.stored)});
    }
    table.row(std::move(cells));
  };
  for (const auto& [dtype, sum] : sums) row(std::string(info(dtype).name), sum);
  row("(together)", total(tensors, stored));
  return table.text();
}

Json total_json(const std::vector<io::TensorRegion>& tensors, const std::vector<uint64_t>& stored) {
  const Sum all = total(tensors, stored);
  return {{"tensors", all.count},
          {"weights", all.weights},
          {"raw", all.raw},
          {"stored", all.stored},
          {"bits_per_weight", bits_each(all.stored, all.weights)}};
}

struct PlaneTable::Row {
  std::string name;
  DType dtype;
  audit::FloatLimits limits;
};

void PlaneTable::add(const io::TensorRegion& region, const std::function<Bytes()>& read) {
  if (info(region.dtype).kind != NumberKind::kFloat || region.big_endian || region.size == 0)
    return;
  if (info(region.dtype).block_elements != 1) return;
  rows_.push_back(std::make_shared<Row>(
      Row{region.name, region.dtype, audit::float_limits(read(), region.dtype)}));
}

std::string PlaneTable::text() const {
  Table table({"tensor", "dtype", ">sign", ">exponent", ">mantissa", ">given exp.", ">limit bits"});
  const auto row = [&](const std::string& name, const std::string& dtype,
                       const audit::FloatLimits& l) {
    const auto bits = [](double v) { return fmt::format("{:.3f}", v); };
    table.row({name, dtype, bits(l.sign), bits(l.exponent), bits(l.mantissa),
               bits(l.mantissa_given_exponent), bits(l.conditional_mantissa_bits())});
  };
  std::map<DType, std::vector<audit::FloatLimits>> by_type;
  for (const auto& r : rows_) {
    row(r->name, std::string(info(r->dtype).name), r->limits);
    by_type[r->dtype].push_back(r->limits);
  }
  for (const auto& [dtype, limits] : by_type)
    row("(together)", std::string(info(dtype).name), audit::combine(limits));
  return table.empty() ? "no tensor of floats\n" : table.text();
}

Json PlaneTable::json() const {
  Json all = Json::array();
  for (const auto& r : rows_) {
    const audit::FloatLimits& l = r->limits;
    all.push_back({{"name", r->name},
                   {"dtype", info(r->dtype).name},
                   {"elements", l.elements},
                   {"sign", l.sign},
                   {"exponent", l.exponent},
                   {"exponent_blocks", l.exponent_blocks},
                   {"mantissa", l.mantissa},
                   {"mantissa_given_exponent", l.mantissa_given_exponent},
                   {"limit_bits", l.conditional_mantissa_bits()}});
  }
  return all;
}

}  // namespace pith::command
