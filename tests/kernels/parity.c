/* Every kernel of one table against plain loops in double precision, without Python: for processors
   that are only emulated. `.ci/kernels` compiles and runs it; cases.py beside this folder drives
   the tests that say more.

   Compiled with the macros of the table (CNET_ISA_<set>, perhaps CNET_F64) and with CNET_TABLE, its
   name. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

extern const cnet_kernels CNET_TABLE;
static const cnet_kernels *const K = &CNET_TABLE;

#ifdef CNET_F64
#define TOLERANCE 4e-15
#define SMALLEST 2.2250738585072014e-308
#else
#define TOLERANCE 2e-6
#define SMALLEST 1.17549435e-38
#endif
#define COUNT(a) ((ptrdiff_t)(sizeof(a) / sizeof *(a)))
#define MARGIN 64
#define INTACT 7
#define SLOPE ((real)0.1)

static int failures, comparisons;
static char at[80]; /* the case at hand */

/* The largest difference, in units of the largest value (or of 1e-3, where all are smaller). */
static void compare(const char *what, ptrdiff_t n, const real *got, const double *expected) {
    double difference = 0, largest = 1e-3;
    for (ptrdiff_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - expected[i]);
        difference = d <= difference ? difference : d; /* a NaN stays */
        largest = fmax(largest, fabs(expected[i]));
    }
    comparisons++;
    if (!(difference / largest <= TOLERANCE)) {
        printf("%s: %s differs by %g, expected at most %g\n", at, what, difference / largest,
               TOLERANCE);
        failures++;
    }
}

static void same_bits(const char *what, ptrdiff_t n, const real *got, const real *expected) {
    comparisons++;
    if (memcmp(got, expected, (size_t)n * sizeof(real))) {
        printf("%s: %s has other bits\n", at, what);
        failures++;
    }
}

/* Arrays of one case, with margins: NaN beside inputs, so that a value read there shows, a mark
   beside outputs. */
static struct {
    real *start;
    ptrdiff_t n;
    int output;
} arrays[16];
static int used;

static void *allocate(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p)
        exit(2);
    return p;
}

static real *array(ptrdiff_t n, int output) {
    real *start = allocate((size_t)(n + 2 * MARGIN) * sizeof(real));
    for (ptrdiff_t i = 0; i < n + 2 * MARGIN; i++)
        start[i] = output && (i < MARGIN || i >= n + MARGIN) ? INTACT : (real)NAN;
    arrays[used].start = start;
    arrays[used].n = n;
    arrays[used++].output = output;
    return start + MARGIN;
}

static double uniform(void) {
    static uint64_t state = 1; /* Knuth's MMIX generator */
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

/* From low to high; values near 0, where ReLU has its kink, among them. */
static real *input(ptrdiff_t n, double low, double high) {
    real *x = array(n, 0);
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = (real)(low + (high - low) * uniform());
    return x;
}

static real *output(ptrdiff_t n) { return array(n, 1); }

static real *copied(ptrdiff_t n, const real *x) {
    real *y = output(n);
    memcpy(y, x, (size_t)n * sizeof(real));
    return y;
}

static void end_of_case(void) {
    while (used) {
        used--;
        for (int i = 0; i < MARGIN && arrays[used].output; i++)
            if (arrays[used].start[i] != INTACT ||
                arrays[used].start[MARGIN + arrays[used].n + i] != INTACT) {
                printf("%s: written outside an output\n", at);
                failures++;
                break;
            }
        free(arrays[used].start);
    }
}

/* ---- products ---- */

static void multiply_in_parts(const cnet_gemm *whole) {
    const ptrdiff_t block = whole->dots ? whole->k : cnet_block_length(whole->k),
                    half_m = whole->m / 2, half_n = whole->n / 2;
    for (int part = 0; part < 4; part++) {
        const ptrdiff_t i = part & 1 ? half_m : 0, j = part & 2 ? half_n : 0;
        for (ptrdiff_t k = 0; k == 0 || k < whole->k; k += block ? block : 1) {
            cnet_gemm g = *whole;
            g.m = part & 1 ? whole->m - half_m : half_m;
            g.n = part & 2 ? whole->n - half_n : half_n;
            g.k = whole->k - k < block ? whole->k - k : block;
            g.a += i * g.rs_a + k * g.cs_a;
            g.b += k * g.rs_b + j * g.cs_b;
            g.c += i * g.rs_c + j * g.cs_c;
            g.bias = whole->bias && k + g.k == whole->k ? whole->bias + j : NULL;
            g.block = whole->dots ? 0 : block;
            g.accumulate = k > 0;
            if (g.m && g.n)
                K->gemm(&g);
        }
    }
}

/* A product in one layout: each of a, b and c transposed or not. */
static void product(const char *name, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int a_t, int b_t,
                    int c_t, int with_bias) {
    snprintf(at, sizeof at, "gemm, %s, m %td n %td k %td", name, m, n, k);
    real *a = input(m * k, -1, 1), *b = input(k * n, -1, 1), *c = output(m * n),
         *parts = output(m * n);
    cnet_gemm g = {
        .m = m,
        .n = n,
        .k = k,
        .a = a,
        .rs_a = a_t ? 1 : k,
        .cs_a = a_t ? m : 1,
        .b = b,
        .rs_b = b_t ? 1 : n,
        .cs_b = b_t ? k : 1,
        .c = c,
        .rs_c = c_t ? 1 : n,
        .cs_c = c_t ? m : 1,
        .bias = with_bias ? input(n, -1, 1) : NULL,
        .dots = !a_t && b_t && !with_bias && cnet_use_dot_kernel(n, k),
    };
    double *expected = allocate((size_t)(m * n) * sizeof(double));
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            double sum = g.bias ? (double)g.bias[j] : 0;
            for (ptrdiff_t l = 0; l < k; l++)
                sum += (double)a[i * g.rs_a + l * g.cs_a] * (double)b[l * g.rs_b + j * g.cs_b];
            expected[i * g.rs_c + j * g.cs_c] = sum;
        }
    K->gemm(&g);
    compare("c", m * n, c, expected);
    g.c = parts;
    multiply_in_parts(&g);
    same_bits("c computed in parts", m * n, parts, c);
    free(expected);
    end_of_case();
}

