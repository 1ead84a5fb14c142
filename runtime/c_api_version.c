/* The shared library's own translation unit; everything else comes from the static one. */
#include "moru/moru.h"

const char moru_built_version[] = MORU_VERSION;
