/* Rows of which most elements are 0, as images with a dark border have, and counts of words: lists
   of the elements that are not, and the two products of a dense layer with them. A term of 0
   changes no sum, so these have the bits of the products of all elements.

   Columns are cut where sums are (kernels.h), so that a block of a sum is a list, and positions in
   it fit into a byte. Either product works on one block of inputs and one panel of outputs at a
   time, whose weights or sums stay in the level-1 cache. An element costs as many loads as there
   are vectors in the panel, and no more than that to multiply: all that these products lack is the
   register tile's reuse of what was loaded. */

#define LIST_COLS (LIST_VECS * VL)
#define WHOLE_REALS(bytes) \
    (((bytes) + (ptrdiff_t)sizeof(real) - 1) / (ptrdiff_t)sizeof(real) * (ptrdiff_t)sizeof(real))
#define RECORDS_AHEAD 4
/* Rows this many bytes or more apart fall into few sets of the cache, and a vector that does not
   begin at a multiple of its size lies in two lines of it. Where so many rows of the other factor
   are to come, rows are copied first. */
#define APART 1024
#define LEAST_COPIED 16

INLINE int no_bits(const void *p, size_t bytes) {
    uint64_t any = 0, word;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, (const char *)p + i, sizeof word);
        any |= word;
    }
    return any == 0;
}

/* Elements first to end of a row, GROUP at a time. */
#define LIST_SOME(name, number) \
    INLINE ptrdiff_t name(const number *x, ptrdiff_t first, ptrdiff_t end, uint8_t *positions, \
                          number *values) { \
        ptrdiff_t total = 0; \
        if (end - first == GROUP && no_bits(x + first, GROUP * sizeof(number))) \
            return 0; \
        for (ptrdiff_t j = first; j < end; j++) { \
            positions[total] = (uint8_t)j; \
            values[total] = x[j]; \
            total += x[j] != 0; \
        } \
        return total; \
    }
#ifndef GROUP
#define GROUP 8
LIST_SOME(list_some, real)
LIST_SOME(list_some_uint8, uint8_t)
#endif

/* A record: how many elements each block has, and of all that are listed, the values and the
   positions. Either of the latter begins where a real may; positions are first written where they
   fit whatever there is. */
#define COMPRESS_ROW(name, number, list) \
    static ptrdiff_t name(ptrdiff_t n, const number *x, uint8_t *record) { \
        const ptrdiff_t length = cnet_block_length(n), blocks = cnet_block_count(n); \
        number *const values = (number *)(record + WHOLE_REALS(blocks)); \
        uint8_t *const positions = (uint8_t *)(values + cnet_most_listed(n) + CNET_LIST_SLACK); \
        ptrdiff_t total = 0; \
        for (ptrdiff_t b = 0; b < blocks; b++, x += length) { \
            const ptrdiff_t cols = at_most(n - b * length, length), before = total; \
            for (ptrdiff_t i = 0; i < cols; i += GROUP) \
                total += list(x, i, at_most(cols, i + GROUP), positions + total, values + total); \
            record[b] = (uint8_t)(total - before); \
            for (; (total - before) % CNET_LIST_UNIT; total++) { \
                positions[total] = positions[total - 1]; \
                values[total] = 0; \
            } \
        } \
        memmove(values + total, positions, (size_t)total); \
        return WHOLE_REALS((uint8_t *)(values + total) + total - record); \
    }
COMPRESS_ROW(compress_row, real, list_some)
COMPRESS_ROW(compress_row_uint8, uint8_t, list_some_uint8)

static void gather_lists(const cnet_sparse *x, ptrdiff_t m, const int64_t *rows, ptrdiff_t ahead,
                         ptrdiff_t first, ptrdiff_t end, const cnet_lists *to, ptrdiff_t row,
                         real scale, real *room) {
    const ptrdiff_t size = x->bytes ? 1 : (ptrdiff_t)sizeof(real);
    for (ptrdiff_t i = 0; i < m; i++) {
        const int64_t *const next = row_ahead(rows, i, m, ahead, RECORDS_AHEAD);
        if (next)
            fetch_row(x->records + x->starts[*next],
                      at_most(x->starts[*next + 1] - x->starts[*next], x->longest));
        const uint8_t *const counts = x->records + x->starts[rows[i]];
        ptrdiff_t before = 0, n = 0, after = 0;
        for (ptrdiff_t b = 0; b < first; b++)
            before += cnet_filled_up(counts[b]);
        for (ptrdiff_t b = first; b < end; b++)
            n += cnet_filled_up(counts[b]);
        for (ptrdiff_t b = end; b < x->blocks; b++)
            after += cnet_filled_up(counts[b]);
        const uint8_t *const first_value = counts + WHOLE_REALS(x->blocks) + before * size,
                             *positions = first_value + (n + after) * size + before;
        const real *values = (const real *)(const void *)first_value;
        if (x->bytes) {
            rescale_bytes(n, first_value, scale, 0, room);
            values = room;
            room += n;
        }
        for (ptrdiff_t b = first; b < end; b++) {
            const cnet_list list = {positions, values, counts[b]};
            to->lists[b * to->rows + row + i] = list;
            positions += cnet_filled_up(counts[b]);
            values += cnet_filled_up(counts[b]);
        }
    }
}

