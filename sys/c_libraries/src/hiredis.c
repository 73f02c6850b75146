/* Access to structs of hiredis. Their layout depends on its version, so the C compiler reads it from the header. */

#include <hiredis/async.h>

typedef void hook(void *data);

/* Sets the hooks, in the order of their fields. */
void access_attach(redisAsyncContext *context, void *data, hook *const hooks[5]) {
    context->ev.data = data;
    context->ev.addRead = hooks[0];
    context->ev.delRead = hooks[1];
    context->ev.addWrite = hooks[2];
    context->ev.delWrite = hooks[3];
    context->ev.cleanup = hooks[4];
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

/* Returns the text, which is empty for a reply without one. */
const char *access_text(const redisReply *reply, size_t *length) {
    *length = reply->str ? reply->len : 0;
    return reply->str ? reply->str : "";
}
