/* OpenMP in a process created by fork().

   The OpenMP runtime of GNU keeps a pool of threads for each thread that has run a parallel region.
   After fork(), the child has only the thread that called it. The runtime still records a pool of
   that thread, but the pool's threads do not exist: its next parallel region would wait forever.
   Any library that shares the runtime may have created the pool, so cnet cannot know whether there
   is one.

   A thread that was started in the child has no pool yet. So in a child, the thread that forked
   does not run parallel regions: it passes them to a helper thread, and waits for it. The other
   runtimes reset themselves after a fork. */
#ifndef CNET_FORK_H
#define CNET_FORK_H

#include "busy.h"
#include "shared.h"

static cnet_shared cnet_threaded; /* whether cnet had work for several threads in this process */
static cnet_shared cnet_serial;   /* whether cnet must use one thread in this process */

#if defined(_OPENMP) && !defined(_WIN32)

#include <pthread.h>

/* Whether the process is a forked child, and the thread that forked. They are written while the
   process has no other thread, or by that thread. */
static cnet_shared cnet_forked;
static pthread_t cnet_forked_thread;

/* Declares the calling thread to be the one that forked. */
static void cnet_set_forked_thread(void) {
    cnet_forked_thread = pthread_self();
    cnet_set(&cnet_forked, 1);
}

/* Whether the calling thread may have a pool without threads. */
static inline int cnet_in_forked_thread(void) {
    return cnet_get(&cnet_forked) && pthread_equal(cnet_forked_thread, pthread_self());
}

/* The helper thread, which runs the parallel regions of the thread that forked. lock protects run
   and arguments. */
static struct {
    int exists;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*run)(void *); /* NULL if there is no region to run */
    void *arguments;
} cnet_helper = {0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL};

/* The loop of the helper thread. */
static void *cnet_help(void *unused) {
    (void)unused;
    pthread_mutex_lock(&cnet_helper.lock);
    for (;;) {
        while (!cnet_helper.run)
            pthread_cond_wait(&cnet_helper.changed, &cnet_helper.lock);
        pthread_mutex_unlock(&cnet_helper.lock);
        cnet_helper.run(cnet_helper.arguments);
        pthread_mutex_lock(&cnet_helper.lock);
        cnet_helper.run = NULL;
        pthread_cond_signal(&cnet_helper.changed);
    }
    return NULL;
}

/* run(arguments), which may begin a parallel region. Returns 1 when it is done, or 0 without a call
   if the helper thread cannot be started. */
static int cnet_run_region(void (*run)(void *), void *arguments) {
    if (!cnet_in_forked_thread()) {
        run(arguments);
        return 1;
    }
    if (!cnet_helper.exists) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, cnet_help, NULL))
            return 0;
        pthread_detach(thread);
        cnet_helper.exists = 1;
    }
    pthread_mutex_lock(&cnet_helper.lock);
    cnet_helper.arguments = arguments;
    cnet_helper.run = run;
    pthread_cond_signal(&cnet_helper.changed);
    while (cnet_helper.run)
        pthread_cond_wait(&cnet_helper.changed, &cnet_helper.lock);
    pthread_mutex_unlock(&cnet_helper.lock);
    return 1;
}

/* A child of a process in which cnet had work for several threads uses one: such a process often
   has as many children as processors. */
static void cnet_after_fork_in_child(void) {
    const pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    cnet_helper.exists = 0;
    cnet_helper.run = NULL;
    cnet_helper.lock = lock;
    cnet_helper.changed = changed;
    cnet_set_forked_thread();
    cnet_busy_reset();
    if (cnet_get(&cnet_threaded))
        cnet_set(&cnet_serial, 1);
}

static void cnet_watch_forks(void) { pthread_atfork(NULL, NULL, cnet_after_fork_in_child); }

#else

/* A serial build, or a system without fork. */
static void cnet_watch_forks(void) {}
static inline void cnet_set_forked_thread(void) {}
static inline int cnet_in_forked_thread(void) { return 0; }
static inline int cnet_run_region(void (*run)(void *), void *arguments) {
    run(arguments);
    return 1;
}

#endif

#endif
