/* Dispatch of a tile to the micro-kernel of its size.

   A micro-kernel is an inlined function of (rows, vecs, tail, args, cols). Here it gets constants
   for rows, vecs and tail, so that its loops unroll and its sums stay in registers. A full tile has
   MR rows and NR_VECS vectors; the last one of a matrix may have fewer of either. A tile of one
   vector may have up to MR_NARROW rows. Cases beyond these limits are removed at compile time. */

#define MAX_MR 12
#define MAX_NR_VECS 6
#if MR < 1 || MR > MR_NARROW || MR_NARROW > MAX_MR
#error "MR is to be at least 1, MR_NARROW at least MR, and at most 12: add cases to DISPATCH_ROWS"
#endif
#if NR_VECS < 1 || NR_VECS > MAX_NR_VECS
#error "NR_VECS is to be 1 to 6: add cases to DISPATCH_TILE"
#endif
/* Sums, a row of b, and one element of a. */
#if MR * NR_VECS + NR_VECS + 1 > VECTOR_REGISTERS
#error "the tile needs more vector registers than there are: choose a smaller MR or NR_VECS"
#endif

/* clang-format off */
#define ROWS_CASE(ukernel, max_rows, r, vecs, tail) \
    case r: if (r <= (max_rows)) ukernel(r <= (max_rows) ? r : 1, vecs, tail, t, cols); return;
#define DISPATCH_ROWS(ukernel, max_rows, vecs, tail) \
    switch (rows) { \
    ROWS_CASE(ukernel, max_rows, 1, vecs, tail) ROWS_CASE(ukernel, max_rows, 2, vecs, tail) \
    ROWS_CASE(ukernel, max_rows, 3, vecs, tail) ROWS_CASE(ukernel, max_rows, 4, vecs, tail) \
    ROWS_CASE(ukernel, max_rows, 5, vecs, tail) ROWS_CASE(ukernel, max_rows, 6, vecs, tail) \
    ROWS_CASE(ukernel, max_rows, 7, vecs, tail) ROWS_CASE(ukernel, max_rows, 8, vecs, tail) \
    ROWS_CASE(ukernel, max_rows, 9, vecs, tail) ROWS_CASE(ukernel, max_rows, 10, vecs, tail) \
    ROWS_CASE(ukernel, max_rows, 11, vecs, tail) ROWS_CASE(ukernel, max_rows, 12, vecs, tail) \
    }
#define VECS_CASE(ukernel, v) \
    case v: if (v <= NR_VECS) { DISPATCH_ROWS(ukernel, MR, (v <= NR_VECS ? v : 1), 1) } return;
/* Of t (rows, cols); max_narrow: the most rows where cols <= VL. */
#define DISPATCH_TILE(ukernel, max_narrow) \
    if (cols == NR) { DISPATCH_ROWS(ukernel, NR_VECS == 1 ? max_narrow : MR, NR_VECS, 0) return; } \
    switch ((cols + VL - 1) / VL) { \
    case 1: DISPATCH_ROWS(ukernel, max_narrow, 1, 1) return; \
    VECS_CASE(ukernel, 2) VECS_CASE(ukernel, 3) VECS_CASE(ukernel, 4) \
    VECS_CASE(ukernel, 5) VECS_CASE(ukernel, 6) \
    }
/* clang-format on */