/* Data of which most elements, or all, or none are 0: products with lists of the others have the
   bits of those with all. */
static void sparse_products(ptrdiff_t batch, ptrdiff_t outputs, ptrdiff_t inputs, double share,
                            int bytes) {
    snprintf(at, sizeof at, "lists of %g, batch %td outputs %td inputs %td%s", share, batch,
             outputs, inputs, bytes ? ", bytes" : "");
    real *x = output(batch * inputs), *w = input(inputs * outputs, -1, 1),
         *bias = input(outputs, -1, 1), *dy = input(batch * outputs, -1, 1);
    const ptrdiff_t blocks = cnet_block_count(inputs), length = cnet_block_length(inputs);
    uint8_t *records =
                allocate((size_t)(batch * (cnet_csr_row_bytes(inputs) + (ptrdiff_t)sizeof(real)))),
            *images = allocate((size_t)(batch * inputs));
    int64_t *starts = allocate((size_t)(batch + 1) * sizeof *starts),
            *rows = allocate((size_t)batch * sizeof *rows);
    starts[0] = 0;
    for (ptrdiff_t i = 0; i < batch; i++) {
        const double here = i % 5 == 4 ? 1 - share : share;
        for (ptrdiff_t j = i * inputs; j < (i + 1) * inputs; j++) {
            images[j] = uniform() < here ? (uint8_t)(1 + 255 * uniform()) : 0;
            x[j] = bytes       ? (real)images[j] * (real)0.1
                   : images[j] ? (real)(uniform() - 0.5)
                   : j % 2     ? (real)0.
                               : (real)-0.;
        }
        starts[i + 1] =
            starts[i] +
            (bytes ? K->csr_row_from_dense_uint8(inputs, images + i * inputs, records + starts[i])
                   : K->csr_row_from_dense(inputs, x + i * inputs, records + starts[i]));
        rows[i] = i;
    }
    const cnet_csr_packed data = {blocks, inputs, starts, records, bytes};
    cnet_csr_batch lists = {length, batch + 3,
                            allocate((size_t)(blocks * (batch + 3)) * sizeof(cnet_csr_row))};
    /* In two parts, as threads do it: half of the rows, and half of the blocks of the others. */
    const ptrdiff_t half = batch / 2, middle = blocks / 2;
    const ptrdiff_t row_room = cnet_csr_max_nnz(inputs);
    real *room = allocate((size_t)(3 * batch * row_room) * sizeof(real));
    K->csr_gather_rows(&data, half, rows, batch - half, 0, blocks, &lists, 0, (real)0.1, room);
    K->csr_gather_rows(&data, batch - half, rows + half, 0, 0, middle, &lists, half, (real)0.1,
                       room + batch * row_room);
    K->csr_gather_rows(&data, batch - half, rows + half, 0, middle, blocks, &lists, half, (real)0.1,
                       room + 2 * batch * row_room);

    real *all = output(batch * outputs), *out = output(batch * outputs),
         *sums = output(batch * outputs * blocks), *added = output(batch * outputs);
    cnet_gemm g = {
        .m = batch,
        .n = outputs,
        .k = inputs,
        .a = x,
        .rs_a = inputs,
        .cs_a = 1,
        .b = w,
        .rs_b = outputs,
        .cs_b = 1,
        .c = all,
        .rs_c = outputs,
        .cs_c = 1,
        .bias = bias,
    };
    K->gemm(&g);
    g.c = out;
    K->spmm(&lists, 0, 0, &g);
    same_bits("out", batch * outputs, out, all);
    g.bias = NULL;
    g.c = all;
    K->gemm(&g);
    g.c = sums, g.split_k_stride = batch * outputs;
    K->spmm(&lists, 0, 0, &g);
    K->column_sums(blocks, batch * outputs, sums, batch * outputs, added, blocks, 0);
    same_bits("sums of blocks", batch * outputs, added, all);

    real *dw = output(inputs * outputs), *got = output(inputs * outputs),
         *stepped = copied(inputs * outputs, w), *expected = copied(inputs * outputs, w);
    g = (cnet_gemm){
        .m = inputs,
        .n = outputs,
        .k = batch,
        .a = x,
        .rs_a = 1,
        .cs_a = inputs,
        .b = dy,
        .rs_b = outputs,
        .cs_b = 1,
        .c = dw,
        .rs_c = outputs,
        .cs_c = 1,
    };
    K->gemm(&g);
    g.block = cnet_block_length(batch), g.accumulate = 1;
    memset(got, 0, (size_t)(inputs * outputs) * sizeof(real));
    const cnet_rule rule = {.kind = CNET_SGD, .lr = 0.1, .weight_decay = share};
    const cnet_update u = cnet_update_at(&rule, 1, 0);
    K->update(1, inputs * outputs, expected, NULL, 0, inputs * outputs, dw, inputs * outputs, &u);
    /* Scratch has room for whole vectors. */
    real *memory = allocate(((size_t)(CNET_KC * (outputs + K->spmm_nr)) + 64 / sizeof(real)) *
                            sizeof(real)),
         *scratch = memory;
    while ((uintptr_t)scratch % 64)
        scratch++;
    cnet_csc_block columns = {allocate(CNET_KC), allocate(CNET_KC * CNET_KC),
                              allocate(CNET_KC * CNET_KC * sizeof(real))};
    for (ptrdiff_t b = 0; b < blocks; b++) {
        const ptrdiff_t m = inputs - b * length < length ? inputs - b * length : length,
                        from = b * length * outputs;
        g.m = m, g.n = outputs, g.b = dy, g.c = got + from, g.rs_c = outputs, g.accumulate = 1;
        K->spmm_transposed(&lists, b, &g, 0);
        same_bits("dw, added to", m * outputs, got + from, dw + from);
        for (ptrdiff_t j = 0; j < outputs; j += g.n) {
            g.n = cnet_spmm_cols(K->spmm_nr, K->lanes, outputs - j), g.b = dy + j;
            g.c = scratch,
            g.rs_c = g.n == outputs ? outputs : (g.n + K->lanes - 1) / K->lanes * K->lanes,
            g.accumulate = 0;
            K->spmm_transposed(&lists, b, &g, 1);
            for (ptrdiff_t i = 0; i < m; i++)
                same_bits("dw in scratch", g.n, scratch + i * g.rs_c, dw + from + i * outputs + j);
        }
        if (batch > CNET_KC)
            continue;
        K->csr_to_csc(&lists, b, batch, m, &columns);
        K->spmm_columns(&columns, batch, m, outputs, dy, outputs, got + from, outputs, NULL);
        same_bits("dw by columns", m * outputs, got + from, dw + from);
        K->spmm_columns(&columns, batch, m, outputs, dy, outputs, stepped + from, outputs, &u);
        same_bits("a step by columns", m * outputs, stepped + from, expected + from);
    }
    void *const used_here[] = {records,         images,        starts, rows,
                               lists.rows,      room,          memory, columns.col_nnz,
                               columns.row_idx, columns.values};
    for (ptrdiff_t i = 0; i < COUNT(used_here); i++)
        free(used_here[i]);
    end_of_case();
}

static void column_sums(ptrdiff_t m, ptrdiff_t n) {
    snprintf(at, sizeof at, "column_sums, m %td n %td", m, n);
    real *x = input(m * n, -1, 1), *out = output(n), *parts = output(n);
    double *expected = allocate((size_t)n * sizeof(double));
    for (ptrdiff_t j = 0; j < n; j++) {
        expected[j] = 0;
        for (ptrdiff_t i = 0; i < m; i++)
            expected[j] += (double)x[i * n + j];
    }
    K->column_sums(m, n, x, n, out, 0, 0);
    compare("out", n, out, expected);
    const ptrdiff_t block = cnet_block_length(m), half = n / 2;
    for (ptrdiff_t i = 0; i == 0 || i < m; i += block ? block : 1) {
        const ptrdiff_t rows = m - i < block ? m - i : block;
        K->column_sums(rows, half, x + i * n, n, parts, block, i > 0);
        K->column_sums(rows, n - half, x + i * n + half, n, parts + half, block, i > 0);
    }
    same_bits("out summed in parts", n, parts, out);
    free(expected);
    end_of_case();
}

/* ---- element by element ---- */

/* An entry of a list that has no reference here is a failure. */
static double unknown(const char *list, int kind) {
    printf("%s: no reference for entry %d of the %s\n", at, kind, list);
    failures++;
    return 0;
}

