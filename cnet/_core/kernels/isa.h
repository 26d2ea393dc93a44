/* Which instruction sets this build holds kernels for, and which of them this processor runs. */
#ifndef CNET_ISA_H
#define CNET_ISA_H

struct cnet_kernels;

typedef struct {
    const char *name;
    const struct cnet_kernels *f32, *f64;
    int (*supported)(void);
} cnet_isa;

/* From the plainest to the best; the last entry has no name. */
extern const cnet_isa cnet_isas[];

#endif
