/* OpenMP in a process that was made by fork().

   GNU's runtime keeps a pool of threads for each thread that has run a parallel region. Only the
   thread that calls fork() lives on in the child; its pool is still recorded, but the threads of
   that pool are gone, and the next parallel region waits for them forever. The pool may belong to
   any library that shares the runtime, so its own use tells cnet nothing. A thread that was started
   in the child has no pool yet. So in a child, the thread that forked never begins a parallel
   region itself: it has a helper, a thread that does, and waits for it. The other runtimes reset
   themselves after a fork. */
#ifndef CNET_FORK_H
#define CNET_FORK_H

#include "busy.h"
#include "shared.h"

static cnet_shared cnet_threaded; /* whether cnet had work for several threads in this process */
static cnet_shared cnet_serial;   /* whether cnet is to compute on one thread in this process */

#if defined(_OPENMP) && !defined(_WIN32)

#include <pthread.h>

/* Both are written while the process has no other thread, or by the thread itself. */
static cnet_shared cnet_forked;
static pthread_t cnet_forked_thread;

static void cnet_set_forked_thread(void) {
    cnet_forked_thread = pthread_self();
    cnet_set(&cnet_forked, 1);
}

/* Whether the calling thread may have a pool whose threads are gone. */
static inline int cnet_in_forked_thread(void) {
    return cnet_get(&cnet_forked) && pthread_equal(cnet_forked_thread, pthread_self());
}

/* The thread that the forked thread hands its parallel regions to. */
static struct {
    int exists;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*run)(void *); /* NULL when there is nothing to do */
    void *arguments;
} cnet_helper = {0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL};

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

/* Run a function that begins a parallel region, and return when it is done; 0 if that cannot be
   done here. */
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

/* A child of a process in which cnet used threads computes on one: such a process often has as many
   children as processors. */
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