#define PHI(x) (erfc(-(x) / sqrt(2.0)) / 2)
#define GELU_ROOT 0.79788456080286535588 /* sqrt(2 / pi) */

static double activated(int kind, double x) {
    switch (kind) {
    case CNET_RELU: return x > 0 ? x : 0;
    case CNET_LEAKY_RELU: return x < 0 ? (double)SLOPE * x : x;
    case CNET_TANH: return tanh(x);
    case CNET_SIGMOID: return 1 / (1 + exp(-x));
    case CNET_ELU: return x < 0 ? (double)SLOPE * expm1(x) : x;
    case CNET_GELU: return x * PHI(x);
    case CNET_GELU_TANH: return x / 2 * (1 + tanh(GELU_ROOT * (x + 0.044715 * x * x * x)));
    case CNET_SILU: return x / (1 + exp(-x));
    case CNET_SOFTPLUS:
        return (double)SLOPE * x > 20 ? x : log1p(exp((double)SLOPE * x)) / (double)SLOPE;
    }
    return unknown("activations", kind);
}

static double derivative(int kind, double x) {
    const double y = activated(kind, x), sigmoid = 1 / (1 + exp(-x));
    const double t = tanh(GELU_ROOT * (x + 0.044715 * x * x * x));
    switch (kind) {
    case CNET_RELU: return x > 0;
    case CNET_LEAKY_RELU: return x > 0 ? 1 : (double)SLOPE;
    case CNET_TANH: return 1 - y * y;
    case CNET_SIGMOID: return y * (1 - y);
    case CNET_ELU: return x < 0 ? (double)SLOPE * exp(x) : 1;
    case CNET_GELU: return PHI(x) + x * exp(-x * x / 2) / sqrt(2 * acos(-1.0));
    case CNET_GELU_TANH:
        return (1 + t) / 2 + x / 2 * (1 - t * t) * GELU_ROOT * (1 + 3 * 0.044715 * x * x);
    case CNET_SILU: return sigmoid * (1 + x * (1 - sigmoid));
    case CNET_SOFTPLUS: return (double)SLOPE * y > 20 ? 1 : 1 / (1 + exp(-(double)SLOPE * x));
    }
    return unknown("activations", kind);
}

/* On inputs from -2 to 2, of which some are saturated if asked for. */
static void activation(int kind, ptrdiff_t n, int saturated) {
    snprintf(at, sizeof at, "activation %d, n %td, saturated %d", kind, n, saturated);
    const int reads_input = kind == CNET_GELU || kind == CNET_GELU_TANH || kind == CNET_SILU;
    real *x = input(n, -2, 2), *dy = input(n, -1, 1), *y = output(n), *dx = output(n);
    double *forward = allocate((size_t)n * sizeof(double)),
           *backward = allocate((size_t)n * sizeof(double));
    for (ptrdiff_t i = 3; saturated && i < n; i += 4)
        x[i] *= 150;
    for (ptrdiff_t i = 0; i < n; i++) {
        forward[i] = activated(kind, x[i]);
        backward[i] = derivative(kind, x[i]) * dy[i];
    }
    K->activation(kind, n, x, y, SLOPE);
    compare("y", n, y, forward);
    K->activation_backward(kind, n, reads_input ? x : y, dy, dx, SLOPE);
    compare("dx", n, dx, backward);
    free(forward);
    free(backward);
    end_of_case();
}

