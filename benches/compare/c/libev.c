/* libev: watchers. */

#include "convention.h"
#include <ev.h>

/* -- echo -- */

static char shared[BUFFER];

/* What there is no room for is kept, and the watcher waits for room; nobody is read that has more to take. */
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

static void over(struct ev_loop *loop, struct connection *connection) {
    ev_io_stop(loop, &connection->watcher);
    close(connection->watcher.fd);
    free(connection->queue);
    free(connection);
}

static void flush(struct ev_loop *loop, struct connection *connection) {
    size_t left = connection->end - connection->begin;
    ssize_t sent = send(connection->watcher.fd, connection->queue + connection->begin, left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            over(loop, connection);
        return;
    }
    connection->begin += sent;
    if (connection->begin == connection->end)
        watch(loop, connection, EV_READ);
}

static void receive(struct ev_loop *loop, struct connection *connection) {
    ssize_t count = recv(connection->watcher.fd, shared, BUFFER, 0);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN)
            over(loop, connection);
        return;
    }
    ssize_t sent = send(connection->watcher.fd, shared, count, MSG_NOSIGNAL);
    if (sent == count)
        return;
    if (sent < 0 && errno != EAGAIN) {
        over(loop, connection);
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
        flush(loop, (struct connection *)watcher);
    else
        receive(loop, (struct connection *)watcher);
}

static void connected(struct ev_loop *loop, ev_io *watcher, int events) {
    int fd;
    while ((fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        ev_io_init(&connection->watcher, ready, fd, EV_READ);
        ev_io_start(loop, &connection->watcher);
    }
}

static void echo(const long *sizes) {
    struct ev_loop *loop = EV_DEFAULT;
    ev_io server;
    ev_io_init(&server, connected, listener(), EV_READ);
    ev_io_start(loop, &server);
    ev_run(loop, 0);
}

static const struct scenario all[] = {{"echo", echo}, {0}};

int main(int count, char **words) {
    char version[32];
    snprintf(version, sizeof version, "%d.%d", ev_version_major(), ev_version_minor());
    return convene(count, words, version, all);
}
