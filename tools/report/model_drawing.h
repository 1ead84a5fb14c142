// A model as it was drawn, as boxes and arrows.
#pragma once

#include "compiler/model/model.h"
#include "tools/report/graphviz.h"

namespace moru {

/// One box per call of a layer, with its class, what its attributes say in short, the shape of what it gives, and its
/// parameters; nested models are frames.
DotGraph draw_model(const Model& model);

}  // namespace moru