/* One element of a parameter and of its optimizer state, in double precision. */
static double updated(const cnet_rule *r, double step, double weight, double w, double g,
                      double *v) {
    const double lr = r->lr, unbias1 = 1 - pow(r->beta1, step), unbias2 = 1 - pow(r->beta2, step);
    const double decay = r->summed ? r->weight_decay / weight : r->weight_decay;
    double root, mu, next_mu;
    if (r->decoupled)
        w -= lr * decay * w;
    else
        g += decay * w;
    switch (r->kind) {
    case CNET_SGD: return w - lr * g;
    case CNET_MOMENTUM:
    case CNET_NESTEROV:
        v[0] = r->beta1 * v[0] + g;
        return w - lr * (r->kind == CNET_NESTEROV ? g + r->beta1 * v[0] : v[0]);
    case CNET_ADAM:
    case CNET_AMSGRAD:
        v[0] = r->beta1 * v[0] + (1 - r->beta1) * g;
        v[1] = r->beta2 * v[1] + (1 - r->beta2) * g * g;
        if (r->kind == CNET_AMSGRAD)
            v[2] = fmax(v[2], v[1]);
        root = sqrt(r->kind == CNET_AMSGRAD ? v[2] : v[1]);
        root = r->inner ? (root + r->eps) / sqrt(unbias2) : root / sqrt(unbias2) + r->eps;
        return w - lr * v[0] / unbias1 / root;
    case CNET_NADAM: /* v[2] = 1 - the product of all momenta */
        mu = r->beta1 * (1 - pow(0.96, step * r->setting) / 2);
        next_mu = r->beta1 * (1 - pow(0.96, (step + 1) * r->setting) / 2);
        v[0] = r->beta1 * v[0] + (1 - r->beta1) * g;
        v[1] = r->beta2 * v[1] + (1 - r->beta2) * g * g;
        v[2] = 1 - mu * (1 - v[2]);
        root = r->inner ? (sqrt(v[1]) + r->eps) / sqrt(unbias2) : sqrt(v[1] / unbias2) + r->eps;
        g = (1 - mu) * g / v[2] + next_mu * v[0] / (1 - next_mu * (1 - v[2]));
        return w - lr * g / root;
    case CNET_RMSPROP:
    case CNET_RMSPROP_MOMENTUM:
    case CNET_RMSPROP_CENTERED:
        v[0] = r->beta2 * v[0] + (1 - r->beta2) * g * g;
        root = v[0];
        if (r->kind == CNET_RMSPROP_CENTERED) {
            v[2] = r->beta2 * v[2] + (1 - r->beta2) * g;
            root -= v[2] * v[2];
        }
        g /= sqrt(root) + r->eps;
        if (r->kind != CNET_RMSPROP)
            g = v[1] = r->beta1 * v[1] + g;
        return w - lr * g;
    }
    return unknown("optimizers", r->kind);
}

/* Rows of w and of its state with a gap between them, which stays as it is. */
static void update(int kind, ptrdiff_t m, ptrdiff_t n, double weight_decay, int decoupled,
                   int of_sum) {
    snprintf(at, sizeof at, "update %d, m %td n %td decay %g decoupled %d of a sum %d", kind, m, n,
             weight_decay, decoupled, of_sum);
    const cnet_rule rule = {.kind = kind,
                            .decoupled = decoupled,
                            .summed = of_sum,
                            .inner = of_sum,
                            .lr = 0.1,
                            .weight_decay = weight_decay,
                            .beta1 = 0.8,
                            .beta2 = 0.9,
                            .eps = 1e-3,
                            .setting = 4e-3};
    const cnet_update numbers = cnet_update_at(&rule, 3, 0.5);
    const int states = cnet_state_count(kind);
    const ptrdiff_t ldw = n + 1, size = m * ldw;
    /* States are the mean of squares, and means that are smaller than its root. */
    real *g = input(m * n, -1, 1), *w0 = input(size, -1, 1), *v0 = input(3 * size, 0.2, 0.4);
    const int adam = kind == CNET_ADAM || kind == CNET_AMSGRAD || kind == CNET_NADAM;
    for (ptrdiff_t i = 0; i < size; i++)
        v0[(adam ? size : 0) + i] += 1;
    real *w = copied(size, w0), *v = copied(states * size, v0);
    double *expected_w = allocate((size_t)size * sizeof(double)),
           *expected_v = allocate((size_t)(states * size) * sizeof(double));
    for (ptrdiff_t i = 0; i < size; i++) {
        double state[3] = {0};
        for (int k = 0; k < states; k++)
            state[k] = v0[k * size + i];
        expected_w[i] = i % ldw == n
                            ? (double)w0[i]
                            : updated(&rule, 3, 0.5, w0[i], g[i / ldw * n + i % ldw], state);
        for (int k = 0; k < states; k++)
            expected_v[k * size + i] = state[k];
    }
    K->update(m, n, w, v, size, ldw, g, n, &numbers);
    compare("w", size, w, expected_w);
    compare("the state", states * size, v, expected_v);
    free(expected_w);
    free(expected_v);
    end_of_case();
}

