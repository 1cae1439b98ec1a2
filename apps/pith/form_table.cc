#include "form_table.h"

#include <algorithm>

#include "table.h"
#include "units.h"

namespace pith::command {

double bits_each(uint64_t bytes, uint64_t elements) {
  return elements == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
}

uint64_t element_count(const io::TensorRegion& tensor) {
  const DTypeInfo& type = info(tensor.dtype);
  return tensor.size / type.block_bytes * type.block_elements;
}

std::string bits_text(uint64_t bytes, uint64_t elements) {
  return fmt::format("{:.3f}", bits_each(bytes, elements));
}

std::string error_text(double error) { return fmt::format("{:.1e}", error); }

Json form_json(const archive::FormInfo* form, uint64_t elements) {
  if (!form) return nullptr;
  return {{"expression", form->expression},
          {"bytes", form->bytes},
          {"bits_per_weight", bits_each(form->bytes, elements)},
          {"error", form->error},
          {"max_error", form->max_error}};
}

void FormTable::add(const io::TensorRegion& tensor, uint64_t stored,
                    const archive::FormInfo* form) {
  Line& line = lines_[form ? form->expression : ""];
  const uint64_t elements = element_count(tensor);
  line.tensors += 1;
  line.weights += elements;
  line.stored += stored;
  line.raw += tensor.size;
  if (!form) return;
  line.error += form->error * static_cast<double>(elements);
  line.worst = std::max(line.worst, form->error);
  line.max_error = std::max(line.max_error, form->max_error);
}

std::string FormTable::text() const {
  Table table(
      {"form", ">tensors", ">weights", ">bits/weight", ">raw", ">stored", ">error", ">worst"});
  Line all;
  const auto row = [&](const std::string& name, const Line& l, bool errors) {
    const double weights = static_cast<double>(std::max<uint64_t>(l.weights, 1));
    table.row({name, fmt::format("{}", l.tensors), fmt::format("{}", l.weights),
               bits_text(l.stored, l.weights), size_text(l.raw), size_text(l.stored),
               errors ? error_text(l.error / weights) : "", errors ? error_text(l.worst) : ""});
  };
  for (const auto& [name, line] : lines_) {
    all.tensors += line.tensors;
    all.weights += line.weights;
    all.stored += line.stored;
    all.raw += line.raw;
    if (!name.empty()) row(name, line, true);
  }
  if (lines_.contains("")) row("(lossless)", lines_.at(""), false);
  row("(together)", all, false);
  return table.text();
}

Json FormTable::json() const {
  Json all = Json::array();
  for (const auto& [name, l] : lines_) {
    const double weights = static_cast<double>(std::max<uint64_t>(l.weights, 1));
    Json line = {{"form", name.empty() ? Json() : Json(name)},
                 {"tensors", l.tensors},
                 {"weights", l.weights},
                 {"raw", l.raw},
                 {"stored", l.stored},
                 {"bits_per_weight", bits_each(l.stored, l.weights)}};
    if (!name.empty()) {
      line["error"] = l.error / weights;
      line["worst_error"] = l.worst;
      line["max_error"] = l.max_error;
    }
    all.push_back(std::move(line));
  }
  return all;
}

}  // namespace pith::command
