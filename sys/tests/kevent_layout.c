/*
 * What sys/src/selector/kqueue/kevent.rs believes about kevent(2), checked against a system's own headers.
 *
 * This file is compiled and never run: .ci/headers does it for each system whose headers can be had. The Rust
 * side asserts the same numbers of libc's constants, so both together say that libc and the headers agree.
 */
#include <stddef.h>
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>

#define IS(name, value) _Static_assert((name) == (value), #name " has another value")
#define LIES_AT(field, offset) \
    _Static_assert(offsetof(struct kevent, field) == (offset), #field " lies elsewhere")
#define HAS_SIZE(field, bytes) \
    _Static_assert(sizeof(((struct kevent *)0)->field) == (bytes), #field " has another size")
#define IS_SIGNED(field) \
    _Static_assert((__typeof__(((struct kevent *)0)->field))-1 < 0, #field " is unsigned")

/* The same everywhere. */
IS(EV_ADD, 0x0001);
IS(EV_DELETE, 0x0002);
IS(EV_ENABLE, 0x0004);
IS(EV_DISABLE, 0x0008);
IS(EV_ONESHOT, 0x0010);
IS(EV_CLEAR, 0x0020);
IS(EV_RECEIPT, 0x0040);
IS(EV_DISPATCH, 0x0080);
IS(EV_ERROR, 0x4000);
IS(EV_EOF, 0x8000);
IS(NOTE_TRIGGER, 0x01000000);
IS(NOTE_EXIT, 0x80000000);

HAS_SIZE(ident, sizeof(void *));
HAS_SIZE(fflags, 4);
HAS_SIZE(data, 8);
HAS_SIZE(udata, sizeof(void *));
IS_SIGNED(data);
LIES_AT(ident, 0);
LIES_AT(filter, 8);

#if defined(__NetBSD__)

IS(EVFILT_READ, 0);
IS(EVFILT_WRITE, 1);
IS(EVFILT_USER, 8);
IS(EVFILT_PROC, 4);
HAS_SIZE(filter, 4);
HAS_SIZE(flags, 4);
LIES_AT(flags, 12);
LIES_AT(fflags, 16);
LIES_AT(data, 24);
LIES_AT(udata, 32);
/* The headers of version 10 have four words more at the end. libc calls the older kevent(2), which has not. */
_Static_assert(sizeof(struct kevent) == 40 || sizeof(struct kevent) == 72, "size of struct kevent");
#define COUNT size_t

#else

IS(EVFILT_READ, -1);
IS(EVFILT_WRITE, -2);
IS(EVFILT_PROC, -5);
HAS_SIZE(filter, 2);
HAS_SIZE(flags, 2);
IS_SIGNED(filter);
LIES_AT(flags, 10);
LIES_AT(fflags, 12);
LIES_AT(data, 16);
LIES_AT(udata, 24);
#define COUNT int

#if defined(__FreeBSD__)
IS(EVFILT_USER, -11);
_Static_assert(sizeof(struct kevent) == 64, "size of struct kevent");
#else
_Static_assert(sizeof(struct kevent) == 32, "size of struct kevent");
#endif

#if defined(__APPLE__)
IS(EVFILT_USER, -10);
IS(EVFILT_EXCEPT, -15);
IS(NOTE_OOB, 2);
#elif defined(__OpenBSD__)
IS(EVFILT_USER, -10);
IS(EVFILT_EXCEPT, -9);
IS(NOTE_OOB, 4);
#elif defined(__linux__)
/* libkqueue. It must not have a filter where we keep macOS's number. */
IS(EVFILT_USER, -11);
_Static_assert(EVFILT_SYSCOUNT < 15, "libkqueue has grown a filter of the number -15");
#endif

#endif

#if (defined(__FreeBSD__) || defined(__NetBSD__)) && defined(EVFILT_EXCEPT)
#error "this system has a filter for priority data by now: see has_evfilt_except in sys/build.rs"
#endif

/* The calls. With another type of an argument these would conflict with the header's declarations. */
int kqueue(void);
int kevent(int, const struct kevent *, COUNT, struct kevent *, COUNT, const struct timespec *);