static void clip(ptrdiff_t n) {
    snprintf(at, sizeof at, "clip, n %td", n);
    const real most = (real)0.7;
    real *g0 = input(n, -1, 1), *g = copied(n, g0), *sum = output(1);
    double *expected = allocate((size_t)n * sizeof(double)), squares = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        expected[i] = fmax(-(double)most, fmin((double)most, g0[i]));
        squares += expected[i] * expected[i];
    }
    *sum = 0;
    for (ptrdiff_t i = 0; i < n; i += 100) /* by chunks, as callers do */
        *sum += (real)K->clip(n - i < 100 ? n - i : 100, g + i, most);
    compare("g", n, g, expected);
    compare("the sum of squares", 1, sum, &squares);
    *sum = (real)K->square_sum(n, g);
    compare("the sum of squares alone", 1, sum, &squares);
    for (ptrdiff_t i = 0; i < n; i++)
        expected[i] *= (double)SLOPE;
    K->scale(n, g, SLOPE);
    compare("g scaled", n, g, expected);
    free(expected);
    end_of_case();
}

/* ---- row by row ---- */

/* Rows in any order, some of them twice. */
static void gather(ptrdiff_t m, ptrdiff_t n) {
    snprintf(at, sizeof at, "gather, m %td n %td", m, n);
    real *x = input(m * n, -1, 1), *y = output(2 * m * n), *scaled = output(2 * m * n),
         *tail = output(2 * m * (n / 2));
    real *expected = array(2 * m * n, 0), *expected_scaled = array(2 * m * n, 0);
    uint8_t *images = allocate((size_t)(m * n));
    int64_t *rows = allocate((size_t)(2 * m) * sizeof *rows);
    for (ptrdiff_t i = 0; i < m * n; i++)
        images[i] = (uint8_t)i;
    for (ptrdiff_t i = 0; i < 2 * m; i++) {
        rows[i] = (i * 7 + 3) % m;
        for (ptrdiff_t j = 0; j < n; j++) {
            expected[i * n + j] = x[rows[i] * n + j];
            expected_scaled[i * n + j] = (real)images[rows[i] * n + j] * (real)0.1 + (real)0.3;
        }
    }
    K->gather(2 * m, n, x, n, rows, 0, y);
    same_bits("out", 2 * m * n, y, expected);
    K->gather(2 * m, n / 2, x + n - n / 2, n, rows, 0, tail);
    for (ptrdiff_t i = 0; i < 2 * m; i++)
        same_bits("out of some columns", n / 2, tail + i * (n / 2), expected + i * n + n - n / 2);
    K->gather_uint8(2 * m, n, images, n, rows, 0, (real)0.1, (real)0.3, scaled);
    same_bits("out of uint8", 2 * m * n, scaled, expected_scaled);
    free(images);
    free(rows);
    end_of_case();
}

static void softmax_row(ptrdiff_t n, const real *x, double *y, double *log_sum) {
    double max = x[0], sum = 0;
    for (ptrdiff_t j = 0; j < n; j++)
        max = fmax(max, x[j]);
    for (ptrdiff_t j = 0; j < n; j++)
        sum += exp(x[j] - max);
    for (ptrdiff_t j = 0; j < n; j++)
        y[j] = exp(x[j] - max) / sum;
    *log_sum = max + log(sum);
}

static void softmax(ptrdiff_t m, ptrdiff_t n) {
    snprintf(at, sizeof at, "softmax, m %td n %td", m, n);
    real *x = input(m * n, -9, 9), *dy = input(m * n, -1, 1), *y = output(m * n),
         *dx = output(m * n);
    double *forward = allocate((size_t)(m * n) * sizeof(double)),
           *backward = allocate((size_t)(m * n) * sizeof(double)), log_sum;
    for (ptrdiff_t i = 0; i < m; i++) {
        double *p = forward + i * n, dot = 0;
        softmax_row(n, x + i * n, p, &log_sum);
        for (ptrdiff_t j = 0; j < n; j++)
            dot += p[j] * dy[i * n + j];
        for (ptrdiff_t j = 0; j < n; j++)
            backward[i * n + j] = p[j] * (dy[i * n + j] - dot);
    }
    K->softmax(m, n, x, y);
    compare("y", m * n, y, forward);
    K->softmax_backward(m, n, y, dy, dx);
    compare("dx", m * n, dx, backward);
    free(forward);
    free(backward);
    end_of_case();
}

