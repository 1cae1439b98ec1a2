// The inputs of an archive with a model's tensors replaced by those of another source of weights.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pith/model/weight_source.h"
#include "pith/weights/changed_model.h"

namespace pith::weights {

// A config.json as it is to be, from what it was.
using EditConfig = std::function<Bytes(ByteView config)>;

// The inputs with that in the model's config.json. Throws ErrorKind::kUsage where there is none.
std::vector<archive::Input> with_config(std::vector<archive::Input> inputs, const EditConfig& edit);

class ChangedInputs {
 public:
  // names: of the model's tensors as they were. Throws ErrorKind::kUsage where the inputs have no
  // safetensors with any of them.
  ChangedInputs(std::vector<archive::Input> inputs, const std::vector<std::string>& names);

  // weights: those that the model has from now on; the inputs keep them. edit: null where the
  // config stays. Throws ErrorKind::kUsage where there is no config.json that is to be edited.
  ChangedModel with(const std::shared_ptr<const model::WeightSource>& weights,
                    const EditConfig& edit) &&;

 private:
  archive::Input file(const std::shared_ptr<const model::WeightSource>& weights,
                      const archive::Input& first) const;

  std::vector<archive::Input> inputs_;
  std::vector<std::string> parts_;  // files of the model's tensors
  uint64_t bytes_ = 0, weights_ = 0;
};

}  // namespace pith::weights
