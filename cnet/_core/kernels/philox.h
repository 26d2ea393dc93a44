/* Philox4x32-10, a counter-based random number generator: four words of 32 bits are a function of a
   counter of 128 bits and a key of 64 bits. There is no state, so the words do not depend on the
   thread or the order of calls (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as
   1, 2, 3, SC 2011).

   The counter is the input of the first round. The words are the output of round PHILOX_ROUNDS. The
   key changes between rounds. */

#define PHILOX_ROUNDS 10

/* The upper 32 bits of a * b. */
INLINE uint32_t high_word(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }

/* (w0, w1, w2, w3) = (high(M1 w2) ^ w1 ^ k0, low(M1 w2), high(M0 w0) ^ w3 ^ k1, low(M0 w0)), with
   M0 = 0xD2511F53 and M1 = 0xCD9E8D57, for each counter; w0, w1, w2, w3 (counters).

   counters is a constant where this is inlined. Compilers vectorize the loop only if each word has
   a separate array. */
INLINE void philox_round(const int counters, uint32_t *restrict w0, uint32_t *restrict w1,
                         uint32_t *restrict w2, uint32_t *restrict w3, uint32_t k0, uint32_t k1) {
    for (int l = 0; l < counters; l++) {
        const uint32_t c0 = w0[l], c1 = w1[l], c2 = w2[l], c3 = w3[l];
        w0[l] = high_word(0xCD9E8D57u, c2) ^ c1 ^ k0;
        w1[l] = 0xCD9E8D57u * c2;
        w2[l] = high_word(0xD2511F53u, c0) ^ c3 ^ k1;
        w3[l] = 0xD2511F53u * c0;
    }
}

/* The key of the next round: (k0, k1) += (0x9E3779B9, 0xBB67AE85) */
INLINE void philox_next_key(uint32_t *k0, uint32_t *k1) {
    *k0 += 0x9E3779B9u;
    *k1 += 0xBB67AE85u;
}
