#include "pith/model/generate.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <set>

#include "stop_texts.h"

namespace pith::model {
namespace {

// Between two looks at whether to stop while a prompt is read.
constexpr size_t kPromptPiece = 512;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

form::MatrixView read_prompt(Session& session, std::span<const int32_t> prompt,
                             const Progress& progress) {
  const size_t total = prompt.size();
  for (; prompt.size() > kPromptPiece; prompt = prompt.subspan(kPromptPiece)) {
    report(progress, total - prompt.size(), total);
    session.feed(prompt.first(kPromptPiece), Logits::kNone);
  }
  report(progress, total - prompt.size(), total);
  return session.feed(prompt, Logits::kLast);
}

SamplerOptions sampler_options(const GenerateOptions& options, const std::vector<int32_t>& ends) {
  SamplerOptions sampler = options.sampler;
  if (!options.ignore_end) return sampler;
  for (const int32_t id : ends) {
    sampler.logit_bias.emplace_back(id, -std::numeric_limits<double>::infinity());
  }
  return sampler;
}

// Ids to text, for models that have a tokenizer.
class Text {
 public:
  Text(const Tokenizer* tokenizer, const GenerateOptions& options) : stops_(options.stops) {
    if (tokenizer) decoder_.emplace(*tokenizer, DecodeOptions{.continues = options.continues});
  }
  std::string push(int32_t id) { return decoder_ ? stops_.push(decoder_->push(id)) : ""; }
  std::string finish() {
    if (!decoder_ || stops_.found()) return "";
    std::string rest = stops_.push(decoder_->finish());
    return rest + stops_.finish();
  }
  bool stopped() const { return stops_.found(); }

 private:
  std::optional<StreamDecoder> decoder_;
  StopTexts stops_;
};

int32_t draw(Sampler& sampler, std::span<const float> logits, const LanguageModel& model) {
  try {
    return sampler.sample(logits);
  } catch (const Error& error) {
    throw error.in(model.where());
  }
}

}  // namespace

std::string_view name(Stop stop) {
  switch (stop) {
    case Stop::kEnd:
      return "end";
    case Stop::kLength:
      return "length";
    case Stop::kText:
      return "stop";
    case Stop::kContext:
      return "context";
    case Stop::kAsked:
      break;
  }
  return "interrupted";
}

std::vector<int32_t> end_tokens(const LanguageModel& model) {
  std::set<int32_t> ends(model.config().eos.begin(), model.config().eos.end());
  if (const Tokenizer* tokenizer = model.tokenizer()) {
    if (tokenizer->eos()) ends.insert(*tokenizer->eos());
    for (const std::string_view piece : {"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>",
                                         "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>"}) {
      const auto id = tokenizer->find(piece);
      if (id && tokenizer->kind(*id) == PieceKind::kControl) ends.insert(*id);
    }
  }
  const auto vocabulary = static_cast<int64_t>(model.config().vocabulary);
  std::erase_if(ends, [&](int32_t id) { return id < 0 || id >= vocabulary; });
  return {ends.begin(), ends.end()};
}

Generated generate(Session& session, std::span<const int32_t> prompt,
                   const GenerateOptions& options,
                   const std::function<bool(std::string_view, int32_t)>& write) {
  if (prompt.empty()) fail(ErrorKind::kUsage, "the prompt is empty");
  const Tokenizer* tokenizer = session.model().tokenizer();
  const std::vector<int32_t> ends = end_tokens(session.model());
  // Padding of the vocabulary has no text.
  uint64_t drawable = session.model().config().vocabulary;
  if (tokenizer) drawable = std::min(drawable, static_cast<uint64_t>(tokenizer->size()));
  Sampler sampler(sampler_options(options, ends));
  Text text(tokenizer, options);
  Generated out;
  out.prompt_tokens = prompt.size();
  const auto begin = std::chrono::steady_clock::now();
  form::MatrixView logits = read_prompt(session, prompt, options.progress);
  out.prompt_seconds = seconds_since(begin);
  sampler.accept(prompt);
  const auto start = std::chrono::steady_clock::now();
  out.stop = Stop::kLength;
  while (options.max_tokens == 0 || out.ids.size() < options.max_tokens) {
    const int32_t id = draw(sampler, logits.row(0).first(drawable), session.model());
    sampler.accept({&id, 1});
    if (!options.ignore_end && std::binary_search(ends.begin(), ends.end(), id)) {
      out.stop = Stop::kEnd;
      break;
    }
    out.ids.push_back(id);
    const std::string part = text.push(id);
    out.text += part;
    const bool goes_on = write(part, id);
    if (text.stopped() || !goes_on || session.position() == session.capacity()) {
      out.stop = text.stopped() ? Stop::kText : !goes_on ? Stop::kAsked : Stop::kContext;
      break;
    }
    if (out.ids.size() == options.max_tokens) break;
    logits = session.feed({&id, 1}, Logits::kLast);
    ++out.steps;
  }
  out.seconds = seconds_since(start);
  const std::string rest = text.finish();
  out.text += rest;
  if (!rest.empty()) write(rest, -1);
  return out;
}

}  // namespace pith::model
