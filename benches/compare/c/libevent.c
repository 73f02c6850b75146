/* libevent: events, and buffer events for streams. */

#include "convention.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/thread.h>

/* -- echo -- */

static void received(struct bufferevent *stream, void *context) {
    evbuffer_add_buffer(bufferevent_get_output(stream), bufferevent_get_input(stream));
}

static void ended(struct bufferevent *stream, short events, void *context) {
    if (events & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(stream);
}

static void connected(struct evconnlistener *server, evutil_socket_t fd, struct sockaddr *peer, int length,
                      void *context) {
    struct event_base *base = evconnlistener_get_base(server);
    struct bufferevent *stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_set_max_single_read(stream, BUFFER);
    bufferevent_set_max_single_write(stream, BUFFER);
    bufferevent_setcb(stream, received, NULL, ended, NULL);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
}

static void echo(const long *sizes) {
    struct event_base *base = event_base_new();
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
    check(evconnlistener_new(base, connected, NULL, flags, 0, listener()) != NULL, "listen");
    event_base_dispatch(base);
}

static const struct scenario all[] = {{"echo", echo}, {0}};

int main(int count, char **words) {
    return convene(count, words, event_get_version(), all);
}
