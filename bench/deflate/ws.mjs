// An echo server by npm `ws` with compression, for bench/examples/deflate.rs.
//
//   node ws.mjs [PORT]        (prints the address and its pid)
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2] ?? 0), perMessageDeflate: { threshold: 0 } });
server.on('listening', () => console.log(`ws://127.0.0.1:${server.address().port} ${process.pid}`));
server.on('connection', (peer) => peer.on('message', (data, binary) => peer.send(data, { binary })));
