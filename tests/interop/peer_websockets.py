"""Talks to a running `wirebahn echo` with Python `websockets`, and compares everything that comes back.

  peer_websockets.py ws://HOST:PORT SERVER_PID DEFLATE

DEFLATE is the server's --deflate: off, shared, history or dedicated.

The server has to allow messages of 2 MiB and not more (--max-message-size 2097152). In the
end it is sent SIGTERM, and has to say 1001. Exit status 0 when all of it was right.
"""
import asyncio
import itertools
import json
import os
import platform
import signal
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

MESSAGE_MAX = 2 * 1024 * 1024
SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1024 * 1024)
PATIENCE = 20  # seconds; hang detection
CHECKS = []


def checked(what):
    CHECKS.append(what)
    print("  ok: %s" % what)


def octets(length):
    return bytes(n * 167 % 256 for n in range(length))


def letters(length):
    """Text of that many octets, in characters of one to four."""
    return "aé€🙂" * (length // 10) + "x" * (length % 10)


def peer(url, **options):
    return connect(url, max_size=None, ping_interval=None, open_timeout=PATIENCE, close_timeout=PATIENCE, **options)


async def echoed(ws, what, sent, message=None):
    message = sent if message is None else message
    await ws.send(sent)
    got = await asyncio.wait_for(ws.recv(), PATIENCE)
    assert type(got) is type(message), "%s: %s came back" % (what, type(got))
    assert got == message, "%s: other octets came back" % what
    checked(what)


async def closed(ws, what, code, reason=None):
    await asyncio.wait_for(ws.wait_closed(), PATIENCE)
    assert ws.close_code == code, "%s: %s" % (what, ws.close_code)
    assert reason is None or ws.close_reason == reason, "%s: %r" % (what, ws.close_reason)
    checked(what)


def rows(count, start):
    """Text that resembles what was sent before."""
    sides = ("buy", "sell")
    return json.dumps([{"id": start + n, "price": n * 7919 % 1000, "name": "grün", "side": sides[n % 2]} for n in range(count)],
                      ensure_ascii=False)


async def every_offer(url):
    """All parameters this library can offer, in all combinations that differ."""
    takeovers = ((False, False), (True, False), (False, True), (True, True))
    for (server, client), server_bits, client_bits in itertools.product(takeovers, (None, 9, 12, 15), (None, True, 9, 15)):
        offer = ClientPerMessageDeflateFactory(
            server_no_context_takeover=server,
            client_no_context_takeover=client,
            server_max_window_bits=server_bits,
            client_max_window_bits=client_bits,
            compress_settings={"memLevel": 5},
        )
        what = "compressed by %s" % (offer.get_request_params(),)
        async with peer(url, compression=None, extensions=[offer]) as ws:
            assert "permessage-deflate" in ws.response.headers["Sec-WebSocket-Extensions"], what
            sent = [rows(count, count * 1000) for count in (0, 1, 1, 5, 30, 5, 400, 1)]
            sent += ["", os.urandom(50000), rows(30, 30000)]
            for message in sent:
                await ws.send(message)
            got = [await asyncio.wait_for(ws.recv(), PATIENCE) for _ in sent]
            assert got == sent, "%s: other octets came back" % what
            long = rows(1000, 7)
            await echoed(ws, what, [long[n:n + 999] for n in range(0, len(long), 999)], long)


async def main(url, pid, deflate):
    if deflate != "off":
        await every_offer(url)
        async with peer(url) as ws:
            await echoed(ws, "compressed: 2 MiB, the limit", "x" * MESSAGE_MAX)
            await ws.send("x" * (MESSAGE_MAX + 1))
            await closed(ws, "compressed: 2 MiB and one octet ends in close 1009", 1009)

    for compression in ("deflate", None):
        offer = "permessage-deflate offered" if compression else "no extension offered"
        async with peer(url, compression=compression) as ws:
            assert ws.subprotocol is None, "a subprotocol nobody asked for"
            for size in SIZES:
                await echoed(ws, "%s: binary of %d octets" % (offer, size), octets(size))
                await echoed(ws, "%s: text of %d octets" % (offer, size), letters(size))
            await echoed(ws, "%s: text in three fragments" % offer, ["one€", "two€", "three"], "one€two€three")
            parts = [octets(1001)[n:n + 1] for n in range(1001)]
            await echoed(ws, "%s: binary in 1,001 fragments" % offer, parts, octets(1001))

    async with peer(url) as ws:
        for size in (0, 1, 125):
            pong = await ws.ping(octets(size))
            latency = await asyncio.wait_for(pong, PATIENCE)
            assert latency >= 0
            checked("a ping of %d octets is answered" % size)
        await ws.pong(b"nobody asked")
        await echoed(ws, "an unasked pong is ignored", "still here")
        many = ["message %d" % n for n in range(1000)]
        for message in many:
            await ws.send(message)
        got = [await asyncio.wait_for(ws.recv(), PATIENCE) for _ in many]
        assert got == many, "other messages came back"
        checked("1,000 messages at once come back in order")

    for code, reason in ((1000, ""), (1001, "leaving"), (3000, "κόσμε"), (4999, "r" * 123)):
        async with peer(url) as ws:
            await ws.close(code, reason)
            # close_code is what the server said: the library knows both, and only this is ours.
            assert ws.protocol.close_rcvd is not None, "no Close came"
            assert (ws.protocol.close_rcvd.code, ws.protocol.close_rcvd.reason) == (code, reason)
            checked("close %d with a reason of %d octets comes back" % (code, len(reason.encode())))

    async with peer(url) as ws:
        await ws.send(b"a\xff", text=True)
        await closed(ws, "text that is not UTF-8 ends in close 1007", 1007)

    async with peer(url, compression=None) as ws:
        await echoed(ws, "a message of 2 MiB, the limit", octets(MESSAGE_MAX))
        try:
            await ws.send(octets(MESSAGE_MAX + 1))
        except ConnectionClosed:
            pass  # the answer may come before the last octet has left
        await closed(ws, "a message of 2 MiB and one octet ends in close 1009", 1009)

    async with peer(url) as ws:
        os.kill(pid, signal.SIGTERM)
        await closed(ws, "SIGTERM ends in close 1001", 1001)

    print("websockets %s on Python %s: %d checks passed" % (websockets.__version__, platform.python_version(), len(CHECKS)))


asyncio.run(asyncio.wait_for(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]), 120))
