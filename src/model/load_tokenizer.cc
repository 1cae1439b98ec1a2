#include "pith/model/load_tokenizer.h"

#include "pith/base/error.h"
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

std::unique_ptr<TokenizerModel> load_sentencepiece(ByteView file,
                                                   const TokenizerSettings& settings) {
  auto model = read_sentencepiece(file, settings.legacy.value_or(true));
  model->adds_bos = settings.add_bos.value_or(model->adds_bos);
  return model;
}

}  // namespace

Tokenizer load_tokenizer(const ModelFolder& folder) {
  const TokenizerSettings settings = read_settings(folder);
  std::string name = "tokenizer.json";
  auto file = folder.read(name, kMaxBytes);
  const bool json = file.has_value();
  if (!json) file = folder.read(name = "tokenizer.model", kMaxBytes);
  if (!file) {
    fail(ErrorKind::kIo, "{}: there is no tokenizer.json and no tokenizer.model", folder.where());
  }
  auto model = in_file(folder.where() + "/" + name, [&] {
    return json ? read_tokenizer_json(*file, settings.add_bos)
                : load_sentencepiece(*file, settings);
  });
  return in_file(folder.where(), [&] {
    apply(settings, *model);
    model->adds_bos = model->adds_bos && model->bos.has_value();
    return Tokenizer(std::move(model));
  });
}

Tokenizer load_tokenizer(const std::filesystem::path& directory) {
  return load_tokenizer(DiskFolder(directory));
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
