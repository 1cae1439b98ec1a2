// Memory for what is read over and over at the speed of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace pith {

// Zeros, at a multiple of 64 bytes, or of a large page (2 MiB) if they fill one: then on large
// pages where the system has them, which are read about a third faster, as processors do not
// prefetch across the bounds of pages. Throws std::bad_alloc.
std::shared_ptr<uint8_t[]> allocate_pages(size_t bytes);

}  // namespace pith
