/* libuv: handles and requests. */

#include "worker.h"
#include <uv.h>

/* -- echo -- */

static char shared[BUFFER];

static void provide_buffer(uv_handle_t *stream, size_t hint, uv_buf_t *buffer) {
    *buffer = uv_buf_init(shared, BUFFER);
}

static void free_handle(uv_handle_t *handle) {
    free(handle);
}

static void on_written(uv_write_t *request, int status) {
    free(request);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    if (count < 0) {
        uv_close((uv_handle_t *)stream, free_handle);
        return;
    }
    uv_buf_t rest = uv_buf_init(buffer->base, count);
    int sent = uv_try_write(stream, &rest, 1);
    if (sent == count || count == 0)
        return;
    sent = sent < 0 ? 0 : sent;
    /* One allocation has the request and a copy of the bytes. */
    uv_write_t *request = malloc(sizeof *request + count - sent);
    rest = uv_buf_init((char *)(request + 1), count - sent);
    memcpy(rest.base, buffer->base + sent, rest.len);
    uv_write(request, stream, &rest, 1, on_written);
}

static void accept_connections(uv_stream_t *server, int status) {
    if (status < 0)
        return; /* This connection failed; the listener continues. */
    uv_tcp_t *stream = malloc(sizeof *stream);
    uv_tcp_init(server->loop, stream);
    check(uv_accept(server, (uv_stream_t *)stream) == 0, "accept");
    uv_read_start((uv_stream_t *)stream, provide_buffer, on_read);
}

