/* The names of the kernels' constants, for Python. */
#ifndef CNET_CONSTANTS_H
#define CNET_CONSTANTS_H

#include "arguments.h"

typedef struct {
    const char *name;
    int value;
} cnet_constant;

#define CNET_NAMED(name) {#name, CNET_##name},
#define CNET_NAMED_WITH_STATES(name, states) {#name, CNET_##name},
static const cnet_constant cnet_constants[] = {CNET_ACTIVATIONS(CNET_NAMED) CNET_LOSSES(CNET_NAMED)
                                                   CNET_OPTIMIZERS(CNET_NAMED_WITH_STATES)};

enum { CNET_CONSTANT_COUNT = sizeof(cnet_constants) / sizeof(cnet_constants[0]) };

#endif
