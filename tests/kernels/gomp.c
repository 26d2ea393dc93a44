/* The part of GNU's OpenMP runtime that cnet calls, on POSIX threads: ThreadSanitizer sees how
   these order memory accesses, and not how the real runtime does. Compiled as a shared library and
   preloaded, it takes the place of libgomp. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    void (*run)(void *);
    void *data;
    int size;
    pthread_barrier_t barrier;
} team;

typedef struct {
    team *of;
    int index;
} member;

static _Thread_local member self;

static void *begin(void *argument) {
    self = *(member *)argument;
    self.of->run(self.of->data);
    return NULL;
}

/* Nested regions have one thread. */
void GOMP_parallel(void (*run)(void *), void *data, unsigned count, unsigned flags) {
    const int size = self.of ? 1 : count ? (int)count : 2;
    const member outer = self;
    team t = {.run = run, .data = data, .size = size};
    member *members = malloc((size_t)size * sizeof *members);
    pthread_t *threads = malloc((size_t)size * sizeof *threads);
    (void)flags;
    pthread_barrier_init(&t.barrier, NULL, (unsigned)size);
    for (int i = 1; i < size; i++) {
        members[i] = (member){&t, i};
        if (pthread_create(&threads[i], NULL, begin, &members[i]))
            abort();
    }
    self = (member){&t, 0};
    run(data);
    self = outer;
    for (int i = 1; i < size; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&t.barrier);
    free(members);
    free(threads);
}

void GOMP_barrier(void) {
    if (self.of)
        pthread_barrier_wait(&self.of->barrier);
}

int omp_get_thread_num(void) { return self.index; }
int omp_get_num_threads(void) { return self.of ? self.of->size : 1; }
int omp_get_max_threads(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }
