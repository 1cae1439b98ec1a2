#include <algorithm>

#include "compress.h"
#include "form_table.h"
#include "message.h"
#include "output.h"
#include "pith/recipe/registry.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

using archive::FileReport;
using archive::TensorReport;
using archive::WriteReport;

// How each tensor was coded; known only where the archive can be read back.
class Explanations {
 public:
  Explanations(const CompressArguments& a, const CompressPlan& plan) {
    if (plan.target != Target::kFile) return;
    archive::OpenOptions options;
    if (!a.rebase) options.bases = to_paths(a.bases);
    archive_ = archive::Archive::open(plan.path, options);
  }

  std::string of(const std::string& file, const TensorReport& tensor) const {
    if (!archive_) return "";
    const archive::FileInfo& info = archive_->files()[archive_->find_file(file)];
    for (size_t t = info.first_tensor; t < info.first_tensor + info.tensor_count; ++t) {
      if (archive_->tensors()[t].region.name != tensor.name) continue;
      const auto detail = archive_->detail(t);
      if (!detail.explain.empty()) return detail.explain.front();
      return detail.shared > 0 ? "same as earlier bytes" : "";
    }
    return "";
  }

 private:
  std::optional<archive::Archive> archive_;
};

io::TensorRegion region_of(const TensorReport& t) {
  io::TensorRegion region;
  region.dtype = t.dtype;
  region.shape = t.shape;
  region.size = t.raw;
  return region;
}

FormTable form_table(const WriteReport& r) {
  FormTable table;
  for (const FileReport& f : r.files) {
    for (const TensorReport& t : f.tensors) {
      table.add(region_of(t), t.stored, t.form ? &*t.form : nullptr);
    }
  }
  return table;
}

Json to_json(const TensorReport& t, const std::string& how) {
  Json j = {{"name", t.name},        {"dtype", info(t.dtype).name}, {"shape", t.shape},
            {"raw", t.raw},          {"stored", t.stored},          {"shared", t.shared},
            {"has_base", t.has_base}};
  if (!how.empty()) j["how"] = how;
  j["form"] = form_json(t.form ? &*t.form : nullptr, element_count(region_of(t)));
  return j;
}

Json losses_json(const recipe::CheckpointLosses& losses) {
  Json all = Json::array();
  for (const recipe::TensorLoss& t : losses) {
    all.push_back({{"file", t.file},
                   {"tensor", t.tensor},
                   {"elements", t.elements},
                   {"pruned", t.pruned},
                   {"rms_value", t.rms_value},
                   {"rms_residual", t.rms_residual},
                   {"rms_error", t.rms_error},
                   {"max_error", t.max_error}});
  }
  return all;
}

Json to_json(const CompressPlan& plan, const WriteReport& r, const Explanations& explanations) {
  Json files = Json::array();
  for (const FileReport& f : r.files) {
    Json tensors = Json::array();
    for (const TensorReport& t : f.tensors)
      tensors.push_back(to_json(t, explanations.of(f.path, t)));
    files.push_back({{"path", f.path},
                     {"format", f.format},
                     {"raw", f.raw},
                     {"stored", f.stored},
                     {"xxh3_128", f.hash.hex()},
                     {"notes", f.notes},
                     {"tensors", tensors}});
  }
  Json j = {{"archive", plan.target == Target::kFile ? Json(plan.path.string()) : Json()},
            {"level", recipe::level_name(plan.options.level)},
            {"raw", r.raw},
            {"stored", r.stored},
            {"shared", r.shared},
            {"content_hash", r.content_hash.hex()}};
  j["seconds"] = {{"wall", r.wall},       {"cpu", r.cpu},       {"reading", r.reading},
                  {"hashing", r.hashing}, {"coding", r.coding}, {"writing", r.writing}};
  j["files"] = std::move(files);
  j["lossless"] = plan.losses == nullptr && r.forms == 0;
  if (r.forms > 0) j["forms"] = form_table(r).json();
  if (plan.losses) j["losses"] = losses_json(*plan.losses);
  return j;
}

