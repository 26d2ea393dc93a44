/* Atomics: a number that threads share, and a try-lock. */
#ifndef CNET_SHARED_H
#define CNET_SHARED_H

#include <stddef.h>

#if defined(_MSC_VER) && !defined(__clang__)

/* C of MSVC has no atomics. It reads and writes a volatile number of this size at once. */
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

/* A number that threads read while another writes it. Accesses are relaxed: a read gives some value
   that was written, and orders no other memory. */
typedef struct {
    atomic_ptrdiff_t value;
} cnet_shared;

static inline ptrdiff_t cnet_get(const cnet_shared *s) {
    return atomic_load_explicit(&s->value, memory_order_relaxed);
}
static inline void cnet_set(cnet_shared *s, ptrdiff_t value) {
    atomic_store_explicit(&s->value, value, memory_order_relaxed);
}

/* A try-lock. cnet_take returns 1 if it got the lock, and 0 at once if another thread holds it. */
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
