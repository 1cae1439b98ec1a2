// What the values of a network look like on some inputs, and the scales that codes of a few bits
// get from that.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pith/network/network.h"

namespace pith::network {

class ActivationSamples {
 public:
  // Runs the network once. Of each value `most` elements are kept, evenly spread.
  ActivationSamples(const Network& network, const Tensor& input, uint64_t most = 1 << 14,
                    int threads = 1);

  // Throw ErrorKind::kUsage for a value that was not made.
  std::span<const float> of(std::string_view value) const;
  const Dims& dims(std::string_view value) const;

  // Integers q in [low, high] for values of about scale * q. Values that are never negative get
  // codes from 0 on. The scale is the one of least squared error on the sample, of those that cut
  // off between nothing and most of the range.
  struct Codes {
    double scale = 1;
    int32_t low = 0, high = 0;
  };
  Codes codes(std::string_view value, int bits) const;
  // The same without cutting off.
  Codes whole(std::string_view value, int bits) const;

 private:
  struct Sample {
    Dims dims;
    std::vector<float> kept;
  };
  const Sample& find(std::string_view value) const;

  std::map<std::string, Sample, std::less<>> samples_;
};

}  // namespace pith::network
