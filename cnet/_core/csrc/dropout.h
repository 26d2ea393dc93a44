/* Dropout by a generator that counts instead of remembering: whether an element is dropped follows from a key, a step and
   the element's position, so that any part of a batch can be made by any thread, and again for the gradient.

   The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011):
   128 bits of counter, here a number of a group of elements and the step, are turned into four words. COUNTERS of them are
   taken together, by loops that compilers turn into vectors; word w of the l-th is for element w * COUNTERS + l of the
   4 * COUNTERS that they serve. */

#define COUNTERS 16
#define ROUNDS 10

static void philox(uint64_t first, uint64_t step, uint64_t key, uint32_t words[4][COUNTERS]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int l = 0; l < COUNTERS; l++) {
        words[0][l] = (uint32_t)(first + l);
        words[1][l] = (uint32_t)((first + l) >> 32);
        words[2][l] = (uint32_t)step;
        words[3][l] = (uint32_t)(step >> 32);
    }
    for (int round = 0; round < ROUNDS; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int l = 0; l < COUNTERS; l++) {
            const uint64_t even = (uint64_t)0xD2511F53u * words[0][l], odd = (uint64_t)0xCD9E8D57u * words[2][l];
            const uint32_t c1 = words[1][l], c3 = words[3][l];
            words[0][l] = (uint32_t)(odd >> 32) ^ c1 ^ k0;
            words[1][l] = (uint32_t)odd;
            words[2][l] = (uint32_t)(even >> 32) ^ c3 ^ k1;
            words[3][l] = (uint32_t)even;
        }
}

/* Elements first to first + n of a batch; x and y begin with the first of them. */
static void dropout(ptrdiff_t first, ptrdiff_t n, const real *x, real *y, const cnet_dropout *d) {
    const ptrdiff_t served = 4 * COUNTERS;
    uint32_t words[4][COUNTERS];
    const uint32_t *word = words[0];
    for (ptrdiff_t at = first / served * served; at < first + n; at += served) {
        const ptrdiff_t start = at < first ? first - at : 0, end = first + n - at < served ? first + n - at : served;
        const real *from = x + (at - first);
        real *to = y + (at - first);
        philox((uint64_t)(at / 4), d->step, d->key, words);
        for (ptrdiff_t i = start; i < end; i++)
            to[i] = word[i] < d->threshold ? 0 : from[i] * d->scale;
    }
}
