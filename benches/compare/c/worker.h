/* Parts of the workers in C: requests, CPU time, pipes, timers, messages, the listener.
 *
 * The convention is that of the workers in Rust: each line of standard input is an amount of work, and each line of
 * standard output has the figures for it. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, BACKLOG = 4096, SIZES = 4 };

/* A scenario. The work gets the sizes of the cell, and returns when standard input ends. */
struct scenario {
    const char *name;
    void (*work)(const long *sizes);
};

static inline void check(int is_ok, const char *what) {
    if (!is_ok) {
        perror(what);
        exit(1);
    }
}

static inline int next_amount(uint64_t *amount) {
    return scanf("%lu", amount) == 1;
}

static inline void reply(uint64_t figure) {
    printf("%lu\n", figure);
    fflush(stdout);
}

static inline void reply_two(uint64_t one, uint64_t other) {
    printf("%lu %lu\n", one, other);
    fflush(stdout);
}

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Returns the CPU time of this thread in nanoseconds. */
static inline uint64_t cpu(void) {
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* -- pipes -- */

/* Bytes that travel along a chain of pipes. Each read byte is written to the next pipe, up to a number of writes. */
struct chain {
    long pipes, active;
    int *readers, *writers;
    uint64_t to_write, to_read;
};

static struct chain chain;

static inline void write_byte(long index) {
    check(write(chain.writers[index], "x", 1) == 1, "write");
}

static inline void make_pipes(long count, long active) {
    chain = (struct chain){.pipes = count, .active = active};
    chain.readers = calloc(count, sizeof *chain.readers);
    chain.writers = calloc(count, sizeof *chain.writers);
    for (long at = 0; at < count; at++) {
        int ends[2];
        check(pipe(ends) == 0, "pipe");
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        chain.readers[at] = ends[0];
        chain.writers[at] = ends[1];
    }
}

/* Writes a byte to each of `active` pipes, evenly spaced. */
static inline void start_chain(uint64_t events) {
    uint64_t active = chain.active;
    chain.to_write = events > active ? events - active : 0;
    chain.to_read = events > active ? events : active;
    for (long at = 0; at < chain.active; at++)
        write_byte(at * (chain.pipes / chain.active));
}

/* Reads from a pipe and writes to the next one. Returns true after the last byte. */
static inline int pass_on(long index) {
    char bytes[8];
    ssize_t count = read(chain.readers[index], bytes, sizeof bytes);
    check(count > 0, "read");
    for (ssize_t at = 0; at < count; at++) {
        if (chain.to_write > 0) {
            chain.to_write--;
            write_byte(index + 1 == chain.pipes ? 0 : index + 1);
        }
    }
    chain.to_read -= count;
    return chain.to_read == 0;
}

/* Makes pipes that contain a byte. */
static inline void make_full_pipes(long count) {
    make_pipes(count, count);
    for (long at = 0; at < count; at++)
        write_byte(at);
}

/* Number of calls of readers until the measurement ends, and number of calls so far. */
static uint64_t events_wanted, events_seen;

/* -- timers -- */

enum { HOUR = 3600 };

/* Returns an upper limit of the seconds that it takes to insert `count` timers. */
static inline double insertion_time(uint64_t count) {
    return 0.05 + 1e-6 * count;
}

/* Returns delays in seconds within `span` from `start`, in a random order that is the same for all peers. */
static inline double *delays(double start, double span, uint64_t count) {
    double *delays = malloc(count * sizeof *delays);
    uint64_t noise = 1;
    for (uint64_t at = 0; at < count; at++) {
        noise = noise * 6364136223846793005u + 1;
        delays[at] = start + (double)((noise >> 20) % (uint64_t)(span * 1e9)) / 1e9;
    }
    return delays;
}

/* -- messages from another thread -- */

struct message {
    struct message *next;
    sem_t *reply;
};

/* A list of messages. `is_woken` is true if the loop was woken since it last took the messages. */
struct inbox {
    pthread_mutex_t lock;
    struct message *first, **last;
    atomic_bool is_woken;
};

static struct inbox inbox = {.lock = PTHREAD_MUTEX_INITIALIZER, .last = &inbox.first};

/* The messages to post, and the function that wakes the loop. */
struct traffic {
    uint64_t count, received;
    int has_replies;
    void (*wake)(void);
    uint64_t *trips;
};

static struct traffic traffic;

static inline void post(sem_t *reply) {
    struct message *message = malloc(sizeof *message);
    *message = (struct message){.reply = reply};
    pthread_mutex_lock(&inbox.lock);
    *inbox.last = message;
    inbox.last = &message->next;
    pthread_mutex_unlock(&inbox.lock);
    if (!atomic_exchange(&inbox.is_woken, 1))
        traffic.wake();
}

/* Receives all messages after a wakeup. Returns true if none is missing. */
static inline int receive_all(void) {
    atomic_store(&inbox.is_woken, 0);
    pthread_mutex_lock(&inbox.lock);
    struct message *message = inbox.first;
    inbox.first = NULL;
    inbox.last = &inbox.first;
    pthread_mutex_unlock(&inbox.lock);
    while (message) {
        struct message *next = message->next;
        traffic.received++;
        if (message->reply)
            sem_post(message->reply);
        free(message);
        message = next;
    }
    return traffic.received == traffic.count;
}

/* Moves the thread to the first core of the process, or to the last one. */
static inline void go_to_core(const cpu_set_t *cores, int to_last) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, cores) && (to_last || CPU_COUNT(&one) == 0)) {
            CPU_ZERO(&one);
            CPU_SET(core, &one);
        }
    }
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static cpu_set_t cores;

