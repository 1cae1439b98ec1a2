// Text that a language model writes: the loop around a session, a sampler and a tokenizer.
//
//   Session session(model, 2048);
//   const auto written = generate(session, prompt_ids, {.max_tokens = 100},
//                                 [](std::string_view text, int32_t) { std::cout << text; return
//                                 true; });
//
// or, where the caller holds the loop:
//
//   Generation generation(session, prompt_ids, {.max_tokens = 100});
//   while (const auto part = generation.next()) std::cout << part->text;
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/progress.h"
#include "pith/model/sampler.h"
#include "pith/model/session.h"

namespace pith::model {

enum class Stop : uint8_t {
  kEnd,      // the model ended its text
  kLength,   // max_tokens are written
  kText,     // one of the stop texts came
  kContext,  // the session is full
  kAsked,    // the callback asked to stop
};
std::string_view name(Stop stop);  // "end", "length", "stop", "context", "interrupted"

struct GenerateOptions {
  SamplerOptions sampler = {};
  uint64_t max_tokens = 0;              // 0: until the model ends or the session is full
  bool ignore_end = false;              // the tokens that end a text are never drawn
  std::vector<std::string> stops = {};  // ends the text before the first of these; none is empty
  bool continues = true;   // the text goes on from the prompt: keep a space at its front
  Progress progress = {};  // over the prompt, in tokens
  uint64_t read = 0;       // of the prompt, so many tokens are what the session has read last
};

struct Generated {
  std::vector<int32_t> ids;  // without the one that ended the text
  std::string text;          // valid UTF-8; empty where the model has no tokenizer
  Stop stop = Stop::kEnd;
  uint64_t prompt_tokens = 0;              // that were read, not those that had been before
  double prompt_seconds = 0, seconds = 0;  // reading the prompt; writing
  // Of what was read when `seconds` began: tokens that went through the model, one at a time.
  uint64_t steps = 0;
};

// The ids that end a text: the model's and the tokenizer's eos, and control tokens that chat models
// end a turn with (<|eot_id|>, <|im_end|>, <end_of_turn>, …). In ascending order.
std::vector<int32_t> end_tokens(const LanguageModel& model);

// One text as it is written.
class Generation {
 public:
  // Reads the prompt behind what the session has read; the session outlives this. Throws
  // ErrorKind::kUsage for a prompt of which nothing is left to read and for an empty stop text,
  // kLimit for a prompt that leaves no room in the session, and what Session::feed and Sampler
  // throw.
  Generation(Session& session, std::span<const int32_t> prompt, const GenerateOptions& options);
  ~Generation();
  Generation(Generation&&) noexcept;
  Generation& operator=(Generation&&) noexcept;

  struct Part {
    std::string text;  // valid UTF-8, known not to belong to a stop text; may be empty
    int32_t id = -1;   // the token that was drawn; -1: none, this is what was held back at the end
  };
  // The next token's part; nothing when the text has ended.
  std::optional<Part> next();

  // Draws no further token: stop becomes Stop::kAsked, unless the text has ended by itself. next()
  // may still give what was held back.
  void stop();

  // What was written so far; `stop` is final when next() gives nothing.
  const Generated& written() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The whole text: `write` gets every part, and returns false to stop. Throws as Generation does.
Generated generate(Session& session, std::span<const int32_t> prompt,
                   const GenerateOptions& options,
                   const std::function<bool(std::string_view text, int32_t id)>& write);

}  // namespace pith::model
