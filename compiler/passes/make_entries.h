// make_entries: from what the user drew to the graphs a program runs.
#pragma once

#include "compiler/ir/graph.h"
#include "compiler/model/model.h"
#include "compiler/model/training.h"

namespace moru {

/// Where the body of an imported layer (Layer::body) went when its node was called: the nodes of a graph from `first` to
/// before `behind`, between values of the graph. Inputs are the tensors, then the layer's parameters.
struct BodyPlace {
  uint32_t node = 0;  // of the model, not of one nested in it
  size_t first = 0, behind = 0;
  std::vector<ValueId> inputs, outputs;
};

/// Makes the module of `model`: its slots, entry `predict`, `reset_states` where layers are stateful, and, with `training`, the entries `train_step` (forward and
/// loss so far; differentiate and add_update complete it), `evaluate`, `reset_metrics` and `metric_results`.
///
/// Nodes are layers' ops, still unexpanded, each with the user's node as its origin. The total loss is
///   sum over outputs of loss_weight * reduced(loss(y_true, y_pred), sample_weight) + regularizers + activity / batch,
/// where `reduced` is the mean of loss * sample_weight unless the loss' attribute `reduction` says otherwise (ops/loss.h).
/// An output made by an inverse Normalization is trained on the network's side of it: the loss compares the layer's
/// input with the normalized target, while predictions and metrics stay in raw units. Throws CompileError if losses,
/// weights and outputs do not fit together. `places` gets those of entry `predict`, in the order of its nodes.
Module make_entries(Model& model, const TrainingSpec* training, std::vector<BodyPlace>* places = nullptr);

}  // namespace moru