INLINE real *aligned(real *p) { return p + (-(uintptr_t)p % (VL * sizeof(real))) / sizeof(real); }

static int pays_to_copy(ptrdiff_t m, const real *x, ptrdiff_t x_row) {
    return m >= LEAST_COPIED && (x_row * (ptrdiff_t)sizeof(real) >= APART || x_row % VL ||
                                 (uintptr_t)x % (VL * sizeof(real)));
}

/* to = x (m, cols), in rows of whole vectors */
static void copy_panel(ptrdiff_t m, ptrdiff_t cols, const real *x, ptrdiff_t x_row, real *to) {
    for (ptrdiff_t i = 0; i < m; i++, x += x_row)
        for (ptrdiff_t j = 0; j < cols; j += VL, to += VL)
            v_store(to, v_load_m(x + j, v_mask(at_most(cols - j, VL))));
}

INLINE ptrdiff_t whole_vectors(ptrdiff_t n) { return (n + VL - 1) / VL * VL; }

/* c = or += the sums of `vecs` vectors of columns, for m rows and some blocks; or, where c_block is
   not 0, that of each block by itself. `unit` elements are begun together, more than one only where
   b has been copied: for a panel of a vector or two, so that less of what the processor has in
   flight counts elements, and more of it multiplies. A sum waits for its last term, but those of
   the next list do not. */
