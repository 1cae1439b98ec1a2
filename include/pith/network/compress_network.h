// The weights of a network in forms, each layer in one that a choice gives it, within a limit on
// the bytes of the archive.
//
//   NetworkCompressor compressor(io::read_onnx_graph("net.onnx"), inputs, options);
//   const CompressedNetwork small = compressor.compress({.bits = 4});
//   compressor.store(small, write);
//   write_archive(inputs, "small.pith", write);
//
// Layers are fitted as outputs x inputs, of a convolution the window's elements among its inputs,
// and stored as the file has them (form/transpose.h). Their inputs are those of the network as it
// was. A layer whose weights are computed, or that no candidate takes, stays as it is; of layers
// that share a tensor the first decides.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pith/archive/writer.h"
#include "pith/base/progress.h"
#include "pith/budget/evolve.h"
#include "pith/budget/problem.h"
#include "pith/fit/fitter.h"
#include "pith/io/onnx.h"
#include "pith/network/stored_weights.h"

namespace pith::network {

// A form that layers may get.
struct LayerForm {
  std::string name;
  fit::Fitter fitter;
  fit::Fitter trial = {};  // what finds its size and error, where the fitter takes long
  // Throws ErrorKind::kUsage for shapes that it cannot take; empty: it takes any.
  std::function<void(form::Shape)> check = {};
};

// What whoever chooses may look at.
struct LayerChoosing {
  // A part for each layer that is fitted, by its tensor; all have all candidates, where one that
  // refuses the layer leaves it as it is. Resource: "bytes". The loss is the error of the layer's
  // outputs on the inputs times what such an error does to the outputs of the network, measured
  // once; without inputs the weights' squared error as a share of their squares.
  const budget::Problem& problem;
  budget::Goal goal;
  std::function<double(size_t part, size_t candidate)> squared;  // error of the weights
  // The squared error of the network's outputs as a share of their squares; null without inputs.
  budget::TrueLoss outputs;
  int threads = 0;
  Progress progress = {};
  std::function<void(std::string_view)> note;
};
using ChooseForms = std::function<std::vector<size_t>(const LayerChoosing&)>;

// What may be done to several layers together.
struct JoiningLayers {
  const Network& network;  // as it was
  const std::vector<StoredWeight>& stored;
  const std::vector<Tensor>& inputs;                 // none: there are none
  std::vector<bool> fitted;                          // of each layer, whether it is to get a form
  std::function<bool(std::string_view)> has_tensor;  // of floats in the file
  std::optional<double> bytes;                       // that all of these may take
  int threads = 0;
  Progress progress = {};
  std::function<void(std::string_view)> note;
};
// By the tensors of the file, as they stand there.
using TensorForms = std::map<std::string, form::FormPtr, std::less<>>;
using JoinLayers = std::function<TensorForms(const JoiningLayers&)>;

struct CompressNetworkOptions {
  std::vector<LayerForm> candidates;
  ChooseForms choose = {};  // null: budget::solve()
  bool has_limit = false;   // `choose` has one of its own
  JoinLayers join = {};     // in place of candidates
  // In the order of the network's inputs; none: nothing but the weights is looked at.
  std::vector<Tensor> inputs = {};
  std::vector<archive::FormRule> rules = {};  // tensors that the writer's rules decide
  int threads = 0;
  std::function<Progress(const char* stage)> progress = {};
};

// What must not be exceeded, by the whole archive.
struct NetworkLimits {
  std::optional<uint64_t> bytes = {};
  std::optional<double> bits = {};   // for each weight: element of floats in the file
  std::optional<double> ratio = {};  // of the input's bytes to the archive's

  bool any() const { return bytes || bits || ratio; }
};

struct FittedLayer {
  std::string tensor, form;
  uint64_t elements = 0;
  double bits = 0;   // an element
  double error = 0;  // squared error of the weights as a share of their squares
};

struct CompressedNetwork {
  TensorForms tensors;
  std::vector<FittedLayer> layers;
  std::vector<std::string> left;  // "head.weight: …", that stay as they are, and why
  uint64_t overhead = 0;          // bytes of all but these tensors
  uint64_t weights = 0;           // elements of floats in the file
  double bytes = 0;               // of the archive
  std::optional<double> error;    // of the outputs on the inputs that were given, as a share
  std::string note;               // of the choice
};

class NetworkCompressor {
 public:
  // Throws ErrorKind::kUsage where nothing can be fitted, and what networks throw for operators
  // and inputs that do not fit.
  NetworkCompressor(const io::OnnxGraph& file, std::vector<archive::Input> archive_inputs,
                    CompressNetworkOptions options);
  ~NetworkCompressor();

  // Throws ErrorKind::kLimit for limits that cannot be met, with the smallest that can: before the
  // inputs are looked at where that is known by then; kUsage for a choice without a limit.
  CompressedNetwork compress(const NetworkLimits& limits) const;

  // For WriteOptions::fitted and ::forms.
  void store(const CompressedNetwork& compressed, archive::WriteOptions& options) const;
  uint64_t input_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pith::network
