// Talks to a running `wirebahn echo` with npm `ws`, and compares everything that comes back.
//
//   node peer_ws.mjs ws://HOST:PORT SERVER_PID DEFLATE
//
// DEFLATE is the server's --deflate: off, shared, history or dedicated.
// The server has to allow messages of 2 MiB and not more (--max-message-size 2097152). In
// the end it is sent SIGTERM, and has to say 1001. Exit status 0 when all of it was right.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import WebSocket from 'ws';

const [url, pid, deflate] = process.argv.slice(2);
const MESSAGE_MAX = 2 * 1024 * 1024;
const SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1024 * 1024];
const PATIENCE_MS = 20_000;
let checks = 0;

// Hang detection: nothing in here takes seconds.
const watchdog = setTimeout(() => { console.error(`hung after ${checks} checks`); process.exit(1); }, 120_000);

function checked(what) {
  checks += 1;
  console.log(`  ok: ${what}`);
}

async function open(options = {}) {
  const peer = new WebSocket(url, { maxPayload: 0, handshakeTimeout: PATIENCE_MS, ...options });
  await once(peer, 'open');
  return peer;
}

async function echoed(peer, what, payload, binary, send = () => peer.send(payload, { binary })) {
  const reply = once(peer, 'message');
  send();
  const [data, isBinary] = await reply;
  assert.equal(isBinary, binary, what);
  assert.ok(Buffer.compare(data, Buffer.from(payload)) === 0, `${what}: other octets came back`);
  checked(what);
}

async function closed(peer, what, code, reason) {
  const [gotCode, gotReason] = await once(peer, 'close');
  assert.equal(gotCode, code, what);
  if (reason !== undefined) assert.equal(gotReason.toString(), reason, what);
  checked(what);
}

const octets = (length) => Buffer.from(Uint8Array.from({ length }, (_, n) => (n * 167) % 256));
// Text of that many octets, in characters of one to four.
const letters = (length) => 'aé€🙂'.repeat(Math.floor(length / 10)) + 'x'.repeat(length % 10);

for (const perMessageDeflate of [true, false]) {
  const offer = perMessageDeflate ? 'permessage-deflate offered' : 'no extension offered';
  const peer = await open({ perMessageDeflate });
  assert.equal(peer.protocol, '', 'a subprotocol nobody asked for');
  for (const size of SIZES) {
    await echoed(peer, `${offer}: binary of ${size} octets`, octets(size), true);
    await echoed(peer, `${offer}: text of ${size} octets`, letters(size), false);
  }
  await echoed(peer, `${offer}: text in three fragments`, 'one€two€three', false, () => {
    peer.send('one€', { fin: false });
    peer.send('two€', { fin: false });
    peer.send('three', { fin: true });
  });
  await echoed(peer, `${offer}: binary in 1,001 fragments`, octets(1001), true, () => {
    for (let n = 0; n <= 1000; n += 1) peer.send(octets(1001).subarray(n, n + 1), { fin: n === 1000, binary: true });
  });
  peer.close(1000, 'bye');
  await closed(peer, `${offer}: close 1000 and its reason come back`, 1000, 'bye');
}

// Every offer this library can make, and messages that resemble one another, so that contexts
// are referred to where they are taken over. Both windows, both contexts, both ways of limiting.
const OFFERS = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true },
  { clientMaxWindowBits: 9 },
  { clientMaxWindowBits: 15 },
  { clientMaxWindowBits: false },
  { serverMaxWindowBits: 9 },
  { serverMaxWindowBits: 12, clientMaxWindowBits: 10 },
  { serverMaxWindowBits: 15, clientMaxWindowBits: 9, serverNoContextTakeover: true },
];
const rows = (count, from) => JSON.stringify(Array.from({ length: count }, (_, n) => (
  { id: from + n, symbol: ['WIRE', 'BAHN', 'GRÜN'][n % 3], price: (n * 7919) % 1000, side: n & 1 ? 'buy' : 'sell' })));
