"""An echo server by Python `websockets` with compression, for bench/examples/deflate.rs.

  python websockets.py        (prints the address and its pid)
"""
import asyncio
import os
import sys

sys.path.pop(0)  # this file has the name of the library
from websockets.asyncio.server import serve  # noqa: E402


async def echo(peer):
    async for message in peer:
        await peer.send(message)


async def main():
    async with serve(echo, "127.0.0.1", 0, compression="deflate", max_size=None, ping_interval=None) as server:
        print("ws://127.0.0.1:%d %d" % (server.sockets[0].getsockname()[1], os.getpid()), flush=True)
        await server.serve_forever()


asyncio.run(main())
