#include "pith/network/compress_network.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "layer_table.h"
#include "pith/base/error.h"
#include "pith/base/float_elements.h"
#include "pith/base/parallel.h"
#include "pith/budget/solve.h"
#include "pith/form/compose.h"

namespace pith::network {
namespace {

// Samples that a layer's part in the error of the outputs is measured with.
constexpr uint64_t kSamples = 4;
constexpr int kTries = 6;

double bytes_of(const form::Form& form) { return static_cast<double>(form::bits(form)) / 8; }

}  // namespace

struct NetworkCompressor::State {
  State(const io::OnnxGraph& onnx, std::vector<archive::Input> archive_inputs,
        CompressNetworkOptions given)
      : file(onnx),
        network(graph_of(onnx)),
        stored(stored_weights(onnx, network)),
        options(std::move(given)),
        threads(thread_count(options.threads)),
        inputs(std::move(archive_inputs)) {
    find_tensors();
    measure_overhead();
    if (!options.inputs.empty()) wanted = network.run(options.inputs, {.threads = threads});
  }

  Progress stage(const char* name) const {
    return options.progress ? options.progress(name) : Progress();
  }

  void find_tensors();
  void leave_missing();
  void measure_overhead();
  uint64_t most(const NetworkLimits& limits) const;
  [[noreturn]] void refuse(uint64_t most, double smallest) const;
  void refuse_early(uint64_t most) const;

  fit::Task task(size_t layer, const form::Matrix& matrix, const fit::Metric& metric) const {
    return {stored[layer].tensor, matrix.view(), metric, {}, threads};
  }

  // Layers that are fitted, with what the candidates make of them.
  struct Table {
    std::vector<size_t> layers;
    std::vector<std::vector<Tried>> tried;
    std::vector<double> part;  // of the outputs' error in a layer's error
    budget::Problem problem;
  };
  Table table() const;
  void weigh(Table& table) const;
  std::vector<size_t> choose(const Table& table, double room, std::string& note) const;
  double loss_of(const Table& table, std::span<const size_t> chosen) const;
  // The forms of a choice, by layers.
  using LayerForms = std::map<size_t, form::FormPtr>;
  LayerForms fit_chosen(const Table& table, std::span<const size_t> chosen,
                        std::vector<std::string>& left) const;
  Network with(const LayerForms& forms) const;

  CompressedNetwork made_of(const LayerForms& forms) const;
  CompressedNetwork joined(const NetworkLimits& limits) const;
  CompressedNetwork joined_within(std::optional<double> room) const;
  CompressedNetwork alone() const;
  CompressedNetwork within(uint64_t limit) const;
  void finish(CompressedNetwork& made, const Network* compressed) const;
  Network stored_network(const TensorForms& tensors) const;