void print_tensors(const WriteReport& r, const Explanations& explanations) {
  Table table({"tensor", "dtype", "shape", ">raw", ">stored", ">ratio", "how"});
  for (const FileReport& f : r.files) {
    for (const TensorReport& t : f.tensors) {
      const std::string how =
          t.shared >= t.raw && t.raw > 0 ? "same as earlier bytes" : explanations.of(f.path, t);
      table.row({t.name, std::string(info(t.dtype).name), shape_text(t.shape), size_text(t.raw),
                 size_text(t.stored), ratio_text(t.raw, t.stored), how});
    }
  }
  if (!table.empty()) std::fputs(table.text().c_str(), stderr);
}

void print_forms(const WriteReport& r) {
  Table table({"tensor", "form", ">bits/weight", ">error", ">largest"});
  for (const FileReport& f : r.files) {
    for (const TensorReport& t : f.tensors) {
      if (!t.form) continue;
      table.row({t.name, t.form->expression, bits_text(t.form->bytes, element_count(region_of(t))),
                 error_text(t.form->error), error_text(t.form->max_error)});
    }
  }
  if (!table.empty()) std::fputs(table.text().c_str(), stderr);
}

void print_losses(const recipe::CheckpointLosses& losses) {
  Table table({"tensor", ">pruned", ">rms value", ">rms residual", ">rms error", ">max error"});
  for (const recipe::TensorLoss& t : losses) {
    table.row({t.tensor, percent_text(t.pruned, t.elements), fmt::format("{:.3g}", t.rms_value),
               fmt::format("{:.3g}", t.rms_residual), fmt::format("{:.3g}", t.rms_error),
               fmt::format("{:.3g}", t.max_error)});
  }
  if (!table.empty()) std::fputs(table.text().c_str(), stderr);
}

void print_times(const WriteReport& r) {
  note(
      "time: {:.2f} s; reading {:.2f}, hashing {:.2f}, coding {:.2f} (all threads), writing "
      "{:.2f}; "
      "processor {:.2f}",
      r.wall, r.reading, r.hashing, r.coding, r.writing, r.cpu);
}

void print_summary(const CompressPlan& plan, const WriteReport& r) {
  const std::string target = plan.target == Target::kFile      ? ", " + plan.path.string()
                             : plan.target == Target::kNowhere ? ", nothing written"
                                                               : "";
  note("{} : {} ({} => {}, {}x, {}{})", plan.label, percent_text(r.stored, r.raw), size_text(r.raw),
       size_text(r.stored), ratio_text(r.raw, r.stored), rate_text(r.raw, r.wall), target);
}

}  // namespace

void report_compress(const CompressArguments& a, const CompressPlan& plan,
                     const WriteReport& report, const Json& fit) {
  for (const FileReport& f : report.files) {
    for (const std::string& text : f.notes) {
      const bool asked = a.verbose || text.find(" stays lossless: ") != std::string::npos;
      if (asked && !a.quiet) note("{}: {}", f.path, text);
    }
  }
  if (a.json) {
    Json j = to_json(plan, report, Explanations(a, plan));
    if (!fit.is_null()) j["fit"] = fit;
    print_json(j);
  }
  if (a.quiet) return;
  if (a.verbose) {
    print_tensors(report, Explanations(a, plan));
    if (plan.losses) print_losses(*plan.losses);
    print_forms(report);
    print_times(report);
  }
  if (report.forms > 0) std::fputs(form_table(report).text().c_str(), stderr);
  if (!a.forms.empty() && report.forms == 0) print_warning("no tensor was stored in a form");
  if (plan.losses)
    note("stored with losses (-v shows them): {}", count_text(plan.losses->size(), "tensor"));
  print_summary(plan, report);
}

}  // namespace pith::command
