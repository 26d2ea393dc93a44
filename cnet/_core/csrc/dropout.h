/* Dropout by a generator that counts instead of remembering: whether an element is dropped follows from a key, a step and
   the element's position, so that any part of a batch can be made by any thread, and again for the gradient.

   The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011):
   128 bits of counter, here a number of a group of elements and the step, are turned into four words. COUNTERS of them are
   taken together, by loops that compilers turn into vectors; word w of the l-th is for element w * COUNTERS + l of the
   4 * COUNTERS that they serve. */

#define COUNTERS 16
#define ROUNDS 10

INLINE uint32_t high_word(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }

/* One round for all counters; compilers make vectors of this only where the words lie in arrays of their own. */
static void philox_round(uint32_t *restrict w0, uint32_t *restrict w1, uint32_t *restrict w2, uint32_t *restrict w3, uint32_t k0, uint32_t k1) {
    for (int l = 0; l < COUNTERS; l++) {
        const uint32_t c0 = w0[l], c1 = w1[l], c2 = w2[l], c3 = w3[l];
        w0[l] = high_word(0xCD9E8D57u, c2) ^ c1 ^ k0;
        w1[l] = 0xCD9E8D57u * c2;
        w2[l] = high_word(0xD2511F53u, c0) ^ c3 ^ k1;
        w3[l] = 0xD2511F53u * c0;
    }
}

static void philox(uint64_t first, uint64_t step, uint64_t key, uint32_t words[4][COUNTERS]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int l = 0; l < COUNTERS; l++) {
        words[0][l] = (uint32_t)(first + l);
        words[1][l] = (uint32_t)((first + l) >> 32);
        words[2][l] = (uint32_t)step;
        words[3][l] = (uint32_t)(step >> 32);
    }
    for (int round = 0; round < ROUNDS; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        philox_round(words[0], words[1], words[2], words[3], k0, k1);
}

/* Elements first to first + n of a batch; x and y begin with the first of them. */
static void dropout(ptrdiff_t first, ptrdiff_t n, const real *x, real *y, const cnet_dropout *d) {
    const ptrdiff_t served = 4 * COUNTERS;
    uint32_t words[4][COUNTERS];
    const uint32_t *word = words[0], threshold = d->threshold;
    const real scale = d->scale;
    for (ptrdiff_t at = first / served * served; at < first + n; at += served) {
        const ptrdiff_t start = at < first ? first - at : 0, end = first + n - at < served ? first + n - at : served;
        const real *from = x + (at - first);
        real *to = y + (at - first);
        philox((uint64_t)(at / 4), d->step, d->key, words);
        for (ptrdiff_t i = start; i < end; i++)
            to[i] = word[i] < threshold ? 0 : from[i] * scale;
    }
}
