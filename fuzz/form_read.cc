// Any bytes as a stored form: an error, or a form that can be decoded, multiplied and written
// again.
#include <cstdlib>

#include "pith/base/error.h"
#include "pith/form/form.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pith;
  try {
    const form::FormPtr f = form::read({data, size}, nullptr);
    if (form::write(*f).size() != form::bits(*f) / 8) std::abort();
    if (form::parse(form::to_string(f->expression())) != f->expression()) std::abort();
    if (f->shape().rows > 64 || f->shape().cols > 4096) return 0;
    form::decode(*f);
    const form::Matrix x({2, f->shape().cols});
    form::Matrix y;
    form::apply(*f, x.view(), y);
  } catch (const Error&) {
  }
  return 0;
}
