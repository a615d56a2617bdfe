"""An echo server on Autobahn|Python, asyncio and uvloop, with its native kernels where it has
them. Arguments: host, port."""

import asyncio
import sys

import uvloop
from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


async def main(host, port):
    loop = asyncio.get_running_loop()
    factory = WebSocketServerFactory(f"ws://{host}:{port}")
    factory.protocol = Echo
    server = await loop.create_server(factory, host, port, backlog=4096)
    await server.serve_forever()


uvloop.run(main(sys.argv[1], int(sys.argv[2])))
