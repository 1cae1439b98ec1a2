// Texts that are read each by itself before a prompt: --passage of `run`.
#include <algorithm>

#include "message.h"
#include "options.h"
#include "pith/base/file.h"
#include "run.h"
#include "signals.h"

namespace pith::command {

void add_passages(CLI::App* c, PassageArguments& a) {
  CLI::Option* files = add_repeatable(
      c, "--passage", a.files, "read by itself before the prompt, which sees all of them", "FILE");
  c->add_option("--passage-prefix", a.prefix, "what each of them is read behind")
      ->needs(files)
      ->type_name("TEXT");
  c->add_option("--passage-temperature", a.options.temperature,
                "scores of their tokens are divided by it")
      ->needs(files)
      ->type_name("X")
      ->capture_default_str();
  c->add_option("--passage-scale", a.options.scale,
                "power of what all of them get together: below 1, less the more they are")
      ->needs(files)
      ->type_name("X")
      ->capture_default_str();
}

void check_passages(const RunArguments& a, const Runner& runner) {
  if (a.passages.files.empty()) return;
  if (runner.chat)
    fail(ErrorKind::kUsage, "--passage is for texts that are continued: give --no-chat");
  if (a.has_ids || a.truncate)
    fail(ErrorKind::kUsage, "--passage does not go with --ids and --truncate");
}

std::vector<int32_t> Passages::all() const {
  std::vector<int32_t> ids = prefix;
  for (const auto& text : texts) ids.insert(ids.end(), text.begin(), text.end());
  return ids;
}

Passages read_passages(const PassageArguments& a, const Runner& runner) {
  Passages out;
  if (a.files.empty()) return out;
  out.prefix = model::text_ids(runner.model, a.prefix);
  for (const std::string& file : a.files) {
    const Bytes text = read_file(file);
    out.texts.push_back(model::text_ids(runner.model,
                                        {reinterpret_cast<const char*>(text.data()), text.size()},
                                        {.add_bos = false}));
    if (out.texts.back().empty()) fail(ErrorKind::kData, "{}: nothing to read", file);
  }
  return out;
}

void join_passages(const RunArguments& a, Runner& runner, const Passages& passages,
                   model::Session& session) {
  if (passages.texts.empty()) return;
  // Of the same capacity, on which rotations may depend.
  model::Session reader(runner.model, session.capacity(), a.threads, session.needed_bytes());
  reader.feed(passages.prefix, model::Logits::kNone);
  const uint64_t before = reader.position();
  session.adopt(reader.keys_values(0, before));
  std::vector<kv::Arrays> contexts;
  const Progress go = [](uint64_t, uint64_t) { return !interrupted(); };
  for (const auto& text : passages.texts) {
    reader.rewind(before);
    std::vector<int32_t> ids = passages.prefix;
    ids.insert(ids.end(), text.begin(), text.end());
    if (runner.store) runner.store->read(reader, ids, {}, go);
    reader.feed(std::span(ids).subspan(reader.position()), model::Logits::kNone);
    if (runner.store) {
      runner.store->push(reader, ids, go);
      runner.used += runner.store->use();
    }
    contexts.push_back(reader.keys_values(before, text.size()));
  }
  session.join(contexts, a.passages.options);
}

}  // namespace pith::command
