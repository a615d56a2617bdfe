"""An echo server on socketify: uWebSockets, called from Python for every message. Needs libuv.
Arguments: host, port."""

import sys

from socketify import App, AppListenOptions, CompressOptions

app = App()
app.ws(
    "/*",
    {
        "compression": CompressOptions.DISABLED,
        "max_payload_length": 64 << 20,
        "max_backpressure": 256 << 20,
        "idle_timeout": 120,
        "message": lambda socket, message, opcode: socket.send(message, opcode),
    },
)
app.listen(AppListenOptions(port=int(sys.argv[2]), host=sys.argv[1]), lambda config: None)
app.run()
