/* libevent: events. Its buffer events read 4 KiB at a time in version 2.1, which would decide the contest for large
 * messages; so there are events and sockets, as with libev. */

#include "convention.h"
#include <event2/event.h>
#include <event2/thread.h>

static struct event_base *base;

/* -- echo -- */

static char shared[BUFFER];

/* What there is no room for is kept, and the event waits for room; nobody is read that has more to take. */
struct connection {
    struct event *reader, *writer;
    char *queue;
    size_t begin, end;
};

static void over(struct connection *connection) {
    int fd = event_get_fd(connection->reader);
    event_free(connection->reader);
    event_free(connection->writer);
    close(fd);
    free(connection->queue);
    free(connection);
}

static void flush(evutil_socket_t fd, short events, void *context) {
    struct connection *connection = context;
    size_t left = connection->end - connection->begin;
    ssize_t sent = send(fd, connection->queue + connection->begin, left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            over(connection);
        return;
    }
    connection->begin += sent;
    if (connection->begin == connection->end) {
        event_del(connection->writer);
        event_add(connection->reader, NULL);
    }
}

static void receive(evutil_socket_t fd, short events, void *context) {
    struct connection *connection = context;
    ssize_t count = recv(fd, shared, BUFFER, 0);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN)
            over(connection);
        return;
    }
    ssize_t sent = send(fd, shared, count, MSG_NOSIGNAL);
    if (sent == count)
        return;
    if (sent < 0 && errno != EAGAIN) {
        over(connection);
        return;
    }
    sent = sent < 0 ? 0 : sent;
    if (!connection->queue)
        connection->queue = malloc(BUFFER);
    connection->begin = 0;
    connection->end = count - sent;
    memcpy(connection->queue, shared + sent, connection->end);
    event_del(connection->reader);
    event_add(connection->writer, NULL);
}

/* Until there is nobody left, as its own listener does it. */
static void connected(evutil_socket_t server, short events, void *context) {
    int fd;
    while ((fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        connection->reader = event_new(base, fd, EV_READ | EV_PERSIST, receive, connection);
        connection->writer = event_new(base, fd, EV_WRITE | EV_PERSIST, flush, connection);
        event_add(connection->reader, NULL);
    }
}

static void echo(const long *sizes) {
    struct event *server = event_new(base, listener(), EV_READ | EV_PERSIST, connected, NULL);
    event_add(server, NULL);
    event_base_dispatch(base);
}

/* -- timers -- */

static uint64_t ran;

static void run(evutil_socket_t fd, short events, void *context) {
    ran++;
}

static struct timeval after(double seconds) {
    return (struct timeval){(time_t)seconds, (suseconds_t)((seconds - (time_t)seconds) * 1e6)};
}

static struct event **started(const double *delays, uint64_t count) {
    struct event **timers = calloc(count, sizeof *timers);
    event_base_update_cache_time(base);
    for (uint64_t at = 0; at < count; at++) {
        struct timeval delay = after(delays[at]);
        timers[at] = evtimer_new(base, run, NULL);
        evtimer_add(timers[at], &delay);
    }
    return timers;
}

static void timers(const long *sizes) {
    uint64_t count;
    while (next_question(&count)) {
        double *all = delays(HOUR, HOUR, count);
        uint64_t before = cpu();
        struct event **timers = started(all, count);
        uint64_t inserted = cpu();
        for (uint64_t at = 0; at < count; at++)
            evtimer_del(timers[at]);
        reply_two(inserted - before, cpu() - inserted);
    }
}

static void timers_run(const long *sizes) {
    uint64_t count;
    while (next_question(&count)) {
        double *all = delays(soon(count), 2e-7 * count, count);
        uint64_t before = cpu();
        started(all, count);
        event_base_dispatch(base);
        reply(cpu() - before);
        check(ran == count, "timers");
    }
}

static void rearm(const long *sizes) {
    uint64_t count;
    struct event **timers = started(delays(HOUR, HOUR, sizes[0]), sizes[0]);
    while (next_question(&count)) {
        uint64_t before = cpu();
        for (uint64_t step = 0; step < count; step++) {
            struct timeval delay = {HOUR + step / 1000000, step % 1000000};
            evtimer_add(timers[step % sizes[0]], &delay);
        }
        event_base_loop(base, EVLOOP_NONBLOCK);
        reply(cpu() - before);
    }
}

/* -- messages -- */

static struct event *bell;

static void rung(evutil_socket_t fd, short events, void *context) {
    if (receive_all())
        event_base_loopbreak(base);
}

static void ring_bell(void) {
    event_active(bell, EV_READ, 0);
}

static void run_loop(void) {
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void throughput(const long *sizes) {
    bell = event_new(base, -1, EV_PERSIST, rung, NULL);
    carry(0, ring_bell, run_loop);
}

static void round_trip(const long *sizes) {
    bell = event_new(base, -1, EV_PERSIST, rung, NULL);
    carry(1, ring_bell, run_loop);
}

/* -- pipes -- */

static void saw(evutil_socket_t fd, short events, void *context) {
    if (++seen == to_see)
        event_base_loopbreak(base);
}

static void has_byte(evutil_socket_t fd, short events, void *context) {
    if (pass_on((long)context))
        event_base_loopbreak(base);
}

static void watch_pipes(event_callback_fn callback) {
    for (long at = 0; at < chain.pipes; at++)
        event_add(event_new(base, chain.readers[at], EV_READ | EV_PERSIST, callback, (void *)at), NULL);
}

static void dispatch(const long *sizes) {
    make_full_pipes(sizes[0]);
    watch_pipes(saw);
    while (next_question(&to_see)) {
        uint64_t before = cpu();
        seen = 0;
        event_base_dispatch(base);
        reply((cpu() - before) * to_see / seen); /* A batch is not cut short. */
    }
}

static void pipes(const long *sizes) {
    uint64_t events;
    make_pipes(sizes[0], sizes[1]);
    watch_pipes(has_byte);
    while (next_question(&events)) {
        uint64_t before = cpu();
        begin_chain(events);
        event_base_dispatch(base);
        reply(cpu() - before);
    }
}

static const struct scenario all[] = {
    {"dispatch", dispatch}, {"pipes", pipes},
    {"echo", echo},   {"timers", timers},   {"timers_run", timers_run}, {"rearm", rearm},
    {"post", throughput}, {"round_trip", round_trip}, {0},
};

int main(int count, char **words) {
    /* Threads cost locks: only who posts has them. */
    if (count >= 2 && (strcmp(words[1], "post") == 0 || strcmp(words[1], "round_trip") == 0))
        evthread_use_pthreads();
    base = event_base_new();
    return convene(count, words, event_get_version(), all);
}
