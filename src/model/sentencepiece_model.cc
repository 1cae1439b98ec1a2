#include "sentencepiece_model.h"

#include "pith/io/protobuf.h"
#include "pith/io/text.h"
#include "sentencepiece_bpe.h"
#include "unigram.h"

namespace pith::model {
namespace {

using io::ProtoField;
using io::ProtoReader;

// What the fields 1 to 3 of a ModelProto say.
struct File {
  SentencePieceParts parts;
  std::string bos = "<s>", eos = "</s>";
  uint64_t model_type = 1;
  bool suffix_space = false;
  bool has_trainer = false;
};

void expect(const ProtoField& field, ProtoField::Wire wire, std::string_view what) {
  if (field.wire != wire) {
    fail(ErrorKind::kData, "{} has the wrong wire type at byte {}", what, field.offset);
  }
}

std::string text_of(const ProtoField& field, std::string_view what) {
  expect(field, ProtoField::kBytes, what);
  return std::string(io::as_text(field.bytes));
}

uint64_t number_of(const ProtoField& field, std::string_view what) {
  expect(field, ProtoField::kVarint, what);
  return field.value;
}

void read_piece(const ProtoField& message, Vocabulary& vocabulary) {
  std::string piece;
  float score = 0;
  uint64_t type = 1;
  ProtoReader reader(message);
  for (ProtoField field; reader.next(field);) {
    if (field.number == 1) piece = text_of(field, "a piece");
    if (field.number == 2) {
      expect(field, ProtoField::kFixed32, "a score");
      score = load_le<float>(field.bytes.data());
    }
    if (field.number == 3) type = number_of(field, "the type of a piece");
  }
  const auto kind = piece_kind(type);
  if (!kind) fail(ErrorKind::kData, "piece {} has the unknown type {}", vocabulary.size(), type);
  vocabulary.add(piece, *kind, score);
}

void read_trainer(const ProtoField& message, File& file) {
  ProtoReader reader(message);
  for (ProtoField field; reader.next(field);) {
    switch (field.number) {
      case 3:
        file.model_type = number_of(field, "model_type");
        break;
      case 24:
        file.suffix_space = number_of(field, "treat_whitespace_as_suffix") != 0;
        break;
      case 35:
        file.parts.byte_fallback = number_of(field, "byte_fallback") != 0;
        break;
      case 44:
        file.parts.unknown_text = text_of(field, "unk_surface");
        break;
      case 46:
        file.bos = text_of(field, "bos_piece");
        break;
      case 47:
        file.eos = text_of(field, "eos_piece");
        break;
      default:
        break;
    }
  }
}

void read_normalizer(const ProtoField& message, SentencePieceText& text) {
  ProtoReader reader(message);
  for (ProtoField field; reader.next(field);) {
    switch (field.number) {
      case 2:
        expect(field, ProtoField::kBytes, "precompiled_charsmap");
        if (!field.bytes.empty()) text.charsmap = std::make_shared<Charsmap>(field.bytes);
        break;
      case 3:
        text.prefix = number_of(field, "add_dummy_prefix") != 0 ? Prefix::kEvery : Prefix::kNone;
        break;
      case 4:
        text.remove_extra_spaces = number_of(field, "remove_extra_whitespaces") != 0;
        break;
      case 5:
        text.escape_spaces = number_of(field, "escape_whitespaces") != 0;
        break;
      default:
        break;
    }
  }
}

File read_file_parts(ByteView bytes) {
  File file;
  file.parts.text.remove_extra_spaces = true;
  ProtoReader reader(bytes, 0);
  for (ProtoField field; reader.next(field);) {
    if (field.number < 1 || field.number > 3) continue;
    expect(field, ProtoField::kBytes, "a message");
    if (field.number == 1) read_piece(field, file.parts.vocabulary);
    if (field.number == 2) {
      read_trainer(field, file);
      file.has_trainer = true;
    }
    if (field.number == 3) read_normalizer(field, file.parts.text);
  }
  return file;
}

std::optional<int32_t> control(const TokenizerModel& model, std::string_view piece) {
  const auto id = model.id_of(piece);
  return id && model.vocabulary.kind(*id) == PieceKind::kControl ? id : std::nullopt;
}

}  // namespace

std::unique_ptr<TokenizerModel> make_sentencepiece(SentencePieceParts parts) {
  auto model = std::make_unique<TokenizerModel>();
  model->algorithm = parts.unigram ? "SentencePiece unigram" : "SentencePiece BPE";
  model->escaped_spaces = parts.text.escape_spaces;
  model->prefixes_space = parts.text.prefix != Prefix::kNone;
  model->unknown_text = parts.unknown_text;
  const Vocabulary& vocabulary = model->vocabulary = std::move(parts.vocabulary);
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const PieceKind kind = vocabulary.kind(id);
    if (kind == PieceKind::kUnknown && !model->unk) model->unk = id;
    if (kind != PieceKind::kControl && kind != PieceKind::kUnknown) continue;
    if (vocabulary.piece(id).empty()) continue;
    model->added.add({.content = std::string(vocabulary.piece(id)), .id = id, .special = true});
  }
  BytePieces bytes(vocabulary, parts.byte_fallback, model->unk.value_or(-1));
  if (parts.unigram) {
    model->segmenter =
        std::make_unique<Unigram>(vocabulary, std::move(parts.text), std::move(bytes));
  } else {
    model->segmenter =
        std::make_unique<ScoredBpe>(vocabulary, std::move(parts.text), std::move(bytes));
  }
  return model;
}

std::unique_ptr<TokenizerModel> read_sentencepiece(ByteView bytes, bool legacy) {
  File file = read_file_parts(bytes);
  if (file.parts.vocabulary.size() == 0) {
    fail(ErrorKind::kData, "no SentencePiece model: there are no pieces");
  }
  // It stands behind the pieces, and a file that was cut between two of them looks whole otherwise.
  if (!file.has_trainer) {
    fail(ErrorKind::kData,
         "no whole SentencePiece model: behind the {} pieces, how it was trained is missing",
         file.parts.vocabulary.size());
  }
  if (file.model_type != 1 && file.model_type != 2) {
    fail(ErrorKind::kData,
         "SentencePiece models of type {} are not supported, only unigram and BPE",
         file.model_type);
  }
  if (file.suffix_space) {
    fail(ErrorKind::kData,
         "SentencePiece models with spaces at the ends of pieces "
         "(treat_whitespace_as_suffix) are not supported");
  }
  if (!legacy && file.parts.text.prefix == Prefix::kEvery) file.parts.text.prefix = Prefix::kFirst;
  file.parts.unigram = file.model_type == 1;
  auto model = make_sentencepiece(std::move(file.parts));
  model->bos = control(*model, file.bos);
  model->eos = control(*model, file.eos);
  model->adds_bos = model->bos.has_value();  // as the Llama models were trained
  return model;
}

}  // namespace pith::model
