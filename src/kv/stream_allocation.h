// Whole bits for each axis of a profile's spans (KVTC: Staniszewski and Łańcucki 2025).
#pragma once

#include <cstdint>
#include <vector>

#include "stream_planes.h"

namespace pith::kv {

// Codes of an axis divide so many of its deviations.
inline constexpr float kAxisRange = 8;

// The least expected squared error with at most as many bits as steps of `step` deviations would
// need without entropy coding: axes by groups of kAxisGroup, 0 to 8 bits each, by dynamic
// programming. Of each plane, for each axis.
inline constexpr uint64_t kAxisGroup = 8;
std::vector<std::vector<uint8_t>> bits_of_axes(const std::vector<Plane>& planes, double step);

}  // namespace pith::kv
