// An echo server on ws: one process, no compression. Arguments: host, port.
import { WebSocketServer } from "ws";

const [host, port] = process.argv.slice(2);
const server = new WebSocketServer({
  host,
  port: Number(port),
  perMessageDeflate: false,
  maxPayload: 64 << 20,
  backlog: 4096,
});
server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  // The load driver reports what ends a connection.
  socket.on("error", () => {});
});
