// Unicode's canonical composition (NFC, UAX #15), which Qwen's tokenizers apply to text first.
#pragma once

#include <string>
#include <string_view>

namespace pith::model {

// Bytes that are not UTF-8 stay where they are and combine with nothing.
std::string nfc(std::string_view text);

}  // namespace pith::model
