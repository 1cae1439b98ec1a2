#include "pith/model/load_tokenizer.h"

#include "pith/base/error.h"
#include "pith/base/file.h"
#include "sentencepiece_model.h"
#include "tokenizer_json.h"
#include "tokenizer_settings.h"

namespace pith::model {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{512} << 20;  // the largest known have 35 MB

// What `make` returns, with errors that name the file.
template <class Make>
auto in_file(std::string_view name, const Make& make) {
  try {
    return make();
  } catch (const Error& error) {
    throw error.in(name);
  }
}

std::unique_ptr<TokenizerModel> load_json(const std::filesystem::path& path,
                                          const TokenizerSettings& settings) {
  const Bytes file = read_file(path, kMaxBytes);
  return in_file(path.string(), [&] { return read_tokenizer_json(file, settings.add_bos); });
}

std::unique_ptr<TokenizerModel> load_sentencepiece(const std::filesystem::path& path,
                                                   const TokenizerSettings& settings) {
  const Bytes file = read_file(path, kMaxBytes);
  const bool legacy = settings.legacy.value_or(true);
  auto model = in_file(path.string(), [&] { return read_sentencepiece(file, legacy); });
  model->adds_bos = settings.add_bos.value_or(model->adds_bos);
  return model;
}

}  // namespace

Tokenizer load_tokenizer(const std::filesystem::path& directory) {
  const TokenizerSettings settings = read_settings(directory);
  const auto json = directory / "tokenizer.json", sentencepiece = directory / "tokenizer.model";
  const bool has_json = std::filesystem::exists(json);
  if (!has_json && !std::filesystem::exists(sentencepiece)) {
    fail(ErrorKind::kIo, "{}: there is no tokenizer.json and no tokenizer.model",
         directory.string());
  }
  auto model = has_json ? load_json(json, settings) : load_sentencepiece(sentencepiece, settings);
  return in_file(directory.string(), [&] {
    apply(settings, *model);
    model->adds_bos = model->adds_bos && model->bos.has_value();
    return Tokenizer(std::move(model));
  });
}

Tokenizer tokenizer_from_sentencepiece(ByteView file, std::string_view name) {
  return in_file(name, [&] { return Tokenizer(read_sentencepiece(file)); });
}

Tokenizer tokenizer_from_json(ByteView file, std::string_view name) {
  return in_file(name, [&] {
    auto model = read_tokenizer_json(file);
    model->adds_bos = model->adds_bos && model->bos.has_value();
    return Tokenizer(std::move(model));
  });
}

}  // namespace pith::model
