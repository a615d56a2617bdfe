"""An echo server on websockets and uvloop, without compression and pings. Arguments: host, port."""

import sys

import uvloop
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(socket):
    try:
        async for message in socket:
            await socket.send(message)
    except ConnectionClosed:
        pass


async def main(host, port):
    async with serve(
        echo, host, port, compression=None, max_size=64 << 20, ping_interval=None, backlog=4096
    ) as server:
        await server.serve_forever()


uvloop.run(main(sys.argv[1], int(sys.argv[2])))
