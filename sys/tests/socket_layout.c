/*
 * The layouts and numbers that src/socket and src/signal/info.rs rely on, checked against a system's own headers.
 *
 * This file is compiled and never run: .ci/headers does it for each system whose headers can be had. The Rust
 * side asserts the same numbers of libc's types, so both together say that libc and the headers agree.
 */
#define _GNU_SOURCE 1
#define __APPLE_USE_RFC_3542 1
#include <signal.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#if defined(__linux__)
#include <linux/udp.h>
#endif

#define IS(name, value) _Static_assert((name) == (value), #name " has another value")
#define LIES_AT(type, field, offset) \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field " lies elsewhere")
#define HAS_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has another size")

#if defined(__APPLE__)
#define IS_BSD 1
#elif defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
#define IS_BSD 1
#else
#define IS_BSD 0
#endif

/* cmsg(3): src/socket/control.rs. */
IS(SCM_RIGHTS, 1);
LIES_AT(struct cmsghdr, cmsg_len, 0);
#if IS_BSD
IS(SOL_SOCKET, 0xffff);
LIES_AT(struct cmsghdr, cmsg_level, 4);
LIES_AT(struct cmsghdr, cmsg_type, 8);
HAS_SIZE(struct cmsghdr, 12);
#else
IS(SOL_SOCKET, 1);
LIES_AT(struct cmsghdr, cmsg_level, 8);
LIES_AT(struct cmsghdr, cmsg_type, 12);
HAS_SIZE(struct cmsghdr, 16);
#endif
#if defined(__APPLE__)
IS(CMSG_LEN(0), 12);
IS(CMSG_LEN(5), 17);
IS(CMSG_SPACE(0), 12);
IS(CMSG_SPACE(1), 16);
IS(CMSG_SPACE(4), 16);
IS(CMSG_SPACE(20), 32);
#else
IS(CMSG_LEN(0), 16);
IS(CMSG_LEN(5), 21);
IS(CMSG_SPACE(0), 16);
IS(CMSG_SPACE(1), 24);
IS(CMSG_SPACE(4), 24);
IS(CMSG_SPACE(20), 40);
#endif

/* recvmsg(2), recvmmsg(2): src/socket/datagram/kernel.rs. */
LIES_AT(struct msghdr, msg_name, 0);
LIES_AT(struct msghdr, msg_namelen, 8);
LIES_AT(struct msghdr, msg_iov, 16);
LIES_AT(struct msghdr, msg_iovlen, 24);
LIES_AT(struct msghdr, msg_control, 32);
LIES_AT(struct msghdr, msg_controllen, 40);
#if IS_BSD
LIES_AT(struct msghdr, msg_flags, 44);
HAS_SIZE(struct msghdr, 48);
IS(MSG_TRUNC, 0x10);
IS(MSG_CTRUNC, 0x20);
IS(MSG_DONTWAIT, 0x80);
#else
LIES_AT(struct msghdr, msg_flags, 48);
HAS_SIZE(struct msghdr, 56);
IS(MSG_TRUNC, 0x20);
IS(MSG_CTRUNC, 0x08);
IS(MSG_DONTWAIT, 0x40);
#endif
#if defined(__linux__) || defined(__NetBSD__)
LIES_AT(struct mmsghdr, msg_hdr, 0);
LIES_AT(struct mmsghdr, msg_len, sizeof(struct msghdr));
HAS_SIZE(struct mmsghdr, sizeof(struct msghdr) + 8);
#endif

/* ip(7), ipv6(7), udp(7): src/socket/datagram/facts.rs. */
LIES_AT(struct in6_pktinfo, ipi6_addr, 0);
LIES_AT(struct in6_pktinfo, ipi6_ifindex, 16);
HAS_SIZE(struct in6_pktinfo, 20);
#if defined(__linux__)
IS(IP_PKTINFO, 8);
IS(IP_TOS, 1);
IS(IP_RECVTOS, 13);
IS(IPV6_RECVPKTINFO, 49);
IS(IPV6_PKTINFO, 50);
IS(IPV6_RECVTCLASS, 66);
IS(IPV6_TCLASS, 67);
IS(UDP_SEGMENT, 103);
IS(UDP_GRO, 104);
#elif defined(__APPLE__)
IS(IP_PKTINFO, 26);
IS(IP_TOS, 3);
IS(IP_RECVTOS, 27);
IS(IPV6_RECVPKTINFO, 61);
IS(IPV6_PKTINFO, 46);
IS(IPV6_RECVTCLASS, 35);
IS(IPV6_TCLASS, 36);
#else
IS(IP_RECVDSTADDR, 7);
IS(IP_SENDSRCADDR, 7);
IS(IP_TOS, 3);
IS(IPV6_RECVPKTINFO, 36);
IS(IPV6_PKTINFO, 46);
IS(IPV6_RECVTCLASS, 57);
IS(IPV6_TCLASS, 61);
#endif
#if defined(__FreeBSD__)
IS(IP_RECVTOS, 68);
#endif
#if defined(__linux__) || defined(__APPLE__)
LIES_AT(struct in_pktinfo, ipi_ifindex, 0);
LIES_AT(struct in_pktinfo, ipi_spec_dst, 4);
LIES_AT(struct in_pktinfo, ipi_addr, 8);
HAS_SIZE(struct in_pktinfo, 12);
#endif

/* sigaction(2): src/signal/info.rs. */
LIES_AT(siginfo_t, si_signo, 0);
IS(CLD_EXITED, 1);
IS(CLD_CONTINUED, 6);
#if defined(__FreeBSD__) || defined(__APPLE__)
LIES_AT(siginfo_t, si_code, 8);
LIES_AT(siginfo_t, si_pid, 12);
LIES_AT(siginfo_t, si_uid, 16);
IS(SI_USER, 0x10001);
IS(SI_QUEUE, 0x10002);
#elif IS_BSD
LIES_AT(siginfo_t, si_code, 4);
LIES_AT(siginfo_t, si_pid, 16);
LIES_AT(siginfo_t, si_uid, 20);
IS(SI_USER, 0);
#else
LIES_AT(siginfo_t, si_code, 8);
LIES_AT(siginfo_t, si_pid, 16);
LIES_AT(siginfo_t, si_uid, 20);
IS(SI_USER, 0);
IS(SI_QUEUE, -1);
IS(SI_TKILL, -6);
IS(SI_KERNEL, 0x80);
#endif
#if defined(__FreeBSD__)
IS(SI_KERNEL, 0x10006);
IS(SI_LWP, 0x10007);
#endif
