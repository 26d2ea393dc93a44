/* The instruction sets of this build, with their tables of kernels. */
#ifndef CNET_ISA_H
#define CNET_ISA_H

struct cnet_kernels;

typedef struct {
    const char *name;
    const struct cnet_kernels *f32, *f64;
    int (*supported)(void); /* whether this processor and its operating system support it */
} cnet_isa;

/* From the baseline to the best. The last entry has no name. */
extern const cnet_isa cnet_isas[];

#endif
