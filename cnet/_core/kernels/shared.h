/* Numbers that threads read while another writes them. A read gives some value that was written; it
   says nothing about any other memory. */
#ifndef CNET_SHARED_H
#define CNET_SHARED_H

#include <stddef.h>

#if defined(_MSC_VER) && !defined(__clang__)

/* Its C has no atomics; it reads and writes such a number at once. */
typedef struct {
    volatile ptrdiff_t value;
} cnet_shared;

static inline ptrdiff_t cnet_get(const cnet_shared *s) { return s->value; }
static inline void cnet_set(cnet_shared *s, ptrdiff_t value) { s->value = value; }

#include <intrin.h>
typedef struct {
    volatile char taken;
} cnet_claim;

static inline int cnet_take(cnet_claim *c) { return !_InterlockedExchange8(&c->taken, 1); }
static inline void cnet_release(cnet_claim *c) { _InterlockedExchange8(&c->taken, 0); }

#else

#include <stdatomic.h>

typedef struct {
    atomic_ptrdiff_t value;
} cnet_shared;

static inline ptrdiff_t cnet_get(const cnet_shared *s) {
    return atomic_load_explicit(&s->value, memory_order_relaxed);
}
static inline void cnet_set(cnet_shared *s, ptrdiff_t value) {
    atomic_store_explicit(&s->value, value, memory_order_relaxed);
}

/* What one thread at a time may have. Nobody waits for it. */
typedef struct {
    atomic_flag taken;
} cnet_claim;

static inline int cnet_take(cnet_claim *c) {
    return !atomic_flag_test_and_set_explicit(&c->taken, memory_order_acquire);
}
static inline void cnet_release(cnet_claim *c) {
    atomic_flag_clear_explicit(&c->taken, memory_order_release);
}

#endif

#endif
