/* Random numbers by counting instead of remembering: a counter of 128 bits and a key of 64 give
   four words, whichever thread asks for them and whenever.

   Philox4x32-10: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC
   2011. */

#define PHILOX_ROUNDS 10

INLINE uint32_t high_word(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }

/* One round for so many counters, a constant where this is inlined; compilers make vectors of it
   only where the words lie in their own arrays. */
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

INLINE void philox_next_key(uint32_t *k0, uint32_t *k1) {
    *k0 += 0x9E3779B9u;
    *k1 += 0xBB67AE85u;
}
