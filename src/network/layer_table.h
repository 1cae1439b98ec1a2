// Every candidate on every layer: bytes and errors, and the forms.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pith/fit/metric.h"
#include "pith/network/compress_network.h"

namespace pith::network {

// The weights of a layer as they are, to be stored losslessly.
form::FormPtr exact(form::MatrixView weights);
double squares(form::MatrixView matrix);
double squared_error(form::MatrixView matrix, const form::Form& form);

struct Tried {
  form::FormPtr form;
  double error = 0;          // by the metric
  double squared = 0;        // of the weights
  std::string refusal = {};  // why it is as it was
};

// A candidate's form of a layer; the layer as it is where the candidate refuses it.
Tried try_form(const LayerForm& candidate, const fit::Fitter& fitter, const fit::Task& task);

// The second moments of some layers at a time, so that they fit into memory; `visit` gets each
// layer that `which` takes, in their order. Without inputs it gets the squared error.
void visit_moments(const Network& network, const std::vector<Tensor>& inputs,
                   const std::vector<bool>& which, int threads,
                   const std::function<void(size_t layer, const fit::Metric& metric)>& visit);

// The squared error of the outputs as a share of their squares, the mean of all outputs of floats.
double output_error(std::span<const Tensor> outputs, std::span<const Tensor> wanted);

// The first samples of inputs whose first dimension the file leaves open; all where it does not.
std::vector<Tensor> first_samples(const io::OnnxGraph& file, const std::vector<Tensor>& inputs,
                                  uint64_t most);

}  // namespace pith::network
