/* Dropout by a generator that counts instead of remembering: whether an element is dropped follows
   from a key, a step and the element's position, so that any part of a batch can be made by any
   thread, and again for the gradient.

   The counter of philox.h is here the number of a group of elements and the step. COUNTERS of them
   are taken together, by loops that compilers turn into vectors; word w of the l-th is for element
   w * COUNTERS + l of the 4 * COUNTERS that they serve. */

#define COUNTERS 16

static void dropout_round(uint32_t *restrict w0, uint32_t *restrict w1, uint32_t *restrict w2,
                          uint32_t *restrict w3, uint32_t k0, uint32_t k1) {
    philox_round(COUNTERS, w0, w1, w2, w3, k0, k1);
}

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

/* Elements first to first + n of a batch; x and y begin with the first of them. */
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