INLINE void multiply_lists(const int vecs, const int tail, const int unit, const cnet_lists *x,
                           ptrdiff_t list, ptrdiff_t m, ptrdiff_t blocks, const real *b,
                           ptrdiff_t b_row, vmask mask, real *c, ptrdiff_t c_row, ptrdiff_t c_block,
                           const real *bias, int first) {
    const int copied = unit > 1; /* b, into whole vectors */
    const ptrdiff_t row = copied ? vecs * VL : b_row, b_block = x->length * row, lists = x->rows;
    for (ptrdiff_t i = list; i < list + m; i++, c += c_row) {
        vec total[LIST_VECS], sum[LIST_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            total[v] = first ? v_set1(0) : load_lanes(!tail || v < vecs - 1, c + v * VL, mask);
        const real *rows = b;
        for (ptrdiff_t block = 0; block < blocks; block++, rows += b_block) {
            const cnet_list *const elements = x->lists + block * lists + i;
            const uint8_t *const positions = elements->positions;
            const ptrdiff_t n = elements->n;
            const real *const values = elements->values;
            UNROLL for (int v = 0; v < vecs; v++)
                sum[v] = v_set1(0);
            for (ptrdiff_t e = 0; e < n; e += unit) {
                UNROLL for (int u = 0; u < unit; u++) {
                    const real *const at = rows + (size_t)positions[e + u] * (size_t)row;
                    const vec a = v_set1(values[e + u]);
                    UNROLL for (int v = 0; v < vecs; v++)
                        sum[v] =
                            v_fma(a, load_lanes(copied || !tail || v < vecs - 1, at + v * VL, mask),
                                  sum[v]);
                }
            }
            UNROLL for (int v = 0; v < vecs; v++) {
                if (c_block)
                    store_lanes(!tail || v < vecs - 1, c + block * c_block + v * VL, sum[v], mask);
                total[v] = v_add(total[v], sum[v]);
            }
        }
        if (c_block)
            continue;
        UNROLL for (int v = 0; v < vecs; v++) {
            const int whole = !tail || v < vecs - 1;
            if (bias)
                total[v] = v_add(total[v], load_lanes(whole, bias + v * VL, mask));
            store_lanes(whole, c + v * VL, total[v], mask);
        }
    }
}

/* sums (length, vecs * VL), all of them whole vectors: what rows `list` to `list` + m of x, and of
   b, add to each of a block's columns. */
INLINE void scatter_lists(const int vecs, const int tail, const cnet_lists *x, ptrdiff_t list,
                          ptrdiff_t m, const real *b, ptrdiff_t b_row, vmask mask, real *sums) {
    const int unit = vecs <= 2 ? CNET_LIST_UNIT : 1;
    for (ptrdiff_t i = list; i < list + m; i++, b += b_row) {
        const cnet_list elements = x->lists[i];
        const uint8_t *const positions = elements.positions;
        const real *const values = elements.values;
        vec row[LIST_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            row[v] = load_lanes(!tail || v < vecs - 1, b + v * VL, mask);
        for (ptrdiff_t e = 0; e < elements.n; e += unit) {
            vec sum[CNET_LIST_UNIT][LIST_VECS];
            real *at[CNET_LIST_UNIT];
            UNROLL for (int u = 0; u < unit; u++) {
                const vec a = v_set1(values[e + u]);
                at[u] = sums + (size_t)positions[e + u] * (vecs * VL);
                UNROLL for (int v = 0; v < vecs; v++)
                    sum[u][v] = v_fma(a, row[v], v_load(at[u] + v * VL));
            }
            /* Zeros first, whose position an element before them has. */
            UNROLL for (int u = unit - 1; u >= 0; u--) {
                UNROLL for (int v = 0; v < vecs; v++)
                    v_store(at[u] + v * VL, sum[u][v]);
            }
        }
    }
}

/* Constants are made of the number of vectors in a panel (cnet_panel), for each product. */
#define BY_VECS(cols, call) \
    if (cols == LIST_COLS) \
        call(LIST_VECS, 0); \
    else \
        switch ((cols + VL - 1) / VL) { \
        case 1: call(1, 1); break; \
        case 2: call(2, 1); break; \
        case 3: call(3, 1); break; \
        case 4: call(4, 1); break; \
        }

static void spmm(const cnet_lists *x, ptrdiff_t row, ptrdiff_t block, const cnet_gemm *g) {
    real memory[CNET_BLOCK * LIST_COLS + VL], *const copy = aligned(memory);
    const int copied = pays_to_copy(g->m, g->b, g->b_row);
    const ptrdiff_t blocks = (g->k + x->length - 1) / x->length;
    for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
        cols = cnet_panel(LIST_COLS, VL, g->n - j);
        const vmask mask = v_mask((cols - 1) % VL + 1);
        const ptrdiff_t width = whole_vectors(cols),
                        most = CNET_BLOCK * LIST_COLS / (x->length * width);
        for (ptrdiff_t i = 0, n; i < blocks; i += n) {
            n = at_most(blocks - i, most);
            const real *b = g->b + i * x->length * g->b_row + j, *const bias =
                                                                     g->bias && i + n == blocks
                                                                         ? g->bias + j
                                                                         : NULL;
            real *const c = g->c + j + i * g->c_block;
            const ptrdiff_t b_row = copied ? width : g->b_row;
            if (copied) {
                copy_panel(at_most(g->k - i * x->length, n * x->length), cols, b, g->b_row, copy);
                b = copy;
            }
#define CALL_WITH(vecs, tail, unit) \
    multiply_lists(vecs, tail, unit, x, (block + i) * x->rows + row, g->m, n, b, b_row, mask, c, \
                   g->c_row, g->c_block, bias, g->c_block || i == 0)
#define CALL(vecs, tail) CALL_WITH(vecs, tail, 1)
            if (copied && width == VL)
                CALL_WITH(1, 1, CNET_LIST_UNIT);
            else if (copied && width == 2 * VL)
                CALL_WITH(2, 1, CNET_LIST_UNIT);
            else
                BY_VECS(cols, CALL)
#undef CALL
#undef CALL_WITH
        }
    }
}

/* Closes the gaps between m rows of n elements that begin at whole vectors: rows without a gap can
   be taken as one. */
static void close_gaps(ptrdiff_t m, ptrdiff_t n, ptrdiff_t width, real *x) {
    for (ptrdiff_t i = 1; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j += VL)
            v_store(x + i * n + j, v_load(x + i * width + j));
}

static void add_rows(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t x_row, real *c,
                     ptrdiff_t c_row, int first) {
    for (ptrdiff_t i = 0; i < m; i++, x += x_row, c += c_row)
        for (ptrdiff_t j = 0; j < n; j += VL) {
            const vmask mask = v_mask(at_most(n - j, VL));
            v_store_m(c + j,
                      first ? v_load_m(x + j, mask)
                            : v_add(v_load_m(c + j, mask), v_load_m(x + j, mask)),
                      mask);
        }
}

static void spmm_transposed(const cnet_lists *x, ptrdiff_t block, const cnet_gemm *g, int scratch) {
    real memory[CNET_BLOCK * LIST_COLS + VL], *const own = aligned(memory);
    for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
        cols = cnet_panel(LIST_COLS, VL, g->n - j);
        const vmask mask = v_mask((cols - 1) % VL + 1);
        const int joined = cols == g->c_row; /* rows of c */
        const ptrdiff_t width = whole_vectors(cols), rows = joined ? 1 : g->m,
                        length = joined ? g->m * cols : cols;
        for (ptrdiff_t i = 0; i < g->k; i += g->block) {
            const ptrdiff_t m = at_most(g->k - i, g->block);
            const int first = i == 0 && !g->accumulate, in_place = first && scratch;
            real *sums = in_place ? g->c : own;
            memset(sums, 0, (size_t)(g->m * width) * sizeof(real));
#define CALL(vecs, tail) \
    scatter_lists(vecs, tail, x, block * x->rows + i, m, g->b + i * g->b_row + j, g->b_row, mask, \
                  sums)
            BY_VECS(cols, CALL)
#undef CALL
            if (joined && width > cols)
                close_gaps(g->m, cols, width, sums);
            if (!in_place)
                add_rows(rows, length, sums, width, g->c + j, g->c_row, first);
        }
    }
}

