/* libev: watchers. */

#include "worker.h"
#include <ev.h>

/* -- echo -- */

static char shared[BUFFER];

/* A connection. Bytes that the socket has no room for are queued. Until they are sent the watcher waits for room, and
 * nothing is read. */
struct connection {
    ev_io watcher;
    char *queue;
    size_t begin, end;
};

static void watch(struct ev_loop *loop, struct connection *connection, int events) {
    ev_io_stop(loop, &connection->watcher);
    ev_io_set(&connection->watcher, connection->watcher.fd, events);
    ev_io_start(loop, &connection->watcher);
}

static void close_connection(struct ev_loop *loop, struct connection *connection) {
    ev_io_stop(loop, &connection->watcher);
    close(connection->watcher.fd);
    free(connection->queue);
    free(connection);
}

static void on_writable(struct ev_loop *loop, struct connection *connection) {
    size_t left = connection->end - connection->begin;
    ssize_t sent = send(connection->watcher.fd, connection->queue + connection->begin, left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            close_connection(loop, connection);
        return;
    }
    connection->begin += sent;
    if (connection->begin == connection->end)
        watch(loop, connection, EV_READ);
}

static void on_readable(struct ev_loop *loop, struct connection *connection) {
    ssize_t count = recv(connection->watcher.fd, shared, BUFFER, 0);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN)
            close_connection(loop, connection);
        return;
    }
    ssize_t sent = send(connection->watcher.fd, shared, count, MSG_NOSIGNAL);
    if (sent == count)
        return;
    if (sent < 0 && errno != EAGAIN) {
        close_connection(loop, connection);
        return;
    }
    sent = sent < 0 ? 0 : sent;
    if (!connection->queue)
        connection->queue = malloc(BUFFER);
    connection->begin = 0;
    connection->end = count - sent;
    memcpy(connection->queue, shared + sent, connection->end);
    watch(loop, connection, EV_WRITE);
}

static void ready(struct ev_loop *loop, ev_io *watcher, int events) {
    if (events & EV_WRITE)
        on_writable(loop, (struct connection *)watcher);
    else
        on_readable(loop, (struct connection *)watcher);
}

static void accept_connections(struct ev_loop *loop, ev_io *watcher, int events) {
    for (int left = most_to_accept(ev_iteration(loop)); left > 0; left--) {
        int fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct connection *connection = calloc(1, sizeof *connection);
        ev_io_init(&connection->watcher, ready, fd, EV_READ);
        ev_io_start(loop, &connection->watcher);
    }
}

static void echo(const long *sizes) {
    struct ev_loop *loop = EV_DEFAULT;
    ev_io server;
    ev_io_init(&server, accept_connections, listener(), EV_READ);
    ev_io_start(loop, &server);
    ev_run(loop, 0);
}

/* -- timers -- */

static uint64_t expired;

static void run(struct ev_loop *loop, ev_timer *timer, int events) {
    expired++;
}

static ev_timer *started(const double *delays, uint64_t count) {
    ev_timer *timers = calloc(count, sizeof *timers);
    ev_now_update(EV_DEFAULT);
    for (uint64_t at = 0; at < count; at++) {
        ev_timer_init(&timers[at], run, delays[at], 0);
        ev_timer_start(EV_DEFAULT, &timers[at]);
    }
    return timers;
}

static void timers(const long *sizes) {
    uint64_t count;
    while (next_amount(&count)) {
        double *all = delays(HOUR, HOUR, count);
        uint64_t before = cpu();
        ev_timer *timers = started(all, count);
        uint64_t inserted = cpu();
        for (uint64_t at = 0; at < count; at++)
            ev_timer_stop(EV_DEFAULT, &timers[at]);
        reply_two(inserted - before, cpu() - inserted);
    }
}

static void timers_run(const long *sizes) {
    uint64_t count;
    while (next_amount(&count)) {
        double *all = delays(insertion_time(count), 2e-7 * count, count);
        uint64_t before = cpu();
        started(all, count);
        ev_run(EV_DEFAULT, 0);
        reply(cpu() - before);
        check(expired == count, "timers");
    }
}

static void rearm(const long *sizes) {
    uint64_t count;
    ev_timer *timers = started(delays(HOUR, HOUR, sizes[0]), sizes[0]);
    while (next_amount(&count)) {
        uint64_t before = cpu();
        for (uint64_t step = 0; step < count; step++) {
            timers[step % sizes[0]].repeat = HOUR + step * 1e-6;
            ev_timer_again(EV_DEFAULT, &timers[step % sizes[0]]);
        }
        ev_run(EV_DEFAULT, EVRUN_NOWAIT);
        reply(cpu() - before);
    }
}

/* -- messages -- */

static ev_async wakeup;

static void on_wakeup(struct ev_loop *loop, ev_async *wakeup, int events) {
    if (receive_all())
        ev_break(loop, EVBREAK_ALL);
}

static void wake_loop(void) {
    ev_async_send(EV_DEFAULT, &wakeup);
}

static void run_loop(void) {
    ev_run(EV_DEFAULT, 0);
}

static void listen_for_bell(void) {
    ev_async_init(&wakeup, on_wakeup);
    ev_async_start(EV_DEFAULT, &wakeup);
}

static void throughput(const long *sizes) {
    listen_for_bell();
    transfer(0, wake_loop, run_loop);
}

static void round_trip(const long *sizes) {
    listen_for_bell();
    transfer(1, wake_loop, run_loop);
}

/* -- pipes -- */

static void count_event(struct ev_loop *loop, ev_io *reader, int events) {
    if (++events_seen == events_wanted)
        ev_break(loop, EVBREAK_ALL);
}

static void pass_byte_on(struct ev_loop *loop, ev_io *reader, int events) {
    if (pass_on((long)reader->data))
        ev_break(loop, EVBREAK_ALL);
}

static void watch_pipes(void (*callback)(struct ev_loop *, ev_io *, int)) {
    ev_io *readers = calloc(chain.pipes, sizeof *readers);
    for (long at = 0; at < chain.pipes; at++) {
        ev_io_init(&readers[at], callback, chain.readers[at], EV_READ);
        readers[at].data = (void *)at;
        ev_io_start(EV_DEFAULT, &readers[at]);
    }
}

static void dispatch(const long *sizes) {
    make_full_pipes(sizes[0]);
    watch_pipes(count_event);
    while (next_amount(&events_wanted)) {
        uint64_t before = cpu();
        events_seen = 0;
        ev_run(EV_DEFAULT, 0);
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
        ev_run(EV_DEFAULT, 0);
        reply(cpu() - before);
    }
}

static const struct scenario all[] = {
    {"dispatch", dispatch}, {"pipes", pipes},
    {"echo", echo},   {"timers", timers},   {"timers_run", timers_run}, {"rearm", rearm},
    {"post", throughput}, {"round_trip", round_trip}, {0},
};

int main(int count, char **words) {
    char version[32];
    snprintf(version, sizeof version, "%d.%d", ev_version_major(), ev_version_minor());
    return worker_main(count, words, version, all);
}
