// Any bytes as a chat template, run on a short conversation. Asserted, beyond what the sanitizers
// see: nothing but pith::Error is thrown, and the same template gives the same text again.
#include "pith/model/chat_template.h"

#include <cstdio>
#include <cstdlib>

#include "pith/base/error.h"
#include "pith/io/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const pith::model::ChatMessage talk[] = {
      {"system", "Be \"brief\"."}, {"user", " Hi\n"}, {"assistant", "Ho \xFF"}, {"user", "\u65e5"}};
  pith::model::ChatOptions options;
  options.bos_token = "<s>";
  options.now.emplace();
  try {
    const pith::model::ChatTemplate chat(pith::io::as_text({data, size}));
    if (chat.render(talk, options) != chat.render(talk, options)) {
      std::fputs("broken promise: the same text again\n", stderr);
      std::abort();
    }
  } catch (const pith::Error&) {
    return 0;
  }
  return 0;
}
