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

int32_t sample(Sampler& sampler, std::span<const float> logits, const LanguageModel& model) {
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

struct Generation::State {
  State(Session& of, const GenerateOptions& o)
      : session(of),
        ends(end_tokens(of.model())),
        ignore_end(o.ignore_end),
        max_tokens(o.max_tokens),
        drawable(of.model().config().vocabulary),
        sampler(sampler_options(o, ends)),
        text(of.model().tokenizer(), o) {
    // Padding of the vocabulary has no text.
    const Tokenizer* tokenizer = of.model().tokenizer();
    if (tokenizer) drawable = std::min(drawable, static_cast<uint64_t>(tokenizer->size()));
  }

  void read(std::span<const int32_t> prompt, uint64_t before, const Progress& progress) {
    out.prompt_tokens = prompt.size() - before;
    const auto begin = std::chrono::steady_clock::now();
    logits = read_prompt(session, prompt.subspan(before), progress);
    out.prompt_seconds = seconds_since(begin);
    sampler.accept(prompt);
    start = std::chrono::steady_clock::now();
  }

  // Nothing: the text is at its end.
  std::optional<int32_t> draw() {
    if (unread) {
      logits = session.feed({&*unread, 1}, Logits::kLast);
      unread.reset();
      ++out.steps;
    }
    const int32_t id = sample(sampler, logits.row(0).first(drawable), session.model());
    sampler.accept({&id, 1});
    if (!ignore_end && std::binary_search(ends.begin(), ends.end(), id)) {
      end(Stop::kEnd);
      return std::nullopt;
    }
    out.ids.push_back(id);
    unread = id;
    return id;
  }

  void end(Stop why) {
    out.stop = why;
    ended = true;
  }

  std::optional<Part> next() {
    if (ended) return rest();
    const auto id = draw();
    if (!id) {
      out.seconds = seconds_since(start);
      return rest();
    }
    Part part{text.push(*id), *id};
    out.text += part.text;
    if (text.stopped()) {
      end(Stop::kText);
    } else if (session.position() == session.capacity()) {
      end(Stop::kContext);
    } else if (out.ids.size() == max_tokens) {
      end(Stop::kLength);
    }
    out.seconds = seconds_since(start);
    return part;
  }

  std::optional<Part> rest() {
    Part part{finished ? "" : text.finish(), -1};
    finished = true;
    out.text += part.text;
    if (part.text.empty()) return std::nullopt;
    return part;
  }

  Session& session;
  std::vector<int32_t> ends;
  bool ignore_end;
  uint64_t max_tokens, drawable;
  Sampler sampler;
  Text text;
  form::MatrixView logits = {};
  std::optional<int32_t> unread = {};  // drawn, and the session has not read it
  bool ended = false, finished = false;
  std::chrono::steady_clock::time_point start = {};
  Generated out = {};
};

Generation::Generation(Session& session, std::span<const int32_t> prompt,
                       const GenerateOptions& options) {
  if (prompt.size() <= options.read) fail(ErrorKind::kUsage, "the prompt is empty");
  state_ = std::make_unique<State>(session, options);
  state_->read(prompt, options.read, options.progress);
}
Generation::~Generation() = default;
Generation::Generation(Generation&&) noexcept = default;
Generation& Generation::operator=(Generation&&) noexcept = default;

std::optional<Generation::Part> Generation::next() { return state_->next(); }
const Generated& Generation::written() const { return state_->out; }

void Generation::stop() {
  if (!state_->ended) state_->end(Stop::kAsked);
}

Generated generate(Session& session, std::span<const int32_t> prompt,
                   const GenerateOptions& options,
                   const std::function<bool(std::string_view, int32_t)>& write) {
  Generation generation(session, prompt, options);
  while (const auto part = generation.next()) {
    if (!write(part->text, part->id)) generation.stop();
  }
  return generation.written();
}

}  // namespace pith::model
