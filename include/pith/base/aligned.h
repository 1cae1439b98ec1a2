// Vectors that begin where a line of the cache does: vectors of a processor's register that are
// loaded from them never lie on two lines.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace pith {

template <class T>
struct CacheAligned {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  CacheAligned() = default;
  template <class Other>
  CacheAligned(const CacheAligned<Other>&) {}

  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
  void deallocate(T* p, size_t) { ::operator delete(p, kLine); }
  bool operator==(const CacheAligned&) const = default;
};

template <class T>
using AlignedVector = std::vector<T, CacheAligned<T>>;

}  // namespace pith
