/* Detects whether other programs keep the processors busy.

   The threads of a parallel region wait for the last one. On a busy machine that thread may wait
   several milliseconds, until the system takes a processor from another program. Shorter work is
   then faster on one thread.

   The measure is the fraction of time that a thread was ready to run, but waited for a processor.
   Only Linux reports it; elsewhere no machine counts as busy. */
#ifndef CNET_BUSY_H
#define CNET_BUSY_H

#include "shared.h"

#if defined(__linux__)

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    CNET_BUSY_WINDOW = 50, /* milliseconds that a thread ran or waited: the minimum to judge by */
    CNET_BUSY_SHARE = 15,  /* percent of them that it waited: more is busy */
    /* Milliseconds for which the result holds, for all threads: some may not have run enough. */
    CNET_BUSY_HOLD = 200
};

static cnet_shared cnet_busy_until;            /* end of the busy time, in milliseconds */
static _Thread_local ptrdiff_t cnet_busy_next; /* time of the next look, in milliseconds */
/* Nanoseconds that this thread had run and waited at the last look; 0 before the first one. */
static _Thread_local long long cnet_busy_ran, cnet_busy_waited;

/* The machine is busy until now + CNET_BUSY_HOLD if waited / (waited + ran) > CNET_BUSY_SHARE / 100
   since the last look. If waited + ran < CNET_BUSY_WINDOW, this look does not count. */
static void cnet_busy_look(ptrdiff_t now) {
    char text[64];
    long long ran, waited;
    const int file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    const ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    text[size < 0 ? 0 : size] = 0;
    if (sscanf(text, "%lld %lld", &ran, &waited) != 2)
        return;
    const long long longer = waited - cnet_busy_waited, whole = longer + ran - cnet_busy_ran;
    if (whole < CNET_BUSY_WINDOW * 1000000LL)
        return;
    if (longer * 100 > whole * CNET_BUSY_SHARE)
        cnet_set(&cnet_busy_until, now + CNET_BUSY_HOLD);
    cnet_busy_ran = ran;
    cnet_busy_waited = waited;
}

/* Whether the machine is busy. Each thread looks at most every CNET_BUSY_WINDOW / 2 milliseconds:
   a look reads a file. */
static int cnet_is_busy(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    const ptrdiff_t now = (ptrdiff_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
    if (now >= cnet_busy_next) {
        cnet_busy_next = now + CNET_BUSY_WINDOW / 2;
        cnet_busy_look(now);
    }
    return now < cnet_get(&cnet_busy_until);
}

/* For a forked child, where the system counts the time of its thread from 0. */
static inline void cnet_busy_reset(void) { cnet_busy_ran = cnet_busy_waited = 0; }

#else

static int cnet_is_busy(void) { return 0; }
static inline void cnet_busy_reset(void) {}

#endif

#endif
