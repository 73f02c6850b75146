/* libevent: events. Its buffer events of version 2.1 read 4 KiB at a time, which is slow for large messages. So this
 * peer uses events and sockets, like that of libev. */

#include "worker.h"
#include <event2/event.h>
#include <event2/thread.h>

static struct event_base *base;

/* -- echo -- */

static char shared[BUFFER];

/* A connection. Bytes that the socket has no room for are queued. Until they are sent the writer waits for room, and
 * nothing is read. */
struct connection {
    struct event *reader, *writer;
    char *queue;
    size_t begin, end;
};

static void close_connection(struct connection *connection) {
    int fd = event_get_fd(connection->reader);
    event_free(connection->reader);
    event_free(connection->writer);
    close(fd);
    free(connection->queue);
    free(connection);
}

static void on_writable(evutil_socket_t fd, short events, void *context) {
    struct connection *connection = context;
    size_t left = connection->end - connection->begin;
    ssize_t sent = send(fd, connection->queue + connection->begin, left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            close_connection(connection);
        return;
    }
    connection->begin += sent;
    if (connection->begin == connection->end) {
        event_del(connection->writer);
        event_add(connection->reader, NULL);
    }
}

static void on_readable(evutil_socket_t fd, short events, void *context) {
    struct connection *connection = context;
    ssize_t count = recv(fd, shared, BUFFER, 0);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN)
            close_connection(connection);
        return;
    }
    ssize_t sent = send(fd, shared, count, MSG_NOSIGNAL);
    if (sent == count)
        return;
    if (sent < 0 && errno != EAGAIN) {
        close_connection(connection);
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

/* Accepts until the backlog is empty, like the listener of libevent. */
static void accept_connections(evutil_socket_t server, short events, void *context) {
    int fd;
    while ((fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        connection->reader = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, connection);
        connection->writer = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, connection);
        event_add(connection->reader, NULL);
    }
}

static void echo(const long *sizes) {
    struct event *server = event_new(base, listener(), EV_READ | EV_PERSIST, accept_connections, NULL);
    event_add(server, NULL);
    event_base_dispatch(base);
}

/* -- timers -- */

static uint64_t expired;

static void run(evutil_socket_t fd, short events, void *context) {
    expired++;
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
    while (next_amount(&count)) {
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
    while (next_amount(&count)) {
        double *all = delays(insertion_time(count), 2e-7 * count, count);
        uint64_t before = cpu();
        started(all, count);
        event_base_dispatch(base);
        reply(cpu() - before);
        check(expired == count, "timers");
    }
}

static void rearm(const long *sizes) {
    uint64_t count;
    struct event **timers = started(delays(HOUR, HOUR, sizes[0]), sizes[0]);
    while (next_amount(&count)) {
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

static struct event *wakeup;

static void on_wakeup(evutil_socket_t fd, short events, void *context) {
    if (receive_all())
        event_base_loopbreak(base);
}

static void wake_loop(void) {
    event_active(wakeup, EV_READ, 0);
}

static void run_loop(void) {
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void throughput(const long *sizes) {
    wakeup = event_new(base, -1, EV_PERSIST, on_wakeup, NULL);
    transfer(0, wake_loop, run_loop);
}

static void round_trip(const long *sizes) {
    wakeup = event_new(base, -1, EV_PERSIST, on_wakeup, NULL);
    transfer(1, wake_loop, run_loop);
}

/* -- pipes -- */

static void count_event(evutil_socket_t fd, short events, void *context) {
    if (++events_seen == events_wanted)
        event_base_loopbreak(base);
}

static void pass_byte_on(evutil_socket_t fd, short events, void *context) {
    if (pass_on((long)context))
        event_base_loopbreak(base);
}

static void watch_pipes(event_callback_fn callback) {
    for (long at = 0; at < chain.pipes; at++)
        event_add(event_new(base, chain.readers[at], EV_READ | EV_PERSIST, callback, (void *)at), NULL);
}

static void dispatch(const long *sizes) {
    make_full_pipes(sizes[0]);
    watch_pipes(count_event);
    while (next_amount(&events_wanted)) {
        uint64_t before = cpu();
        events_seen = 0;
        event_base_dispatch(base);
        reply((cpu() - before) * events_wanted / events_seen); /* The last batch may exceed the request. */
    }
}

static void pipes(const long *sizes) {
    uint64_t events;
    make_pipes(sizes[0], sizes[1]);
    watch_pipes(pass_byte_on);
    while (next_amount(&events)) {
        uint64_t before = cpu();
        start_chain(events);
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
    /* Only workers with two threads pay for locks. */
    if (count >= 2 && (strcmp(words[1], "post") == 0 || strcmp(words[1], "round_trip") == 0))
        evthread_use_pthreads();
    base = event_base_new();
    return worker_main(count, words, event_get_version(), all);
}
