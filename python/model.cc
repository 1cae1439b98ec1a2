// Language models: tokens, logits, text.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cstring>
#include <mutex>

#include "bindings.h"
#include "buffers.h"
#include "interruptible.h"
#include "pith/audit/evaluate_text.h"
#include "pith/model/generate.h"
#include "pith/model/prompt.h"

namespace pith::python {
namespace {

namespace py = pybind11;
using model::LanguageModel;
using model::Session;

// Between two looks at whether to stop.
constexpr size_t kPiece = 512;

// What Python made as int32.
std::vector<int32_t> ids_of(const py::object& data) {
  const Buffer buffer(data);
  std::vector<int32_t> ids(buffer.bytes().size() / sizeof(int32_t));
  std::memcpy(ids.data(), buffer.bytes().data(), ids.size() * sizeof(int32_t));
  return ids;
}

LanguageModel load(const std::filesystem::path& path, std::optional<uint64_t> memory_limit) {
  py::gil_scoped_release unlocked;
  return model::load_model(path, {.memory_limit = memory_limit});
}

py::dict config(const LanguageModel& m) {
  const model::DecoderConfig& c = m.config();
  using py::literals::operator""_a;
  return py::dict("architecture"_a = model::hf_name(c.architecture), "name"_a = c.name,
                  "vocabulary"_a = c.vocabulary, "context"_a = c.context, "layers"_a = c.layers,
                  "width"_a = c.width, "heads"_a = c.heads, "kv_heads"_a = c.kv_heads,
                  "head_size"_a = c.head_size, "feed_forward"_a = c.feed_forward,
                  "experts"_a = c.experts, "experts_per_token"_a = c.experts_per_token,
                  "tied_embeddings"_a = c.tied_embeddings, "rope_base"_a = c.rope_base,
                  "norm_eps"_a = c.norm_eps, "bos"_a = c.bos,
                  "end_tokens"_a = py::tuple(py::cast(model::end_tokens(m))));
}

// None: there is no tokenizer, or it has no template.
py::object chat_template(const LanguageModel& m) {
  if (!m.tokenizer() || m.tokenizer()->chat_template().empty()) return py::none();
  return py::bytes(m.tokenizer()->chat_template());
}

std::vector<int32_t> encode(const LanguageModel& m, const std::string& text,
                            std::optional<bool> bos, bool special) {
  py::gil_scoped_release unlocked;
  return model::text_ids(m, text, {.add_bos = bos, .parse_special = special});
}

py::bytes decode(const LanguageModel& m, const py::object& ids, bool special, bool continues) {
  return model::tokenizer_of(m).decode(ids_of(ids),
                                       {.show_special = special, .continues = continues});
}

py::bytes chat_text(const LanguageModel& m,
                    const std::vector<std::pair<std::string, std::string>>& messages,
                    bool add_generation_prompt) {
  std::vector<model::ChatMessage> talk;
  for (const auto& [role, content] : messages) talk.push_back({role, content});
  return [&] {
    py::gil_scoped_release unlocked;
    const auto chat = model::chat_template_of(m);
    if (!chat) fail(ErrorKind::kUsage, "{}: the model has no chat template", m.where());
    return model::chat_text(m, *chat, talk, add_generation_prompt);
  }();
}

std::vector<int32_t> chat_ids(const LanguageModel& m, const std::string& text) {
  return model::chat_ids(m, text);
}

// `out` has a row for each id, or one for the last.
void logits(const LanguageModel& m, const py::object& ids, const py::object& out, bool last,
            uint64_t context, int threads) {
  std::vector<int32_t> all = ids_of(ids);
  const Buffer to(out, true);
  const uint64_t row = m.config().vocabulary * sizeof(float);
  if (to.bytes().size() != checked_mul(last ? 1 : all.size(), row)) {
    fail(ErrorKind::kUsage, "{} bytes are not what the logits need", to.bytes().size());
  }
  interruptible(py::none(), [&](const Progress& progress) {
    Session session(m, model::fit_prompt(m.config(), all, {context, 1, false}), threads);
    for (size_t at = 0; at < all.size(); at += kPiece) {
      report(progress, at, all.size());
      const auto piece = std::span(all).subspan(at, std::min(kPiece, all.size() - at));
      const bool end = at + piece.size() == all.size();
      const auto found = session.feed(piece, !last ? model::Logits::kAll
                                             : end ? model::Logits::kLast
                                                   : model::Logits::kNone);
      if (last && !end) continue;
      std::memcpy(to.writable().data() + (last ? 0 : at * row), found.data, found.shape.rows * row);
    }
    return true;
  });
}

// A text that is being written, with all that it needs.
struct Writing {
  Writing(const LanguageModel& m, std::vector<int32_t> ids, const model::RoomOptions& room,
          const model::GenerateOptions& options, int threads)
      : prompt(std::move(ids)),
        session(m, model::fit_prompt(m.config(), prompt, room), threads),
        generation(session, prompt, options) {}

