"""An echo server on picows and uvloop. Arguments: host, port."""

import asyncio
import sys

import uvloop
from picows import WSListener, WSMsgType, ws_create_server


class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


async def main(host, port):
    server = await ws_create_server(
        lambda request: Echo(), host, port, max_frame_size=64 << 20, backlog=4096
    )
    await server.serve_forever()


uvloop.run(main(sys.argv[1], int(sys.argv[2])))
