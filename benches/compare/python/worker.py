"""Parts of the workers in Python: requests, CPU time, memory, the listener, delays, messages, pipes.

The convention is that of the workers in Rust: each line of standard input is an amount of work, and each line of standard
output has the figures for it.
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
YIELDING_TASKS = 100
BATCH = 1000
BUFFER = 64 * 1024
BACKLOG = 4096
PR_SET_PDEATHSIG = 1  # From <sys/prctl.h>.


def amounts():
    """Yield the requested amounts of work."""
    for line in sys.stdin:
        yield int(line)


def reply(*figures):
    print(*(int(figure) for figure in figures), flush=True)


def cpu():
    """Return the CPU time of this thread in nanoseconds."""
    return time.thread_time_ns()


def memory():
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/smaps_rollup") as text:
        for line in text:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise LookupError("/proc/self/smaps_rollup has no line Rss")


def listener():
    """Return a listener on all addresses, and print its port. Accepted sockets inherit TCP_NODELAY.

    A server does not read its standard input, so it requests a signal for the end of its parent.
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
    """Return delays in seconds within `span` from `start`, in a random order that is the same for all peers."""
    noise, result = 1, []
    for _ in range(count):
        noise = (noise * 6364136223846793005 + 1) % 2**64
        result.append(start + (noise >> 20) % int(span * 1e9) / 1e9)
    return result


def near_delays(count):
    """Return delays of timers that are due soon after the last one is inserted, 200 ns apart on average."""
    return delays(0.05 + 1e-5 * count, 2e-7 * count, count)


CORES = sorted(os.sched_getaffinity(0))


def start_posting(count, post, has_replies):
    """Start a thread that posts on the last core, and move the loop to the first one. Return a queue for the result."""
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
    """Make pipes with non-blocking readers. Return a list of readers and a list of writers."""
    ends = [os.pipe() for _ in range(count)]
    for reader, _ in ends:
        os.set_blocking(reader, False)
    return [reader for reader, _ in ends], [writer for _, writer in ends]


class Chain:
    """Bytes that travel along a chain of pipes. Each read byte is written to the next pipe, up to a number of writes."""

    def __init__(self, writers):
        self.writers = writers
        self.to_write = self.to_read = 0
        self.at_end = None

    def start(self, active, events, at_end):
        """Write a byte to each of `active` pipes, evenly spaced."""
        self.to_write, self.to_read = max(events - active, 0), max(events, active)
        self.at_end = at_end
        for number in range(active):
            os.write(self.writers[number * (len(self.writers) // active)], b"x")

    def pass_on(self, index, reader):
        """Read from a pipe and write to the next one."""
        for _ in os.read(reader, 8):
            if self.to_write > 0:
                self.to_write -= 1
                os.write(self.writers[index + 1 - len(self.writers)], b"x")
            self.to_read -= 1
            if self.to_read == 0:
                self.at_end()
