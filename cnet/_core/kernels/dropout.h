/* Dropout with the generator of philox.h. The key, the step and the position of an element in the
   batch decide whether it is dropped. So any thread can compute any part of a batch, and the
   backward pass computes the same mask again.

   Elements are processed in groups of 4 * COUNTERS. Word w of counter l of a group belongs to its
   element w * COUNTERS + l. Compilers vectorize the loops over counters. */

#define COUNTERS 16

/* One round of Philox on COUNTERS counters; w0, w1, w2, w3 (COUNTERS) */
static void dropout_round(uint32_t *restrict w0, uint32_t *restrict w1, uint32_t *restrict w2,
                          uint32_t *restrict w3, uint32_t k0, uint32_t k1) {
    philox_round(COUNTERS, w0, w1, w2, w3, k0, k1);
}

/* words[:, l] = Philox4x32-10 of counter (first + l, step) with that key; words (4, COUNTERS) */
static void dropout_words(uint64_t first, uint64_t step, uint64_t key,
                          uint32_t words[4][COUNTERS]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int l = 0; l < COUNTERS; l++) {
        words[0][l] = (uint32_t)(first + l);
        words[1][l] = (uint32_t)((first + l) >> 32);
        words[2][l] = (uint32_t)step;
        words[3][l] = (uint32_t)(step >> 32);
    }
    for (int round = 0; round < PHILOX_ROUNDS; round++, philox_next_key(&k0, &k1))
        dropout_round(words[0], words[1], words[2], words[3], k0, k1);
}

/* y[i] = 0 if word < threshold, else scale * x[i], where word is that of element first + i of the
   batch; x, y (n). With dy for x it computes the gradient. */
static void dropout(ptrdiff_t first, ptrdiff_t n, const real *x, real *y, const cnet_dropout *d) {
    const ptrdiff_t served = 4 * COUNTERS;
    uint32_t words[4][COUNTERS];
    const uint32_t *word = words[0], threshold = d->threshold;
    const real scale = d->scale;
    for (ptrdiff_t at = first / served * served; at < first + n; at += served) {
        const ptrdiff_t start = at < first ? first - at : 0,
                        end = first + n - at < served ? first + n - at : served;
        const real *from = x + (at - first);
        real *to = y + (at - first);
        dropout_words((uint64_t)(at / 4), d->step, d->key, words);
        for (ptrdiff_t i = start; i < end; i++)
            to[i] = word[i] < threshold ? 0 : from[i] * scale;
    }
}
