// An echo server on Bun: one process, no compression. Arguments: host, port, and `broadcast` to send
// every message to everyone instead.
const [hostname, port, mode] = process.argv.slice(2);
const everyone = "everyone";
const server = Bun.serve({
  hostname,
  port: Number(port),
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 64 << 20,
    backpressureLimit: 256 << 20,
    open(socket) {
      if (mode === "broadcast") socket.subscribe(everyone);
    },
    message(socket, message) {
      if (mode === "broadcast") server.publish(everyone, message);
      else socket.send(message);
    },
  },
});