  std::vector<int32_t> prompt;
  Session session;
  model::Generation generation;
  std::mutex mutex;  // one thread at a time
};

std::unique_ptr<Writing> write(const LanguageModel& m, const py::object& prompt, bool continues,
                               const model::SamplerOptions& sampler, uint64_t max_tokens,
                               const std::vector<std::string>& stops, bool ignore_eos,
                               uint64_t context, bool truncate, int threads,
                               const py::object& progress) {
  std::vector<int32_t> ids = ids_of(prompt);
  model::GenerateOptions options{.sampler = sampler,
                                 .max_tokens = max_tokens,
                                 .ignore_end = ignore_eos,
                                 .stops = stops,
                                 .continues = continues};
  return interruptible(progress, [&](const Progress& p) {
    options.progress = p;
    return std::make_unique<Writing>(
        m, std::move(ids), model::RoomOptions{context, max_tokens, truncate}, options, threads);
  });
}

// The next piece of text, or None at the end.
std::optional<std::string> next(Writing& w) {
  py::gil_scoped_release unlocked;
  const std::lock_guard lock(w.mutex);
  auto part = w.generation.next();
  if (!part) return std::nullopt;
  return std::move(part->text);
}

void stop(Writing& w) {
  py::gil_scoped_release unlocked;
  const std::lock_guard lock(w.mutex);
  w.generation.stop();
}

py::tuple written(Writing& w) {
  model::Generated g;
  {
    py::gil_scoped_release unlocked;
    const std::lock_guard lock(w.mutex);
    g = w.generation.written();
  }
  return py::make_tuple(g.text, g.ids, model::name(g.stop), w.prompt, g.prompt_seconds, g.seconds,
                        g.steps);
}

py::tuple measured(const audit::Measured& m) {
  std::optional<std::pair<double, double>> interval;
  if (m.interval) interval = {m.interval->low, m.interval->high};
  return py::make_tuple(m.mean, m.window_error, m.token_error, interval);
}

py::object divergence(const audit::Evaluation& e) {
  if (!e.divergence) return py::none();
  const audit::Divergence& d = *e.divergence;
  return py::make_tuple(measured(e.reference->loss), measured(d.kl), d.median, d.p99, d.p999, d.max,
                        measured(d.same_best), measured(d.loss_difference));
}

py::tuple evaluate(const LanguageModel& m, const std::string& text, const LanguageModel* against,
                   uint64_t context, uint64_t stride, uint64_t skip_first, uint64_t windows,
                   std::optional<bool> bos, int threads, const py::object& progress) {
  audit::PerplexityOptions options{.context = context,
                                   .stride = stride,
                                   .skip_first = skip_first,
                                   .max_windows = windows,
                                   .changed = 0,
                                   .threads = threads};
  const audit::Evaluation e = interruptible(progress, [&](const Progress& p) {
    options.progress = p;
    return audit::evaluate_text(m, text, options, bos, against).evaluation;
  });
  return py::make_tuple(measured(e.model.loss), e.tokens, e.scored, e.windows, e.context, e.bos,
                        divergence(e));
}

void bind_sampler(py::module_& m) {
  using model::SamplerOptions;
  py::class_<SamplerOptions>(m, "SamplerOptions")
      .def(py::init<>())
      .def_readwrite("temperature", &SamplerOptions::temperature)
      .def_readwrite("top_k", &SamplerOptions::top_k)
      .def_readwrite("typical", &SamplerOptions::typical)
      .def_readwrite("top_p", &SamplerOptions::top_p)
      .def_readwrite("min_p", &SamplerOptions::min_p)
      .def_readwrite("repeat_penalty", &SamplerOptions::repeat_penalty)
      .def_readwrite("frequency_penalty", &SamplerOptions::frequency_penalty)
      .def_readwrite("presence_penalty", &SamplerOptions::presence_penalty)
      .def_readwrite("penalty_window", &SamplerOptions::penalty_window)
      .def_readwrite("logit_bias", &SamplerOptions::logit_bias)
      .def_readwrite("seed", &SamplerOptions::seed);
}

}  // namespace

void bind_model(py::module_& m) {
  bind_sampler(m);
  py::class_<LanguageModel>(m, "Model")
      .def_static("load", &load, py::arg("path"), py::arg("memory_limit"))
      .def("config", &config)
      .def("where", [](const LanguageModel& model) { return py::bytes(model.where()); })
      .def("weight_bytes", &LanguageModel::weight_bytes)
      .def("has_tokenizer", [](const LanguageModel& model) { return model.tokenizer() != nullptr; })
      .def("chat_template", &chat_template)
      .def("encode", &encode, py::arg("text"), py::arg("bos"), py::arg("special"))
      .def("decode", &decode, py::arg("ids"), py::arg("special"), py::arg("continues"))
      .def("chat_text", &chat_text, py::arg("messages"), py::arg("add_generation_prompt"))
      .def("chat_ids", &chat_ids, py::arg("text"))
      .def("logits", &logits, py::arg("ids"), py::arg("out"), py::arg("last"), py::arg("context"),
           py::arg("threads"))
      .def("write", &write, py::arg("prompt"), py::arg("continues"), py::arg("sampler"),
           py::arg("max_tokens"), py::arg("stops"), py::arg("ignore_eos"), py::arg("context"),
           py::arg("truncate"), py::arg("threads"), py::arg("progress"))
      .def("evaluate", &evaluate, py::arg("text"), py::arg("against"), py::arg("context"),
           py::arg("stride"), py::arg("skip_first"), py::arg("windows"), py::arg("bos"),
           py::arg("threads"), py::arg("progress"));
  py::class_<Writing>(m, "Writing").def("next", &next).def("stop", &stop).def("written", &written);
}

}  // namespace pith::python
