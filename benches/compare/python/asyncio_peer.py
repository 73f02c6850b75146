"""asyncio on its default loop or on that of uvloop: `asyncio_peer.py {asyncio,uvloop} SCENARIO [SIZE ..]`."""

import asyncio
import os
import platform
import sys
import time

from worker import BACKLOG, BATCH, BUFFER, HOUR, YIELDING_TASKS, Chain
from worker import cpu, delays, listener, memory, pipes as make_pipes, start_posting, amounts, reply, near_delays


async def nothing():
    pass


async def spawn():
    for count in amounts():
        tasks = [None] * count
        before = cpu()
        for number in range(count):
            tasks[number] = asyncio.create_task(nothing())
        for task in tasks:
            await task
        reply(cpu() - before)


async def switch():
    async def turns(count):
        for _ in range(count):
            await asyncio.sleep(0)

    for count in amounts():
        before = cpu()
        tasks = [asyncio.create_task(turns(count // YIELDING_TASKS)) for _ in range(YIELDING_TASKS)]
        for task in tasks:
            await task
        reply(cpu() - before)


async def waiting():
    async def wait_for(future):
        await future

    loop = asyncio.get_running_loop()
    for count in amounts():
        before = memory()
        tasks, futures = [None] * count, [None] * count
        for number in range(count):
            futures[number] = loop.create_future()
            tasks[number] = asyncio.create_task(wait_for(futures[number]))
        await asyncio.create_task(nothing())  # Runs after all others.
        reply(memory() - before)


async def asleep():
    for count in amounts():
        before = memory()
        tasks = [None] * count
        for number in range(count):
            tasks[number] = asyncio.create_task(asyncio.sleep(HOUR))
        await asyncio.create_task(nothing())  # Runs after all others.
        reply(memory() - before)


class Echo(asyncio.BufferedProtocol):
    """A buffered protocol, because a plain one gets a new buffer of 256 KiB for each read, which is slower.

    All connections share one buffer, like the callbacks of other peers. Writes copy the bytes, because a transport may
    keep its argument.
    """

    buffer = memoryview(bytearray(BUFFER))

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, _hint):
        return self.buffer

    def buffer_updated(self, count):
        self.transport.write(bytes(self.buffer[:count]))


async def echo():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, sock=listener(), backlog=BACKLOG)
    await server.serve_forever()


expired = 0


def run():
    global expired
    expired += 1


async def timers():
    loop = asyncio.get_running_loop()
    for count in amounts():
        base, timers = loop.time(), [None] * count
        deadlines = [base + delay for delay in delays(HOUR, HOUR, count)]
        before = cpu()
        for number, deadline in enumerate(deadlines):
            timers[number] = loop.call_at(deadline, run)
        inserted = cpu()
        for timer in timers:
            timer.cancel()
        reply(inserted - before, cpu() - inserted)


async def timers_run():
    loop = asyncio.get_running_loop()
    for count in amounts():
        base = loop.time()
        deadlines = [base + delay for delay in near_delays(count)]
        before = cpu()
        for deadline in deadlines:
            loop.call_at(deadline, run)
        await asyncio.sleep(max(deadlines) - loop.time())
        while expired < count:
            await asyncio.sleep(0.001)
        reply(cpu() - before)


async def rearm(size):
    """Timers cannot be moved, so each one is cancelled and replaced."""
    loop = asyncio.get_running_loop()
    base = loop.time() + HOUR
    timers = [loop.call_at(base, run) for _ in range(size)]
    for count in amounts():
        before = cpu()
        for step in range(count):
            timers[step % size].cancel()
            timers[step % size] = loop.call_at(base + step * 1e-6, run)
        await asyncio.sleep(0)
        reply(cpu() - before)


async def chain():
    loop = asyncio.get_running_loop()

    def link(left, end):
        if left:
            loop.call_soon(link, left - 1, end)
        else:
            end.set_result(None)

    for count in amounts():
        end = loop.create_future()
        before = cpu()
        link(count, end)
        await end
        reply(cpu() - before)


async def batch():
    loop = asyncio.get_running_loop()
    total = 0

    def add(number):
        nonlocal total
        total += number

    for count in amounts():
        before = cpu()
        for _ in range(count // BATCH):
            for number in range(BATCH):
                loop.call_soon(add, number)
            await asyncio.sleep(0)
        reply(cpu() - before)


async def dispatch(size):
    loop = asyncio.get_running_loop()
    readers, writers = make_pipes(size)
    seen, to_see, end = 0, 0, None

    def see():
        nonlocal seen
        seen += 1
        if seen == to_see:
            end.set_result(None)

    for reader, writer in zip(readers, writers):
        os.write(writer, b"x")
        loop.add_reader(reader, see)
    for count in amounts():
        seen, to_see, end = 0, count, loop.create_future()
        before = cpu()
        await end
        reply((cpu() - before) * count // seen)  # The last batch may exceed the request.


async def pipes(size, active):
    loop = asyncio.get_running_loop()
    readers, writers = make_pipes(size)
    chain = Chain(writers)
    for index, reader in enumerate(readers):
        loop.add_reader(reader, chain.pass_on, index, reader)
    for count in amounts():
        end = loop.create_future()
        before = cpu()
        chain.start(active, count, lambda: end.set_result(None))
        await end
        reply(cpu() - before)


async def fetches(port):
    async def fetch():
        began, first_byte = time.monotonic_ns(), 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        while await reader.read(4096):
            first_byte = first_byte or time.monotonic_ns()
        writer.close()
        return began, first_byte, time.monotonic_ns()

    for count in amounts():
        before, start = time.process_time_ns(), time.monotonic_ns()
        all_times = await asyncio.gather(*(fetch() for _ in range(count)))
        took = time.monotonic_ns() - start
        used = (time.process_time_ns() - before) // count
        reply(took, used, *(at - start for times in all_times[:5] for at in times))


async def children(at_once):
    async def starts(share):
        for _ in range(share):
            child = await asyncio.create_subprocess_exec("/bin/true")
            assert await child.wait() == 0

    for count in amounts():
        began, before = time.monotonic_ns(), time.process_time_ns()
        shares = [len(range(task, count, at_once)) for task in range(at_once)]
        await asyncio.gather(*map(starts, shares))
        reply(time.monotonic_ns() - began, time.process_time_ns() - before)


async def post():
    for count in amounts():
        began = time.monotonic_ns()
        await transfer(count, False)
        reply(time.monotonic_ns() - began)


async def round_trip():
    for count in amounts():
        reply(*(await transfer(count, True)).get())


async def transfer(count, has_replies):
    loop = asyncio.get_running_loop()
    received, end = 0, loop.create_future()

    def receive(answer):
        nonlocal received
        received += 1
        if answer:
            answer(None)
        if received == count:
            end.set_result(None)

    result = start_posting(count, lambda answer: loop.call_soon_threadsafe(receive, answer), has_replies)
    await end
    return result


def main(flavour, scenario, *sizes):
    if flavour == "uvloop":
        import uvloop
    if scenario == "version":
        print(uvloop.__version__ if flavour == "uvloop" else platform.python_version())
        return
    work = globals()[scenario](*map(int, sizes))
    if flavour == "uvloop":
        uvloop.run(work)
    else:
        asyncio.run(work)


if __name__ == "__main__":
    main(*sys.argv[1:])
