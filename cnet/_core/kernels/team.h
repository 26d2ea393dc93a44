/* The team of threads that run a program in one parallel region: its size, barrier and clock.

   A step of a small network takes tens of microseconds, and has two barriers. A barrier of OpenMP
   may put waiting threads to sleep. This barrier spins for about as long as a step takes, and then
   yields the processor: on a busy machine, the last thread may need it. */
#ifndef CNET_TEAM_H
#define CNET_TEAM_H

#include <stddef.h>
#include <time.h>

/* Seconds since an arbitrary moment. Without a monotonic clock, a call of a program may end early
   or late when the clock is set. */
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
/* Number of threads of the current parallel region. */
static inline int cnet_team_size(void) { return omp_get_num_threads(); }
#else
static inline int cnet_team_size(void) { return 1; }
#endif

#if defined(_MSC_VER) && !defined(__clang__)

/* C of MSVC has no atomics: this is OpenMP's barrier. */
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

/* Looks at the round before a waiting thread yields the processor. */
enum { CNET_SPINS = 4000 };

/* Must be zero before its first use. The counters are a cache line apart: all threads write
   arrived, and poll round. */
typedef struct {
    atomic_int arrived;
    char apart[64 - sizeof(atomic_int)];
    atomic_int round;
} cnet_barrier;

/* Returns when all `size` threads have called it. Memory that one of them wrote before the call is
   visible to all after it. The last thread starts the next round. */
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