for (const offer of deflate === 'off' ? [] : OFFERS) {
  for (const zlibDeflateOptions of [{ level: 1 }, { level: 9, memLevel: 1 }]) {
    const what = `${JSON.stringify(offer)} level ${zlibDeflateOptions.level}`;
    const peer = await open({ perMessageDeflate: { ...offer, threshold: 0, zlibDeflateOptions } });
    assert.equal(peer.extensions, 'permessage-deflate', what);
    for (const count of [0, 1, 1, 5, 30, 5, 400, 1, 4000, 30]) {
      const text = rows(count, count * 1000);
      const reply = once(peer, 'message');
      peer.send(text);
      assert.equal((await reply)[0].toString(), text, `${what}: ${count} rows`);
    }
    const random = Buffer.from(Uint8Array.from({ length: 100_000 }, () => Math.random() * 256));
    const reply = once(peer, 'message');
    peer.send(random.subarray(0, 40_000), { fin: false, binary: true });
    peer.ping('between');
    peer.send(random.subarray(40_000), { fin: true, binary: true });
    assert.ok(Buffer.compare((await reply)[0], random) === 0, `${what}: random octets`);
    await echoed(peer, `compressed by ${what}: rows and random octets`, rows(30, 1), false);
    peer.close(1000);
    await closed(peer, `compressed by ${what}: closes`, 1000);
  }
}
if (deflate !== 'off') {
  // 2 MiB and one octet of text, in some 2 KB.
  const peer = await open({ perMessageDeflate: { threshold: 0 } });
  await echoed(peer, 'compressed: 2 MiB, the limit', 'x'.repeat(MESSAGE_MAX), false);
  peer.send('x'.repeat(MESSAGE_MAX + 1));
  await closed(peer, 'compressed: 2 MiB and one octet ends in close 1009', 1009);
}

{
  const peer = await open();
  for (const size of [0, 1, 125]) {
    const pong = once(peer, 'pong');
    peer.ping(octets(size));
    assert.ok(Buffer.compare((await pong)[0], octets(size)) === 0, `ping of ${size}`);
    checked(`a ping of ${size} octets is answered`);
  }
  peer.pong(Buffer.from('nobody asked'));
  await echoed(peer, 'an unasked pong is ignored', 'still here', false);
  const pong = once(peer, 'pong');
  await echoed(peer, 'a ping between fragments', 'two parts', false, () => {
    peer.send('two ', { fin: false });
    peer.ping('between');
    peer.send('parts', { fin: true });
  });
  assert.equal((await pong)[0].toString(), 'between');
  const many = Array.from({ length: 1000 }, (_, n) => `message ${n}`);
  const replies = [];
  const all = new Promise((done) => {
    peer.on('message', (data) => { replies.push(data.toString()); if (replies.length === many.length) done(); });
  });
  for (const message of many) peer.send(message);
  await all;
  assert.deepEqual(replies, many);
  checked('1,000 messages at once come back in order');
  peer.close();
  await closed(peer, 'a close without a code comes back without one', 1005, '');
}

for (const [code, reason] of [[1000, ''], [1001, 'leaving'], [3000, 'κόσμε'], [4999, 'r'.repeat(123)]]) {
  const peer = await open();
  peer.close(code, reason);
  await closed(peer, `close ${code} with a reason of ${Buffer.byteLength(reason)} octets comes back`, code, reason);
}

{
  const peer = await open();
  peer.send(Buffer.from([0x61, 0xff]), { binary: false });
  await closed(peer, 'text that is not UTF-8 ends in close 1007', 1007);
}
{
  const peer = await open({ perMessageDeflate: false });
  await echoed(peer, 'a message of 2 MiB, the limit', octets(MESSAGE_MAX), true);
  peer.send(octets(MESSAGE_MAX + 1));
  await closed(peer, 'a message of 2 MiB and one octet ends in close 1009', 1009);
}
{
  const peer = await open();
  process.kill(Number(pid), 'SIGTERM');
  await closed(peer, 'SIGTERM ends in close 1001', 1001);
}

clearTimeout(watchdog);
const { version } = createRequire(import.meta.url)('ws/package.json');
console.log(`ws ${version} on node ${process.version}: ${checks} checks passed`);
