/* Access to structs of hiredis. Their layout depends on its version, so the C compiler reads it from the header. */

#include <hiredis/async.h>

struct hooks {
    void (*add_read)(void *data);
    void (*del_read)(void *data);
    void (*add_write)(void *data);
    void (*del_write)(void *data);
    void (*cleanup)(void *data);
};

void access_attach(redisAsyncContext *context, const struct hooks *hooks, void *data) {
    context->ev.addRead = hooks->add_read;
    context->ev.delRead = hooks->del_read;
    context->ev.addWrite = hooks->add_write;
    context->ev.delWrite = hooks->del_write;
    context->ev.cleanup = hooks->cleanup;
    context->ev.data = data;
}

int access_fd(const redisAsyncContext *context) {
    return context->c.fd;
}

/* Returns the message of an error, or null. */
const char *access_error(const redisAsyncContext *context) {
    return context->err ? context->errstr : 0;
}

int access_type(const redisReply *reply) {
    return reply->type;
}

long long access_integer(const redisReply *reply) {
    return reply->integer;
}

const char *access_text(const redisReply *reply, size_t *length) {
    *length = reply->len;
    return reply->str;
}
