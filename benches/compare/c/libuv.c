/* libuv: handles and requests. */

#include "convention.h"
#include <uv.h>

/* -- echo -- */

static char shared[BUFFER];

static void lend(uv_handle_t *stream, size_t hint, uv_buf_t *buffer) {
    *buffer = uv_buf_init(shared, BUFFER);
}

static void freed(uv_handle_t *handle) {
    free(handle);
}

static void written(uv_write_t *request, int status) {
    free(request);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    if (count < 0) {
        uv_close((uv_handle_t *)stream, freed);
        return;
    }
    uv_buf_t rest = uv_buf_init(buffer->base, count);
    int sent = uv_try_write(stream, &rest, 1);
    if (sent == count || count == 0)
        return;
    sent = sent < 0 ? 0 : sent;
    /* The request and a copy of what it is to write, in one piece of memory. */
    uv_write_t *request = malloc(sizeof *request + count - sent);
    rest = uv_buf_init((char *)(request + 1), count - sent);
    memcpy(rest.base, buffer->base + sent, rest.len);
    uv_write(request, stream, &rest, 1, written);
}

static void connected(uv_stream_t *server, int status) {
    uv_tcp_t *stream = malloc(sizeof *stream);
    check(status == 0, "connection");
    uv_tcp_init(server->loop, stream);
    check(uv_accept(server, (uv_stream_t *)stream) == 0, "accept");
    uv_read_start((uv_stream_t *)stream, lend, received);
}

static void echo(const long *sizes) {
    uv_tcp_t server;
    uv_tcp_init(uv_default_loop(), &server);
    check(uv_tcp_open(&server, listener()) == 0, "open");
    check(uv_listen((uv_stream_t *)&server, BACKLOG, connected) == 0, "listen");
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

static const struct scenario all[] = {{"echo", echo}, {0}};

int main(int count, char **words) {
    return convene(count, words, uv_version_string(), all);
}
