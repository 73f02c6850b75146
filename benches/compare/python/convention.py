"""What the workers in Python share: questions and answers, CPU time, memory.

The same convention as that of the workers in Rust: a number a line comes in, a line of figures goes out.
"""

import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import time

HOUR = 3600
TAKING_TURNS = 100
BATCH = 1000
BUFFER = 64 * 1024
BACKLOG = 4096
PR_SET_PDEATHSIG = 1  # From <sys/prctl.h>.


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
    """A listener on all addresses that is announced already. Accepted sockets inherit TCP_NODELAY.

    A server reads no questions whose end it would see, so it ends with whoever has started it.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("", 0))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    reply(listener.getsockname()[1], os.getpid())
    return listener


def delays(start, span, count):
    """Seconds from now, in a random order: within `span` from `start`; the same for all peers."""
    noise, result = 1, []
    for _ in range(count):
        noise = (noise * 6364136223846793005 + 1) % 2**64
        result.append(start + (noise >> 20) % int(span * 1e9) / 1e9)
    return result


def soon(count):
    """So many delays of timers that are soon due: when the last one is inserted, and 200 ns apart."""
    return delays(0.05 + 1e-5 * count, 2e-7 * count, count)


CORES = sorted(os.sched_getaffinity(0))


def posting(count, post, has_replies):
    """Starts a thread that posts, on the last core; the loop goes to the first one. Its result is a queue."""
    result = queue.SimpleQueue()

    def run():
        os.sched_setaffinity(0, CORES[-1:])
        replies, trips = queue.SimpleQueue(), []
        for _ in range(count):
            began = time.monotonic_ns()
            post(replies.put if has_replies else None)
            if has_replies:
                replies.get()
                trips.append(time.monotonic_ns() - began)
        trips.sort()
        result.put([trips[len(trips) * part // 100] for part in (50, 99)] if trips else [])

    os.sched_setaffinity(0, CORES[:1])
    threading.Thread(target=run).start()
    return result


def pipes(count):
    """Pipes whose readers do not block: a list of readers, and one of writers."""
    ends = [os.pipe() for _ in range(count)]
    for reader, _ in ends:
        os.set_blocking(reader, False)
    return [reader for reader, _ in ends], [writer for _, writer in ends]


class Chain:
    """Bytes that travel along a chain of pipes: who reads one writes one to the next pipe, until enough are written."""

    def __init__(self, writers):
        self.writers = writers
        self.to_write = self.to_read = 0
        self.at_end = None

    def begin(self, active, events, at_end):
        """Begins with a byte in some of them, evenly apart."""
        self.to_write, self.to_read = max(events - active, 0), max(events, active)
        self.at_end = at_end
        for number in range(active):
            os.write(self.writers[number * (len(self.writers) // active)], b"x")

    def pass_on(self, index, reader):
        """A pipe has a byte."""
        for _ in os.read(reader, 8):
            if self.to_write > 0:
                self.to_write -= 1
                os.write(self.writers[index + 1 - len(self.writers)], b"x")
            self.to_read -= 1
            if self.to_read == 0:
                self.at_end()
