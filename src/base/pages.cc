#include "pith/base/pages.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace pith {
namespace {

constexpr size_t kLine = 64, kLargePage = size_t{2} << 20;

}  // namespace

std::shared_ptr<uint8_t[]> allocate_pages(size_t bytes) {
  if (bytes < kLargePage) {
    auto* p = static_cast<uint8_t*>(::operator new(bytes, std::align_val_t(kLine)));
    std::memset(p, 0, bytes);
    return {p, [](uint8_t* q) { ::operator delete(q, std::align_val_t(kLine)); }};
  }
  const size_t mapped = bytes + kLargePage;
  if (mapped < bytes) throw std::bad_alloc();
  void* const all =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) throw std::bad_alloc();
  auto* const p =
      static_cast<uint8_t*>(all) + (-reinterpret_cast<uintptr_t>(all) & (kLargePage - 1));
  // Whole pages only, so that the last does not take memory that nobody asked for. A system that
  // has no large pages may refuse.
  ::madvise(p, bytes & ~(kLargePage - 1), MADV_HUGEPAGE);
  return {p, [all, mapped](uint8_t*) { ::munmap(all, mapped); }};
}

}  // namespace pith
