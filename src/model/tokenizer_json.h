// The tokenizer.json of Hugging Face's tokenizers library.
#pragma once

#include <memory>

#include "pith/base/bytes.h"
#include "tokenizer_model.h"

namespace pith::model {

// `add_bos`: what another file says, for files that do not say it themselves. Throws
// ErrorKind::kData for a damaged file, and for one that asks for something that Pith does
// not do, naming it.
std::unique_ptr<TokenizerModel> read_tokenizer_json(ByteView file,
                                                    std::optional<bool> add_bos = {});

}  // namespace pith::model
