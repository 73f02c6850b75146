"""asyncio, on its own loop or on uvloop's: `asyncio_peer.py {asyncio,uvloop} SCENARIO [SIZE ..]`."""

import asyncio
import platform
import sys

from convention import BACKLOG, HOUR, TAKING_TURNS, cpu, listener, memory, questions, reply


async def nothing():
    pass


async def spawn():
    for count in questions():
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

    for count in questions():
        before = cpu()
        tasks = [asyncio.create_task(turns(count // TAKING_TURNS)) for _ in range(TAKING_TURNS)]
        for task in tasks:
            await task
        reply(cpu() - before)


async def waiting():
    async def wait_for(future):
        await future

    loop = asyncio.get_running_loop()
    for count in questions():
        before = memory()
        tasks, futures = [None] * count, [None] * count
        for number in range(count):
            futures[number] = loop.create_future()
            tasks[number] = asyncio.create_task(wait_for(futures[number]))
        await asyncio.create_task(nothing())  # It is the last one to run.
        reply(memory() - before)


async def asleep():
    for count in questions():
        before = memory()
        tasks = [None] * count
        for number in range(count):
            tasks[number] = asyncio.create_task(asyncio.sleep(HOUR))
        await asyncio.create_task(nothing())  # It is the last one to run.
        reply(memory() - before)


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def echo():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, sock=listener(), backlog=BACKLOG)
    await server.serve_forever()


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
