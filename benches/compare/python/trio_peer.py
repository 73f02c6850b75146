"""trio: `trio_peer.py trio SCENARIO [SIZE ..]`."""

import sys
import time

import trio
import trio.testing

from worker import BUFFER, HOUR, YIELDING_TASKS, Chain
from worker import cpu, listener, memory, pipes as make_pipes, start_posting, amounts, reply


async def nothing():
    pass


async def spawn():
    """Tasks have no handles: the end of the nursery joins them."""
    for count in amounts():
        before = cpu()
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(nothing)
        reply(cpu() - before)


async def switch():
    async def turns(count):
        for _ in range(count):
            await trio.sleep(0)

    for count in amounts():
        before = cpu()
        async with trio.open_nursery() as nursery:
            for _ in range(YIELDING_TASKS):
                nursery.start_soon(turns, count // YIELDING_TASKS)
        reply(cpu() - before)


async def waiting():
    async with trio.open_nursery() as nursery:
        for count in amounts():
            before = memory()
            events = [None] * count
            for number in range(count):
                events[number] = trio.Event()
                nursery.start_soon(events[number].wait)
            await trio.testing.wait_all_tasks_blocked()
            reply(memory() - before)


async def asleep():
    async with trio.open_nursery() as nursery:
        for count in amounts():
            before = memory()
            for _ in range(count):
                nursery.start_soon(trio.sleep, HOUR)
            await trio.testing.wait_all_tasks_blocked()
            reply(memory() - before)


async def serve(stream):
    while data := await stream.receive_some(BUFFER):
        await stream.send_all(data)


async def echo():
    server = trio.SocketListener(trio.socket.from_stdlib_socket(listener()))
    await trio.serve_listeners(serve, [server])


async def pipes(size, active):
    readers, writers = make_pipes(size)
    chain = Chain(writers)

    async def pass_on(index, reader):
        while True:
            await trio.lowlevel.wait_readable(reader)
            chain.pass_on(index, reader)

    async with trio.open_nursery() as nursery:
        for index, reader in enumerate(readers):
            nursery.start_soon(pass_on, index, reader)
        await trio.testing.wait_all_tasks_blocked()
        for count in amounts():
            end = trio.Event()
            before = cpu()
            chain.start(active, count, end.set)
            await end.wait()
            reply(cpu() - before)


async def post():
    for count in amounts():
        began = time.monotonic_ns()
        await transfer(count, False)
        reply(time.monotonic_ns() - began)


async def round_trip():
    for count in amounts():
        reply(*(await transfer(count, True)).get())


async def transfer(count, has_replies):
    token, end = trio.lowlevel.current_trio_token(), trio.Event()
    received = 0

    def receive(answer):
        nonlocal received
        received += 1
        if answer:
            answer(None)
        if received == count:
            end.set()

    result = start_posting(count, lambda answer: token.run_sync_soon(receive, answer), has_replies)
    await end.wait()
    return result


def main(_flavour, scenario, *sizes):
    if scenario == "version":
        print(trio.__version__)
        return
    trio.run(globals()[scenario], *map(int, sizes))


if __name__ == "__main__":
    main(*sys.argv[1:])
