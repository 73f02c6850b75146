/* What the workers in C share: questions and answers, CPU time, the listener.
 *
 * The same convention as that of the workers in Rust: a number a line comes in, a line of figures goes out. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, BACKLOG = 4096, SIZES = 4 };

/* A scenario: it gets the sizes of its cell, and ends with the questions. */
struct scenario {
    const char *name;
    void (*work)(const long *sizes);
};

static inline void check(int is_well, const char *what) {
    if (!is_well) {
        perror(what);
        exit(1);
    }
}

static inline int next_question(uint64_t *question) {
    return scanf("%lu", question) == 1;
}

static inline void reply(uint64_t figure) {
    printf("%lu\n", figure);
    fflush(stdout);
}

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Nanoseconds of CPU time of this thread so far. */
static inline uint64_t cpu(void) {
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* A listener on all addresses that is announced already. Accepted sockets inherit TCP_NODELAY. */
static inline int listener(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t length = sizeof any;
    check(fd >= 0, "socket");
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "setsockopt");
    check(bind(fd, (struct sockaddr *)&any, length) == 0, "bind");
    check(listen(fd, BACKLOG) == 0, "listen");
    check(getsockname(fd, (struct sockaddr *)&any, &length) == 0, "getsockname");
    printf("%d %d\n", ntohs(any.sin_port), getpid());
    fflush(stdout);
    return fd;
}

/* The main function of all: PROGRAM SCENARIO [SIZE ..], or PROGRAM version. */
static inline int convene(int count, char **words, const char *version, const struct scenario *all) {
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
