/* The threads of one parallel region that run a program together, and what they need to wait for
   each other.

   A step of a small network takes tens of microseconds and has two points at which all threads must
   have come. OpenMP's barrier takes its turn with the operating system where threads have to wait;
   these threads wait by looking, for about as long as a step lasts, and only then let others have
   the processor: on a machine that is busy otherwise, the one that is waited for may need it. */
#ifndef CNET_TEAM_H
#define CNET_TEAM_H

#include <stddef.h>
#include <time.h>

/* Seconds since some moment. Where the system has no clock that nobody sets, a call of a program
   may end early or late. */
static inline double cnet_seconds(void) {
    struct timespec now;
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#ifdef _OPENMP
#include <omp.h>
static inline int cnet_team_size(void) { return omp_get_num_threads(); }
#else
static inline int cnet_team_size(void) { return 1; }
#endif

#if defined(_MSC_VER) && !defined(__clang__)

/* Its C has no atomics: OpenMP's own barrier. */
typedef struct {
    int size;
} cnet_barrier;

static inline void cnet_barrier_wait(cnet_barrier *b, int size) {
    (void)b;
    if (size > 1) {
#pragma omp barrier
    }
}

#else

#include <sched.h>
#include <stdatomic.h>

#if defined(__x86_64__) || defined(__i386__)
#define CNET_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define CNET_PAUSE() __asm__ volatile("yield")
#else
#define CNET_PAUSE() ((void)0)
#endif

enum { CNET_SPINS = 4000 };

/* Zero before its first use. The counters lie a cache line apart: one is written by all, the other
   looked at by all. */
typedef struct {
    atomic_int arrived;
    char apart[64 - sizeof(atomic_int)];
    atomic_int round;
} cnet_barrier;

static inline void cnet_barrier_wait(cnet_barrier *b, int size) {
    if (size == 1)
        return;
    const int round = atomic_load_explicit(&b->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) == size - 1) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&b->round, round + 1, memory_order_release);
        return;
    }
    for (int looks = 0; atomic_load_explicit(&b->round, memory_order_acquire) == round; looks++) {
        if (looks < CNET_SPINS)
            CNET_PAUSE();
        else
            sched_yield();
    }
}

#endif

#endif
