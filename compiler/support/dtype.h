// Element types of tensors: shared with the runtime, so they live in schema/types.h.
#pragma once

#include "schema/types.h"