#define SETTING ((real)0.3)

/* The loss of an element in double precision, and its derivative. */
static double element_loss(int kind, double x, double t, double *derivative) {
    const double d = x - t, setting = SETTING;
    switch (kind) {
    case CNET_L1: *derivative = (d > 0) - (d < 0); return fabs(d);
    case CNET_HUBER:
        *derivative = fmax(-setting, fmin(setting, d));
        return fabs(d) <= setting ? d * d / 2 : setting * (fabs(d) - setting / 2);
    case CNET_QUANTILE: *derivative = d > 0 ? 1 - setting : -setting; return d * *derivative;
    case CNET_POISSON: *derivative = 1 - t / (x + setting); return x - t * log(x + setting);
    case CNET_POISSON_LOG: *derivative = exp(x) - t; return exp(x) - t * x;
    case CNET_BCE: *derivative = 1 / (1 + exp(-x)) - t; return log(1 + exp(x)) - t * x;
    case CNET_SMOOTH_L1:
        *derivative = fmax(-1, fmin(1, d / setting));
        return fabs(d) < setting ? d * d / 2 / setting : fabs(d) - setting / 2;
    case CNET_MSE: *derivative = 2 * d; return d * d;
    }
    return unknown("losses", kind);
}

/* A loss and its gradient, with labels or with targets t of any kind; once with both asked for,
   once with either alone. The cross-entropy may be smoothed, and its classes weighted. */
static void loss(int kind, int with_labels, int smoothed, int weighted, ptrdiff_t m, ptrdiff_t n) {
    snprintf(at, sizeof at, "loss %d, %s, smoothed %d weighted %d m %td n %td", kind,
             with_labels ? "labels" : "soft", smoothed, weighted, m, n);
    const real scale = (real)0.25, smoothing = smoothed ? SETTING : 0;
    real *x = kind == CNET_NLL || kind == CNET_POISSON ? input(m * n, 0.1, 1) : input(m * n, -5, 5),
         *t = input(m * n, 0.1, 1);
    real *weights = weighted ? input(n, 0.1, 1) : NULL;
    real *rows = output(m), *dx = output(m * n), *rows_alone = output(m), *dx_alone = output(m * n);
    int64_t *labels = allocate((size_t)m * sizeof *labels);
    double *expected = allocate((size_t)m * sizeof(double)),
           *gradient = allocate((size_t)(m * n) * sizeof(double)),
           *p = allocate((size_t)n * sizeof(double));
    double *target = allocate((size_t)n * sizeof(double));
    if (kind == CNET_NLL && m)
        x[0] = 0; /* log 0 is not asked for */
    for (ptrdiff_t i = 0; i < m; i++) {
        const real *row = x + i * n;
        double log_sum, mass = 0;
        labels[i] = (i * 7 + 3) % n;
        softmax_row(n, row, p, &log_sum);
        for (ptrdiff_t j = 0; j < n; j++) {
            target[j] = with_labels ? labels[i] == j : (double)t[i * n + j];
            target[j] = (weighted ? (double)weights[j] : 1) *
                        ((1 - (double)smoothing) * target[j] + (double)smoothing / (double)n);
            mass += target[j];
        }
        expected[i] = 0;
        for (ptrdiff_t j = 0; j < n; j++) {
            const double at_least = fmax(row[j], SMALLEST);
            double *d = gradient + i * n + j;
            if (kind == CNET_CROSS_ENTROPY) {
                expected[i] += target[j] * (log_sum - row[j]);
                *d = (p[j] * mass - target[j]) * scale;
            } else if (kind == CNET_NLL) {
                expected[i] -= target[j] * log(at_least);
                *d = -target[j] * scale / at_least;
            } else {
                expected[i] += element_loss(kind, row[j], target[j], d) / (double)n;
                *d *= scale;
            }
        }
    }
    for (int alone = 0; alone < 3; alone++) {
        real *to_rows = alone == 0   ? rows
                        : alone == 1 ? rows_alone
                                     : NULL,
             *to_dx = alone == 0   ? dx
                      : alone == 1 ? NULL
                                   : dx_alone;
        if (kind == CNET_CROSS_ENTROPY)
            K->softmax_cross_entropy(m, n, x, with_labels ? labels : NULL, with_labels ? NULL : t,
                                     weights, smoothing, to_rows, to_dx, scale);
        else if (kind == CNET_NLL)
            K->nll(m, n, x, with_labels ? labels : NULL, with_labels ? NULL : t, to_rows, to_dx,
                   scale);
        else
            K->elementwise_loss(kind, m, n, x, t, SETTING, to_rows, to_dx, scale);
    }
    if (with_labels) {
        ptrdiff_t correct = 0;
        for (ptrdiff_t i = 0; i < m; i++) {
            ptrdiff_t best = 0;
            for (ptrdiff_t j = 1; j < n; j++)
                best = x[i * n + j] > x[i * n + best] ? j : best;
            correct += best == labels[i];
        }
        const real counted = (real)K->count_correct(m, n, x, labels);
        const double expected_count = (double)correct;
        compare("rows classified correctly", 1, &counted, &expected_count);
    }
    compare("the loss", m, rows, expected);
    compare("the gradient", m * n, dx, gradient);
    same_bits("the loss alone", m, rows_alone, rows);
    same_bits("the gradient alone", m * n, dx_alone, dx);
    free(labels);
    free(expected);
    free(gradient);
    free(p);
    free(target);
    end_of_case();
}