  io::OnnxGraph file;
  Network network;
  std::vector<StoredWeight> stored;
  CompressNetworkOptions options;
  int threads;
  std::vector<archive::Input> inputs;
  std::set<std::string, std::less<>> floats;  // tensors of the file
  std::vector<bool> fitted;                   // of each layer
  std::vector<std::string> left;              // why others are not
  std::vector<Tensor> wanted;                 // outputs of the network as it was, on its inputs
  uint64_t overhead = 0, weights = 0, input_bytes = 0;
};

// A tensor that several layers multiply by is the first one's.
void NetworkCompressor::State::find_tensors() {
  const archive::FormRules rules(options.rules);
  std::map<std::string, const io::TensorRegion*, std::less<>> there;
  std::vector<io::Layout> layouts;
  for (const archive::Input& input : inputs) {
    if (!input.source) continue;
    input_bytes += input.source->size().value_or(0);
    layouts.push_back(input.source->layout());
  }
  for (const io::Layout& layout : layouts) {
    for (const io::TensorRegion& t : layout.tensors) {
      if (!has_float_elements(t.dtype)) continue;
      weights += t.size / info(t.dtype).block_bytes;
      floats.insert(t.name);
      there.emplace(t.name, &t);
    }
  }
  std::set<std::string_view> taken;
  for (size_t i = 0; i < network.layers().size(); ++i) {
    const std::string& name = stored[i].tensor;
    const auto at = there.find(name);
    const Layer& layer = network.layers()[i];
    fitted.push_back(false);
    if (name.empty()) {
      left.push_back(fmt::format("{}: its weights are computed from others", layer.name));
    } else if (at == there.end()) {
      left.push_back(fmt::format("{}: not a tensor of floats in the file", name));
    } else if (at->second->size / info(at->second->dtype).block_bytes !=
               layer.weight->shape().size()) {
      left.push_back(fmt::format("{}: a part of the tensor", name));
    } else if (!rules.rule(*at->second)) {
      fitted.back() = taken.insert(name).second;
    }
  }
  if (taken.empty()) {
    fail(ErrorKind::kUsage, "there are no layers to fit{}{}",
         left.empty() ? "" : ": " + left.front(),
         options.rules.empty() ? "" : " but those that other options decide");
  }
}

void NetworkCompressor::State::measure_overhead() {
  std::map<std::string_view, size_t> by_tensor;
  for (size_t i = 0; i < fitted.size(); ++i) {
    if (fitted[i]) by_tensor.emplace(stored[i].tensor, i);
  }
  archive::WriteOptions write;
  write.threads = options.threads;
  write.forms = options.rules;
  uint64_t taken = 0;
  write.fitted = [&](std::string_view, const io::TensorRegion& t) -> form::FormPtr {
    const auto at = by_tensor.find(t.name);
    if (at == by_tensor.end()) return nullptr;
    form::FormPtr form =
        as_stored(stored[at->second], form::zeros(network.layers()[at->second].weight->shape()));
    taken += form::bits(*form) / 8;
    return form;
  };
  const archive::WriteReport report = archive::write_archive(
      inputs, [](ByteView) {}, write);
  // Frames begin at multiples of 64 bytes.
  overhead = report.stored - taken + 64 * by_tensor.size();
}

uint64_t NetworkCompressor::State::most(const NetworkLimits& limits) const {
  double least = 0x1p63;
  if (limits.bytes) least = std::min(least, static_cast<double>(*limits.bytes));
  if (limits.bits) least = std::min(least, *limits.bits * static_cast<double>(weights) / 8);
  if (limits.ratio) least = std::min(least, static_cast<double>(input_bytes) / *limits.ratio);
  return static_cast<uint64_t>(least);
}

void NetworkCompressor::State::refuse(uint64_t limit, double smallest) const {
  fail(ErrorKind::kLimit,
       "{} bytes are asked for, and the smallest archive of this network has about {:.0f} ({:.3f} "
       "bits a weight), {} of them for what is not fitted",
       limit, smallest, 8 * smallest / static_cast<double>(weights), overhead);
}

// As if all layers took as few bits a weight as the largest can, without any inputs: smaller ones
// have more beside their weights.
void NetworkCompressor::State::refuse_early(uint64_t limit) const {
  constexpr double kSure = 0.9;
  size_t largest = 0;
  uint64_t most_weights = 0, all = 0;
  for (size_t i = 0; i < fitted.size(); ++i) {
    if (!fitted[i]) continue;
    const uint64_t size = network.layers()[i].weight->shape().size();
    all += size;
    if (size <= most_weights) continue;
    most_weights = size;
    largest = i;
  }
  const form::Matrix w = network.decoded(largest);
  double least = std::numeric_limits<double>::infinity();
  for (const LayerForm& c : options.candidates) {
    const fit::Fitter& fitter = c.trial ? c.trial : c.fitter;
    least = std::min(least, bytes_of(*try_form(c, fitter, task(largest, w, {})).form));
  }
  const double each = least / static_cast<double>(most_weights);
  const double smallest = static_cast<double>(overhead) + each * static_cast<double>(all);
  if (kSure * smallest > static_cast<double>(limit)) refuse(limit, smallest);
}

NetworkCompressor::State::Table NetworkCompressor::State::table() const {
  Table t;
  t.problem.resources = {"bytes"};
  const Progress progress = stage("trying forms");
  const auto all = static_cast<uint64_t>(std::ranges::count(fitted, true));
  visit_moments(network, options.inputs, fitted, threads, [&](size_t i, const fit::Metric& metric) {
    const form::Matrix w = network.decoded(i);
    std::vector<Tried> tried;
    for (const LayerForm& c : options.candidates) {
      tried.push_back(try_form(c, c.trial ? c.trial : c.fitter, task(i, w, metric)));
    }
    t.layers.push_back(i);
    t.tried.push_back(std::move(tried));
    report(progress, t.layers.size(), all);
  });
  weigh(t);
  for (size_t k = 0; k < t.layers.size(); ++k) {
    budget::Part part{.name = stored[t.layers[k]].tensor, .candidates = {}};
    for (size_t j = 0; j < t.tried[k].size(); ++j) {
      const Tried& tried = t.tried[k][j];
      part.candidates.push_back(
          {options.candidates[j].name, t.part[k] * tried.error, {bytes_of(*tried.form)}});
    }
    t.problem.parts.push_back(std::move(part));
  }
  return t;
}

// What an error of a layer's outputs does to those of the network: measured with the candidate
// that errs most, alone in the network.
void NetworkCompressor::State::weigh(Table& t) const {
  const Progress progress = stage("weighing layers");
  const std::vector<Tensor> some = first_samples(file, options.inputs, kSamples);
  std::vector<Tensor> outputs;
  if (!some.empty()) outputs = network.run(some, {.threads = threads});
  for (size_t k = 0; k < t.layers.size(); ++k) {
    const size_t layer = t.layers[k];
    const form::Matrix w = network.decoded(layer);
    if (some.empty()) {
      const double all = squares(w.view());
      t.part.push_back(all > 0 ? 1 / all : 1);
      continue;
    }
    const Tried& worst = *std::ranges::max_element(t.tried[k], {}, &Tried::error);
    double part = 0;
    if (worst.error > 0) {
      const Network changed = with({{layer, worst.form}});
      part = output_error(changed.run(some, {.threads = threads}), outputs) / worst.error;
    }
    t.part.push_back(std::isfinite(part) ? part : 0);
    report(progress, k + 1, t.layers.size());
  }
}

double NetworkCompressor::State::loss_of(const Table& t, std::span<const size_t> chosen) const {
  LayerForms forms;
  for (size_t k = 0; k < chosen.size(); ++k) {
    if (chosen[k] < t.tried[k].size()) forms[t.layers[k]] = t.tried[k][chosen[k]].form;
  }
  const std::vector<Tensor> some = first_samples(file, options.inputs, kSamples);
  const double error = output_error(with(forms).run(some, {.threads = threads}),
                                    network.run(some, {.threads = threads}));
  return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

std::vector<size_t> NetworkCompressor::State::choose(const Table& t, double room,
                                                     std::string& note) const {
  budget::Goal goal;
  if (std::isfinite(room)) goal.within.push_back({"bytes", room});
  if (!options.choose) {
    budget::Solution s = budget::solve(t.problem, goal);
    if (!s.optimal()) note = s.note;
    return s.chosen;
  }
  LayerChoosing c{.problem = t.problem,
                  .goal = goal,
                  .squared = [&](size_t k, size_t j) { return t.tried.at(k).at(j).squared; },
                  .outputs = {},
                  .threads = threads,
                  .progress = stage("choosing"),
                  .note = [&](std::string_view text) { note = text; }};
  if (!options.inputs.empty()) {
    c.outputs = [&](std::span<const size_t> chosen, uint64_t, uint64_t) {
      return loss_of(t, chosen);
    };
  }
  return options.choose(c);
}

// With what a candidate's trial stood for.
NetworkCompressor::State::LayerForms NetworkCompressor::State::fit_chosen(
    const Table& t, std::span<const size_t> chosen, std::vector<std::string>& refused) const {
  LayerForms forms;
  std::vector<bool> again(fitted.size(), false);
  std::map<size_t, const LayerForm*> by_layer;
  for (size_t k = 0; k < chosen.size(); ++k) {
    const Tried& tried = t.tried[k].at(chosen[k]);
    const LayerForm& candidate = options.candidates[chosen[k]];
    if (!tried.refusal.empty()) {
      refused.push_back(fmt::format("{}: {}", stored[t.layers[k]].tensor, tried.refusal));
    } else if (candidate.trial) {
      again[t.layers[k]] = true;
      by_layer[t.layers[k]] = &candidate;
    } else {
      forms[t.layers[k]] = tried.form;
    }
  }
  if (by_layer.empty()) return forms;
  const Progress progress = stage("fitting");
  uint64_t done = 0;
  visit_moments(network, options.inputs, again, threads, [&](size_t i, const fit::Metric& metric) {
    const form::Matrix w = network.decoded(i);
    const LayerForm& c = *by_layer.at(i);
    Tried tried = try_form(c, c.fitter, task(i, w, metric));
    if (tried.refusal.empty()) forms[i] = std::move(tried.form);
    report(progress, ++done, by_layer.size());
  });
  return forms;
}

// In floats, as an archive's network runs once it is decompressed.
Network NetworkCompressor::State::with(const LayerForms& forms) const {
  Network out = network;
  for (const auto& [layer, form] : forms) {
    const form::FormPtr plain = exact(form::decode(*form).view());
    for (size_t i = 0; i < out.layers().size(); ++i) {
      const bool same = stored[i].tensor == stored[layer].tensor &&
                        stored[i].turned == stored[layer].turned &&
                        out.layers()[i].weight->shape() == plain->shape();
      if (same) out.set_form(i, plain);
    }
  }
  return out;
}

CompressedNetwork NetworkCompressor::State::made_of(const LayerForms& forms) const {
  CompressedNetwork made;
  made.left = left;
  made.overhead = overhead;
  made.weights = weights;
  made.bytes = static_cast<double>(overhead);
  for (size_t i = 0; i < fitted.size(); ++i) {
    if (!fitted[i]) continue;
    const auto at = forms.find(i);
    const form::Matrix w = network.decoded(i);
    // As it is, for a limit to count it.
    const form::FormPtr form = at == forms.end() ? exact(w.view()) : at->second;
    const double bytes = bytes_of(*form), all = squares(w.view());
    const auto elements = w.shape.size();
    made.bytes += bytes;
    made.layers.push_back({stored[i].tensor,
                           at == forms.end() ? "as it is" : form::to_string(form->expression()),
                           elements, 8 * bytes / static_cast<double>(elements),
                           all > 0 ? squared_error(w.view(), *form) / all : 0});
    if (at != forms.end()) made.tensors[stored[i].tensor] = as_stored(stored[i], form);
  }
  return made;
}

void NetworkCompressor::State::finish(CompressedNetwork& made, const Network* compressed) const {
  if (options.inputs.empty() || !compressed) return;
  made.error = output_error(compressed->run(options.inputs, {.threads = threads}), wanted);
}

CompressedNetwork NetworkCompressor::State::alone() const {
  const LayerForm& c = options.candidates[0];
  LayerForms forms;
  std::vector<std::string> refused;
  const Progress progress = stage("fitting");
  const auto all = static_cast<uint64_t>(std::ranges::count(fitted, true));
  uint64_t done = 0;
  visit_moments(network, options.inputs, fitted, threads, [&](size_t i, const fit::Metric& metric) {
    const form::Matrix w = network.decoded(i);
    Tried tried = try_form(c, c.fitter, task(i, w, metric));
    if (tried.refusal.empty()) {
      forms[i] = std::move(tried.form);
    } else {
      refused.push_back(fmt::format("{}: {}", stored[i].tensor, tried.refusal));
    }
    report(progress, ++done, all);
  });
  if (forms.empty()) fail(ErrorKind::kUsage, "it takes none of the layers: {}", refused.front());
  CompressedNetwork made = made_of(forms);
  std::ranges::move(refused, std::back_inserter(made.left));
  const Network small = with(forms);
  finish(made, &small);
  return made;
}

// What was expected of a trial is known no better than that: where it was more, less is allowed.
CompressedNetwork NetworkCompressor::State::within(uint64_t limit) const {
  const bool limited = limit < uint64_t{1} << 62;
  if (limited) refuse_early(limit);
  const Table t = table();
  double smallest = static_cast<double>(overhead);
  if (limited) {
    smallest += budget::smallest(t.problem, "bytes");
    if (smallest > static_cast<double>(limit)) refuse(limit, smallest);
  }
  double room = limited ? static_cast<double>(limit) - static_cast<double>(overhead)
                        : std::numeric_limits<double>::infinity();
  for (int i = 1;; ++i) {
    std::string note;
    const std::vector<size_t> chosen = choose(t, room, note);
    std::vector<std::string> refused;
    const LayerForms forms = fit_chosen(t, chosen, refused);
    CompressedNetwork made = made_of(forms);
    const double beyond = made.bytes - static_cast<double>(limit);
    if (limited && beyond > 0) {
      if (i == kTries) refuse(limit, made.bytes);
      room = std::max(room - beyond - 1, smallest - static_cast<double>(overhead));
      continue;
    }
    made.note = std::move(note);
    std::ranges::move(refused, std::back_inserter(made.left));
    const Network small = with(forms);
    finish(made, &small);
    return made;
  }
}

// The network that a file with these tensors holds.
Network NetworkCompressor::State::stored_network(const TensorForms& tensors) const {
  io::OnnxGraph changed = file;
  const auto change = [&](io::OnnxTensor& t) {
    const auto at = tensors.find(t.name);
    if (at == tensors.end()) return;
    const form::Matrix m = form::decode(*at->second);
    Bytes bytes(m.values.size() * sizeof(float));
    elements_from(m.values, DType::kF32, false, bytes);
    t.dtype = DType::kF32;
    t.data = Buffer(std::move(bytes));
  };
  for (io::OnnxTensor& t : changed.initializers) change(t);
  for (io::OnnxNode& node : changed.nodes) {
    if (node.op != "Constant" || node.outputs.empty()) continue;
    const auto value = node.attributes.find("value");
    if (value == node.attributes.end()) continue;
    value->second.tensor.name = node.outputs[0];
    change(value->second.tensor);
  }
  return Network(graph_of(changed));
}

// What joining counts beforehand leaves out what frames take: where that was too much, less is
// allowed.
CompressedNetwork NetworkCompressor::State::joined(const NetworkLimits& limits) const {
  const auto limit = static_cast<double>(most(limits));
  double room = limit - static_cast<double>(overhead);
  for (int i = 1;; ++i) {
    CompressedNetwork made = joined_within(limits.any() ? std::optional(room) : std::nullopt);
    if (!limits.any() || made.bytes <= limit) {
      const Network small = stored_network(made.tensors);
      finish(made, &small);
      return made;
    }
    if (i == kTries) refuse(most(limits), made.bytes);
    room -= made.bytes - limit + 1;
  }
}

CompressedNetwork NetworkCompressor::State::joined_within(std::optional<double> room) const {
  CompressedNetwork made;
  made.overhead = overhead;
  made.weights = weights;
  made.left = left;
  made.tensors =
      options.join({.network = network,
                    .stored = stored,
                    .inputs = options.inputs,
                    .fitted = fitted,
                    .has_tensor = [&](std::string_view name) { return floats.contains(name); },
                    .bytes = room,
                    .threads = threads,
                    .progress = stage("fitting"),
                    .note = [&](std::string_view text) { made.note = text; }});
  made.bytes = static_cast<double>(overhead);
  for (size_t i = 0; i < fitted.size(); ++i) {
    if (!fitted[i]) continue;
    const auto at = made.tensors.find(stored[i].tensor);
    const form::Matrix w = network.decoded(i);
    const form::FormPtr form =
        at == made.tensors.end() ? as_stored(stored[i], exact(w.view())) : at->second;
    const double bytes = bytes_of(*form);
    made.bytes += bytes;
    // Rows of queries and keys may be turned into others that do the same together.
    made.layers.push_back(
        {stored[i].tensor,
         at == made.tensors.end() ? "as it is" : form::to_string(form->expression()),
         w.shape.size(), 8 * bytes / static_cast<double>(w.shape.size()),
         std::numeric_limits<double>::quiet_NaN()});
  }
  for (const auto& [name, form] : made.tensors) {
    const auto known = std::ranges::find(made.layers, name, &FittedLayer::tensor);
    if (known == made.layers.end()) made.bytes += bytes_of(*form) + 64;
  }
  return made;
}

NetworkCompressor::NetworkCompressor(const io::OnnxGraph& file,
                                     std::vector<archive::Input> archive_inputs,
                                     CompressNetworkOptions options)
    : state_(std::make_unique<State>(file, std::move(archive_inputs), std::move(options))) {}

NetworkCompressor::~NetworkCompressor() = default;

CompressedNetwork NetworkCompressor::compress(const NetworkLimits& limits) const {
  const CompressNetworkOptions& o = state_->options;
  if (o.join) return state_->joined(limits);
  if (o.candidates.empty()) fail(ErrorKind::kUsage, "there are no forms to choose from");
  const bool chooses = o.candidates.size() > 1 || o.choose;
  if (chooses && !limits.any() && !o.has_limit) {
    fail(ErrorKind::kUsage, "several forms to choose from need a limit, as --bits 4");
  }
  if (chooses) return state_->within(state_->most(limits));
  CompressedNetwork made = state_->alone();
  const uint64_t limit = state_->most(limits);
  if (made.bytes > static_cast<double>(limit)) state_->refuse(limit, made.bytes);
  return made;
}

void NetworkCompressor::store(const CompressedNetwork& compressed,
                              archive::WriteOptions& write) const {
  write.fitted = [tensors = compressed.tensors](std::string_view,
                                                const io::TensorRegion& t) -> form::FormPtr {
    const auto at = tensors.find(t.name);
    return at == tensors.end() ? nullptr : at->second;
  };
}

uint64_t NetworkCompressor::input_bytes() const { return state_->input_bytes; }

}  // namespace pith::network
