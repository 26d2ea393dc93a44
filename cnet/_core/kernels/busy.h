/* Whether other programs keep the processors busy.

   The threads of a parallel region wait for the last of them. On a busy machine that one may have
   to wait until the system takes a processor from another program, which is after several
   milliseconds: work of less than that is quicker on one thread. Linux tells how long a thread was
   ready to run and had to wait for a processor. */
#ifndef CNET_BUSY_H
#define CNET_BUSY_H

#include "shared.h"

#if defined(__linux__)

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    CNET_BUSY_WINDOW = 50, /* milliseconds that a thread ran or waited, to tell a share by */
    CNET_BUSY_SHARE = 15,  /* of them, in hundredths, that it waited */
    /* Milliseconds that a finding holds for: other threads may have had no time to find out. */
    CNET_BUSY_HOLD = 200
};

static cnet_shared cnet_busy_until; /* in milliseconds, as the next */
static _Thread_local ptrdiff_t cnet_busy_next;
/* Nanoseconds; at first 0: since the thread began. */
static _Thread_local long long cnet_busy_ran, cnet_busy_waited;

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

/* In a forked child the count of its thread begins again. */
static inline void cnet_busy_reset(void) { cnet_busy_ran = cnet_busy_waited = 0; }

#else

static int cnet_is_busy(void) { return 0; }
static inline void cnet_busy_reset(void) {}

#endif

#endif
