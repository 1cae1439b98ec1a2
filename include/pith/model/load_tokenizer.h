// Where tokenizers come from.
//
// All throw pith::Error: ErrorKind::kIo for missing files, ErrorKind::kData for damaged ones and
// for kinds that Pith does not know; the message names the file, the place and the cause.
#pragma once

#include <filesystem>
#include <string_view>

#include "pith/base/bytes.h"
#include "pith/io/gguf_metadata.h"
#include "pith/model/model_folder.h"
#include "pith/model/tokenizer.h"

namespace pith::model {

// The tokenizer of a model folder as Hugging Face lays it out: tokenizer.json if there is one, else
// tokenizer.model; names of bos and eos, further tokens and the chat template from
// tokenizer_config.json, special_tokens_map.json, added_tokens.json, config.json and
// chat_template.jinja, all optional.
Tokenizer load_tokenizer(const ModelFolder& folder);
Tokenizer load_tokenizer(const std::filesystem::path& directory);

// The tokenizer in the metadata of a GGUF file (io::read_gguf_metadata), models "llama" and "gpt2".
Tokenizer tokenizer_from_gguf(const io::GgufMetadata& metadata);

// A SentencePiece model file alone.
Tokenizer tokenizer_from_sentencepiece(ByteView file, std::string_view name = "tokenizer.model");

// A tokenizer.json alone.
Tokenizer tokenizer_from_json(ByteView file, std::string_view name = "tokenizer.json");

}  // namespace pith::model
