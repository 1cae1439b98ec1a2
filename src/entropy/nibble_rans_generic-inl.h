// nibble_rans on any instruction set with byte shuffles, in vectors of 16 or 32 bytes: included by
// nibble_rans_kernels.cc once for each target, so without an include guard.

HWY_BEFORE_NAMESPACE();
namespace pith::entropy::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

size_t decode_steps(const NibbleDecodeTable&, NibbleDecoder&, uint8_t*, size_t) { return 0; }
size_t encode_steps(const NibbleEncodeTable&, NibbleEncoder&, const uint8_t*, size_t n) { return n; }

}  // namespace pith::entropy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
