// Lets a headless Chromium talk to a running `wirebahn echo`: serves chromium.html, starts
// the browser on it, and waits for what the page posts.
//
//   node peer_chromium.mjs ws://HOST:PORT SERVER_PID DEFLATE CHROMIUM
//
// The server has to allow the page's origin, http://127.0.0.1:*, and messages of 2 MiB and
// not more. In the end it is sent SIGTERM, and has to say 1001. Needs nothing but node.
import { spawn } from 'node:child_process';
import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [url, pid, deflate, chromium] = process.argv.slice(2);
const HANG_MS = 180_000; // the page idles for 45 s, and a busy machine is slow to start a browser
const page = await readFile(new URL('chromium.html', import.meta.url));
let checks = 0;
let end;
const ended = new Promise((done) => { end = done; });

const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const reply = (status, content) => { response.writeHead(status, { 'content-type': 'text/html' }); response.end(content); };
  switch (`${request.method} ${request.url.split('?')[0]}`) {
    case 'GET /': return reply(200, page);
    case 'POST /checked': checks += 1; console.log(`  ok: ${body}`); return reply(204);
    case 'POST /sigterm': process.kill(Number(pid), 'SIGTERM'); return reply(204);
    case 'POST /passed': reply(204); return end({ passed: true, said: body });
    case 'POST /failed': reply(204); return end({ passed: false, said: body });
    default: return reply(404);
  }
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const profile = await mkdtemp(join(tmpdir(), 'wirebahn-chromium-'));
const browser = spawn(chromium, [
  '--headless=new',
  '--no-sandbox', // CI runs as root, where Chromium's sandbox does not start
  '--disable-gpu',
  '--disable-dev-shm-usage', // containers have a small /dev/shm
  '--no-first-run',
  '--disable-background-networking',
  '--disable-background-timer-throttling',
  `--user-data-dir=${profile}`,
  `http://127.0.0.1:${server.address().port}/?url=${encodeURIComponent(url)}&deflate=${deflate}`,
], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
let complaints = '';
browser.stderr.on('data', (data) => { if (complaints.length < 20_000) complaints += data; });
browser.on('error', (error) => end({ passed: false, said: String(error) }));
browser.on('exit', (code) => end({ passed: false, said: `the browser ended with status ${code}` }));
setTimeout(() => end({ passed: false, said: `hung after ${checks} checks` }), HANG_MS).unref();

const { passed, said } = await ended;
// The browser's processes are one group, made by this script.
if (browser.pid !== undefined && browser.exitCode === null) {
  const gone = once(browser, 'exit');
  process.kill(-browser.pid, 'SIGKILL');
  await gone;
}
server.closeAllConnections();
server.close();
await rm(profile, { recursive: true, force: true, maxRetries: 5 });
if (passed) {
  console.log(`${said}: ${checks} checks passed`);
} else {
  console.error(`chromium: ${said}\n${complaints}`);
  process.exitCode = 1;
}
