// Bits for parts whose loss is known as a function of the rate: loss * 2^(-2 bits), as of a
// Gaussian source or of a fine uniform quantizer. Any number of bits, not only candidates'.
//
// Reverse water-filling (Shannon 1959; Cover and Thomas 2006, 10.3.3) with a floor and a cap for
// every part: where they do not hold it, a part gets so many bits that its loss per element is the
// same as of all others.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <vector>

namespace pith::budget {

struct Source {
  std::string name;
  double loss = 0;      // without any bits, of all its elements together
  double elements = 1;  // that take these bits each; positive
  double least_bits = 0;
  double most_bits = std::numeric_limits<double>::infinity();
};

struct Rates {
  std::vector<double> bits;  // an element, of each source
  double total_bits = 0;     // of all elements
  double loss = 0;
  double water = 0;  // the loss an element of those that neither floor nor cap holds
};

// The least loss with at most `total_bits`. Throws ErrorKind::kData with the source's name for
// numbers that make no sense, kLimit with the smallest that can be met.
Rates rates_within_bits(std::span<const Source> sources, double total_bits);
// The fewest bits with at most this loss.
Rates rates_within_loss(std::span<const Source> sources, double loss);

}  // namespace pith::budget