static inline void *post_messages(void *unused) {
    go_to_core(&cores, 1);
    for (uint64_t at = 0; at < traffic.count; at++) {
        if (!traffic.has_replies) {
            post(NULL);
            continue;
        }
        sem_t reply;
        sem_init(&reply, 0, 0);
        uint64_t began = clock_ns(CLOCK_MONOTONIC);
        post(&reply);
        while (sem_wait(&reply) != 0)
            ;
        traffic.trips[at] = clock_ns(CLOCK_MONOTONIC) - began;
    }
    return NULL;
}

static inline int ascending(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

/* The work of `post` and `round_trip`. `wake` wakes the loop, `run` runs it until all messages have arrived. */
static inline void transfer(int has_replies, void (*wake)(void), void (*run)(void)) {
    uint64_t count;
    sched_getaffinity(0, sizeof cores, &cores);
    go_to_core(&cores, 0);
    while (next_amount(&count)) {
        traffic = (struct traffic){.count = count, .has_replies = has_replies, .wake = wake};
        traffic.trips = malloc(count * sizeof *traffic.trips);
        pthread_t thread;
        uint64_t began = clock_ns(CLOCK_MONOTONIC);
        pthread_create(&thread, NULL, post_messages, NULL);
        run();
        uint64_t took = clock_ns(CLOCK_MONOTONIC) - began;
        pthread_join(thread, NULL);
        qsort(traffic.trips, has_replies ? count : 0, sizeof *traffic.trips, ascending);
        if (has_replies)
            reply_two(traffic.trips[count * 50 / 100], traffic.trips[count * 99 / 100]);
        else
            reply(took);
        free(traffic.trips);
    }
}

/* -- echo -- */

/* Returns a listener on all addresses, and prints its port. Accepted sockets inherit TCP_NODELAY.
 *
 * A server does not read its standard input, so it requests a signal for the end of its parent. */
static inline int listener(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t length = sizeof any;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    check(fd >= 0, "socket");
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "setsockopt");
    check(bind(fd, (struct sockaddr *)&any, length) == 0, "bind");
    check(listen(fd, BACKLOG) == 0, "listen");
    check(getsockname(fd, (struct sockaddr *)&any, &length) == 0, "getsockname");
    printf("%d %d\n", ntohs(any.sin_port), getpid());
    fflush(stdout);
    return fd;
}

/* Returns the most connections to accept in this tick: one, because a second try costs a system call, or 64 if the
 * tick before accepted one. mainspring and the hand-written loop do the same. */
static inline int most_to_accept(unsigned tick) {
    static unsigned last_tick;
    int is_in_a_row = tick == last_tick + 1;
    last_tick = tick;
    return is_in_a_row ? 64 : 1;
}

/* The main function of all peers: PROGRAM SCENARIO [SIZE ..], or PROGRAM version. */
static inline int worker_main(int count, char **words, const char *version, const struct scenario *all) {
    long sizes[SIZES] = {0};
    if (count == 2 && strcmp(words[1], "version") == 0) {
        puts(version);
        return 0;
    }
    for (int at = 2; at < count && at < SIZES + 2; at++)
        sizes[at - 2] = atol(words[at]);
    for (; all->name; all++) {
        if (count >= 2 && strcmp(words[1], all->name) == 0) {
            all->work(sizes);
            return 0;
        }
    }
    fprintf(stderr, "no such scenario\n");
    return 2;
}
