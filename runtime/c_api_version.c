/* The shared library's own translation unit; everything else comes from the static one. */
#include "moru/moru.h"

extern const char built_version[]; /* not visible outside: see c_api.map */
const char built_version[] = MORU_VERSION;
