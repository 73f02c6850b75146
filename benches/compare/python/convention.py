"""What the workers in Python share: questions and answers, CPU time, memory.

The same convention as that of the workers in Rust: a number a line comes in, a line of figures goes out.
"""

import os
import socket
import sys
import time

HOUR = 3600
TAKING_TURNS = 100
BUFFER = 64 * 1024
BACKLOG = 4096


def questions():
    """The amounts of work, one by one."""
    for line in sys.stdin:
        yield int(line)


def reply(*figures):
    print(*(int(figure) for figure in figures), flush=True)


def cpu():
    """Nanoseconds of CPU time of this thread so far."""
    return time.thread_time_ns()


def memory():
    """Bytes of this process that are in memory."""
    with open("/proc/self/smaps_rollup") as text:
        for line in text:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise LookupError("the kernel does not tell the memory of a process")


def listener():
    """A listener on all addresses that is announced already. Accepted sockets inherit TCP_NODELAY."""
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("", 0))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    reply(listener.getsockname()[1], os.getpid())
    return listener