static void echo(const long *sizes) {
    uv_tcp_t server;
    uv_tcp_init(uv_default_loop(), &server);
    check(uv_tcp_open(&server, listener()) == 0, "open");
    check(uv_listen((uv_stream_t *)&server, BACKLOG, accept_connections) == 0, "listen");
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

static uv_async_t flood_async;

static void ignore_async(uv_async_t *handle) {
}

static void *send_without_end(void *unused) {
    for (;;)
        uv_async_send(&flood_async);
}

/* uv_async_send() merges messages, so a callback stands for many of them. */
static void echo_posts(const long *sizes) {
    uv_async_init(uv_default_loop(), &flood_async, ignore_async);
    for (int at = 0; at < 2; at++) {
        pthread_t thread;
        check(pthread_create(&thread, NULL, send_without_end, NULL) == 0, "thread");
    }
    echo(sizes);
}

static void ignore_signal(uv_signal_t *handle, int number) {
}

static void echo_signals(const long *sizes) {
    static uv_signal_t handle;
    uv_signal_init(uv_default_loop(), &handle);
    uv_signal_start(&handle, ignore_signal, SIGUSR1);
    echo(sizes);
}

static void ignore_timer(uv_timer_t *timer) {
}

static void echo_timers(const long *sizes) {
    enum { TIMERS = 1000 };
    uv_timer_t *timers = calloc(TIMERS, sizeof *timers);
    for (int at = 0; at < TIMERS; at++) {
        uv_timer_init(uv_default_loop(), &timers[at]);
        uv_timer_start(&timers[at], ignore_timer, 1, 1);
    }
    echo(sizes);
}

/* -- timers: milliseconds, by handles -- */

static uint64_t expired;

static void run(uv_timer_t *timer) {
    expired++;
}

static uv_timer_t *started(const double *delays, uint64_t count) {
    uv_timer_t *timers = calloc(count, sizeof *timers);
    uv_update_time(uv_default_loop());
    for (uint64_t at = 0; at < count; at++) {
        uv_timer_init(uv_default_loop(), &timers[at]);
        uv_timer_start(&timers[at], run, (uint64_t)(delays[at] * 1e3), 0);
    }
    return timers;
}

static void timers(const long *sizes) {
    uint64_t count;
    while (next_amount(&count)) {
        double *all = delays(HOUR, HOUR, count);
        uint64_t before = cpu();
        uv_timer_t *timers = started(all, count);
        uint64_t inserted = cpu();
        for (uint64_t at = 0; at < count; at++)
            uv_timer_stop(&timers[at]);
        reply_two(inserted - before, cpu() - inserted);
    }
}

static void timers_run(const long *sizes) {
    uint64_t count;
    while (next_amount(&count)) {
        double *all = delays(insertion_time(count), 2e-7 * count, count);
        uint64_t before = cpu();
        started(all, count);
        uv_run(uv_default_loop(), UV_RUN_DEFAULT);
        reply(cpu() - before);
        check(expired == count, "timers");
    }
}

static void rearm(const long *sizes) {
    uint64_t count;
    uv_timer_t *timers = started(delays(HOUR, HOUR, sizes[0]), sizes[0]);
    while (next_amount(&count)) {
        uint64_t before = cpu();
        for (uint64_t step = 0; step < count; step++)
            uv_timer_start(&timers[step % sizes[0]], run, HOUR * 1000 + step / 1000, 0);
        uv_run(uv_default_loop(), UV_RUN_NOWAIT);
        reply(cpu() - before);
    }
}

/* -- messages -- */

static uv_async_t wakeup;

static void on_wakeup(uv_async_t *wakeup) {
    if (receive_all())
        uv_stop(wakeup->loop);
}

static void wake_loop(void) {
    uv_async_send(&wakeup);
}

static void run_loop(void) {
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

static void throughput(const long *sizes) {
    uv_async_init(uv_default_loop(), &wakeup, on_wakeup);
    transfer(0, wake_loop, run_loop);
}

static void round_trip(const long *sizes) {
    uv_async_init(uv_default_loop(), &wakeup, on_wakeup);
    transfer(1, wake_loop, run_loop);
}

/* -- pipes -- */

static void count_event(uv_poll_t *reader, int status, int events) {
    if (++events_seen == events_wanted)
        uv_stop(reader->loop);
}

static void pass_byte_on(uv_poll_t *reader, int status, int events) {
    if (pass_on((long)reader->data))
        uv_stop(reader->loop);
}

static void watch_pipes(uv_poll_cb callback) {
    uv_poll_t *readers = calloc(chain.pipes, sizeof *readers);
    for (long at = 0; at < chain.pipes; at++) {
        readers[at].data = (void *)at;
        check(uv_poll_init(uv_default_loop(), &readers[at], chain.readers[at]) == 0, "poll");
        uv_poll_start(&readers[at], UV_READABLE, callback);
    }
}

static void dispatch(const long *sizes) {
    make_full_pipes(sizes[0]);
    watch_pipes(count_event);
    while (next_amount(&events_wanted)) {
        uint64_t before = cpu();
        events_seen = 0;
        uv_run(uv_default_loop(), UV_RUN_DEFAULT);
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
        uv_run(uv_default_loop(), UV_RUN_DEFAULT);
        reply(cpu() - before);
    }
}

/* -- fetches -- */

struct fetch {
    uv_tcp_t stream; /* First, so that a pointer to it is one to the fetch. */
    uv_connect_t connect;
    uv_write_t write;
    uint64_t began, first_byte, ended;
};

static void end_of_fetch(uv_handle_t *stream) {
    ((struct fetch *)stream)->ended = clock_ns(CLOCK_MONOTONIC);
}

static void on_fetched(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct fetch *fetch = (struct fetch *)stream;
    if (count > 0 && fetch->first_byte == 0)
        fetch->first_byte = clock_ns(CLOCK_MONOTONIC);
    if (count < 0)
        uv_close((uv_handle_t *)stream, end_of_fetch);
}

static void send_request(uv_connect_t *connect, int status) {
    struct fetch *fetch = (struct fetch *)connect->handle;
    uv_buf_t request = uv_buf_init("GET / HTTP/1.0\r\n\r\n", 18);
    check(status == 0, "connect");
    uv_write(&fetch->write, connect->handle, &request, 1, NULL);
    uv_read_start(connect->handle, provide_buffer, on_fetched);
}

static void fetches(const long *sizes) {
    struct sockaddr_in server;
    uint64_t count;
    uv_ip4_addr("127.0.0.1", sizes[0], &server);
    while (next_amount(&count)) {
        uint64_t before = clock_ns(CLOCK_PROCESS_CPUTIME_ID), start = clock_ns(CLOCK_MONOTONIC);
        struct fetch *all = calloc(count, sizeof *all);
        for (struct fetch *fetch = all; fetch < all + count; fetch++) {
            fetch->began = clock_ns(CLOCK_MONOTONIC);
            uv_tcp_init(uv_default_loop(), &fetch->stream);
            uv_tcp_connect(&fetch->connect, &fetch->stream, (struct sockaddr *)&server, send_request);
        }
        uv_run(uv_default_loop(), UV_RUN_DEFAULT);
        uint64_t took = clock_ns(CLOCK_MONOTONIC) - start;
        printf("%lu %lu", took, (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before) / count);
        for (uint64_t at = 0; at < 5 && at < count; at++)
            printf(" %lu %lu %lu", all[at].began - start, all[at].first_byte - start, all[at].ended - start);
        printf("\n");
        fflush(stdout);
        free(all);
    }
}

static const struct scenario all[] = {
    {"dispatch", dispatch}, {"pipes", pipes},
    {"echo", echo},   {"echo_posts", echo_posts}, {"echo_signals", echo_signals},
    {"echo_timers", echo_timers}, {"timers", timers},   {"timers_run", timers_run}, {"rearm", rearm},
    {"post", throughput}, {"round_trip", round_trip}, {"fetches", fetches}, {0},
};

int main(int count, char **words) {
    return worker_main(count, words, uv_version_string(), all);
}