#define LISTED(name) CNET_##name,

int main(void) {
    static const int activations[] = {CNET_ACTIVATIONS(LISTED)};
    static const int losses[] = {CNET_ELEMENT_LOSSES(LISTED)};
    /* Batch, inputs, outputs; rows and columns; lengths: nothing, one, odd, wider than a tile,
       longer than a block. */
    static const ptrdiff_t linear[][3] = {
        {0, 3, 2},     {1, 1, 1},       {3, 5, 7},      {7, 1, 66},    {2, 784, 10},
        {32, 33, 65},  {37, 202, 17},   {203, 257, 31}, {300, 9, 4},   {5, 64, 300},
        {40, 20, 300}, {300, 150, 260}, {9, 3, 300},    {37, 10, 150}, {7, 16, 128},
    };
    static const ptrdiff_t matrices[][2] = {{0, 5},   {1, 1},   {3, 10}, {2, 17},
                                            {33, 64}, {5, 131}, {300, 9}};
    static const ptrdiff_t lengths[] = {0, 1, 3, 16, 65, 1000};

    for (ptrdiff_t i = 0; i < COUNT(linear); i++) {
        const ptrdiff_t batch = linear[i][0], inputs = linear[i][1], outputs = linear[i][2];
        product("forward", batch, outputs, inputs, 0, 0, 0, 1);
        product("forward without bias", batch, outputs, inputs, 0, 0, 0, 0);
        product("dW", inputs, outputs, batch, 1, 0, 0, 0);
        product("dX", batch, inputs, outputs, 0, 1, 0, 0);
        product("dX transposed", inputs, batch, outputs, 0, 1, 1, 0);
        for (int bytes = 0; bytes < 2 && batch && inputs > 1; bytes++) {
            sparse_products(batch, outputs, inputs, 0.2, bytes);
            sparse_products(batch, outputs, inputs, 0, bytes);
        }
    }
    for (ptrdiff_t i = 0; i < COUNT(matrices); i++) {
        const ptrdiff_t m = matrices[i][0], n = matrices[i][1];
        column_sums(m, n);
        gather(m, n);
        softmax(m, n);
        for (int labels = 0; labels < 2; labels++) {
            for (int settings = 0; settings < 4; settings++)
                loss(CNET_CROSS_ENTROPY, labels, settings & 1, settings >> 1, m, n);
            loss(CNET_NLL, labels, 0, 0, m, n);
        }
        for (ptrdiff_t k = 0; k < COUNT(losses); k++)
            loss(losses[k], 0, 0, 0, m, n);
    }
    for (ptrdiff_t i = 0; i < COUNT(lengths); i++) {
        for (ptrdiff_t k = 0; k < COUNT(activations); k++) {
            activation(activations[k], lengths[i], 0);
            activation(activations[k], lengths[i], 1);
        }
        for (int kind = 0; kind < CNET_OPTIMIZER_COUNT; kind++) {
            update(kind, 1, lengths[i], 0, 0, 0);
            update(kind, 3, lengths[i], 0.01, 0, 0);
            update(kind, 3, lengths[i], 0.01, 0, 1);
        }
        update(CNET_ADAM, 3, lengths[i], 0.01, 1, 0);
        update(CNET_NADAM, 3, lengths[i], 0.01, 1, 0);
        clip(lengths[i] % 200); /* sums of more are for callers to cut */
    }
    printf("%td lanes: %d comparisons, %d failures\n", K->lanes, comparisons, failures);
    return failures > 0;
}
