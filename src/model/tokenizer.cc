#include "pith/model/tokenizer.h"

#include "pith/base/error.h"
#include "tokenizer_model.h"

namespace pith::model {
namespace {

constexpr size_t kMaxText = size_t{1} << 30;  // symbols are counted in 32 bits

void check_id(const TokenizerModel& model, int32_t id) {
  if (!model.vocabulary.contains(id)) {
    fail(ErrorKind::kUsage, "there is no token {}: the vocabulary has {}", id,
         model.vocabulary.size());
  }
}

// A text's first word stands without the space that encode() put in front of it.
std::string_view without_prefix(std::string_view text) {
  return text.starts_with(' ') ? text.substr(1) : text;
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<TokenizerModel> model) {
  model->finish();
  model_ = std::move(model);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  if (text.size() > kMaxText) {
    fail(ErrorKind::kLimit, "a text of {} bytes is too long to encode at once", text.size());
  }
  std::vector<int32_t> ids;
  if (options.add_bos.value_or(model_->adds_bos)) {
    if (!model_->bos) fail(ErrorKind::kUsage, "the tokenizer has no bos token");
    ids.push_back(*model_->bos);
  }
  for (size_t at = 0; at < text.size();) {
    const auto token = model_->added.next(text, at, options.parse_special);
    const bool found = token.id >= 0;
    const size_t end = found ? token.begin : text.size();
    if (end > at) model_->segmenter->encode(text.substr(at, end - at), at == 0, ids);
    if (!found) break;
    ids.push_back(token.id);
    at = token.end;
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string out;
  bool begins = model_->prefixes_space && !options.continues;
  for (const int32_t id : ids) {
    check_id(*model_, id);
    if (model_->vocabulary.kind(id) == PieceKind::kControl) {
      if (options.show_special) out += model_->vocabulary.piece(id);
      continue;
    }
    const std::string_view text = model_->text(id);
    out += begins ? without_prefix(text) : text;
    begins = false;
  }
  return out;
}

int32_t Tokenizer::size() const { return model_->vocabulary.size(); }

std::string_view Tokenizer::piece(int32_t id) const {
  check_id(*model_, id);
  return model_->vocabulary.piece(id);
}

std::string_view Tokenizer::text(int32_t id) const {
  check_id(*model_, id);
  return model_->text(id);
}

PieceKind Tokenizer::kind(int32_t id) const {
  check_id(*model_, id);
  return model_->vocabulary.kind(id);
}

std::optional<int32_t> Tokenizer::find(std::string_view piece) const {
  return model_->id_of(piece);
}
std::optional<int32_t> Tokenizer::bos() const { return model_->bos; }
std::optional<int32_t> Tokenizer::eos() const { return model_->eos; }
std::optional<int32_t> Tokenizer::unk() const { return model_->unk; }
bool Tokenizer::adds_bos() const { return model_->adds_bos; }
std::string_view Tokenizer::algorithm() const { return model_->algorithm; }
const std::string& Tokenizer::chat_template() const { return model_->chat_template; }

}  // namespace pith::model
