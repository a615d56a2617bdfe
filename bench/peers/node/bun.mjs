// An echo server on Bun: one process, no compression. Arguments: host, port.
const [hostname, port] = process.argv.slice(2);
Bun.serve({
  hostname,
  port: Number(port),
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 64 << 20,
    backpressureLimit: 256 << 20,
    message(socket, message) {
      socket.send(message);
    },
  },
});