static void list_columns(const cnet_lists *x, ptrdiff_t block, ptrdiff_t m, ptrdiff_t cols,
                         const cnet_columns *to) {
    uint8_t *const counts = to->counts, *const to_rows = to->rows;
    real *const to_values = to->values;
    memset(counts, 0, (size_t)cols);
    for (ptrdiff_t i = 0; i < m; i++) {
        const cnet_list elements = x->lists[block * x->rows + i];
        const uint8_t *positions = elements.positions, *const end = positions + elements.n;
        const real *values = elements.values;
        for (; positions < end; positions++, values++) {
            const ptrdiff_t place = *positions * m + counts[*positions]++;
            to_rows[place] = (uint8_t)i;
            to_values[place] = *values;
        }
    }
}

INLINE void multiply_columns(const int vecs, const int tail, const cnet_columns *x, ptrdiff_t m,
                             ptrdiff_t cols, const real *b, ptrdiff_t b_row, vmask mask, real *c,
                             ptrdiff_t c_row, const cnet_update *descent) {
    const uint8_t *const counts = x->counts;
    const cnet_update u = descent ? *descent : (cnet_update){.kind = CNET_SGD};
    const int moves = !descent || u.penalty != 0; /* without a gradient */
    for (ptrdiff_t k = 0; k < cols; k++, c += c_row) {
        const uint8_t *rows = x->rows + k * m, *const end = rows + counts[k];
        const real *values = x->values + k * m;
        vec sum[LIST_VECS];
        if (rows == end && !moves)
            continue;
        UNROLL for (int v = 0; v < vecs; v++)
            sum[v] = v_set1(0);
        for (; rows < end; rows++, values++) {
            const real *row = b + *rows * b_row;
            const vec a = v_set1(*values);
            UNROLL for (int v = 0; v < vecs; v++)
                sum[v] = v_fma(a, load_lanes(!tail || v < vecs - 1, row + v * VL, mask), sum[v]);
        }
        UNROLL for (int v = 0; v < vecs; v++) {
            const int whole = !tail || v < vecs - 1;
            store_lanes(
                whole, c + v * VL,
                descent ? update_of(CNET_SGD, load_lanes(whole, c + v * VL, mask), sum[v], NULL, &u)
                        : sum[v],
                mask);
        }
    }
}

static void spmm_columns(const cnet_columns *x, ptrdiff_t m, ptrdiff_t cols, ptrdiff_t n,
                         const real *b, ptrdiff_t b_row, real *c, ptrdiff_t c_row,
                         const cnet_update *descent) {
    real memory[CNET_BLOCK * LIST_COLS + VL], *const copy = aligned(memory);
    const int copied = pays_to_copy(m, b, b_row);
    for (ptrdiff_t j = 0, width; j < n; j += width, b += width, c += width) {
        width = cnet_panel(LIST_COLS, VL, n - j);
        const vmask mask = v_mask((width - 1) % VL + 1);
        if (copied)
            copy_panel(m, width, b, b_row, copy);
#define CALL(vecs, tail) \
    multiply_columns(vecs, tail, x, m, cols, copied ? copy : b, \
                     copied ? whole_vectors(width) : b_row, mask, c, c_row, descent)
        BY_VECS(width, CALL)
#undef CALL
    }
}
