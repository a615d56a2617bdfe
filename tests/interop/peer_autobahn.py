"""Talks to a running `wirebahn echo` with Autobahn|Python (asyncio), and compares everything that comes back.

  peer_autobahn.py ws://HOST:PORT SERVER_PID

The server has to allow messages of 2 MiB and not more (--max-message-size 2097152). In the
end it is sent SIGTERM, and has to say 1001. Exit status 0 when all of it was right.
"""
import asyncio
import os
import platform
import signal
import sys
from urllib.parse import urlsplit

import autobahn
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponse, PerMessageDeflateResponseAccept

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
    return ("aé€🙂" * (length // 10) + "x" * (length % 10)).encode()


class Peer(WebSocketClientProtocol):
    """Puts what happens into a queue, to be read in order by `main`."""

    def __init__(self):
        super().__init__()
        self.events = asyncio.Queue()

    def onOpen(self):
        self.events.put_nowait(("open",))

    def onMessage(self, payload, isBinary):
        self.events.put_nowait(("message", isBinary, bytes(payload)))

    def onPong(self, payload):
        self.events.put_nowait(("pong", bytes(payload)))

    def onClose(self, wasClean, code, reason):
        self.events.put_nowait(("close", wasClean, self.remoteCloseCode, self.remoteCloseReason))

    async def expects(self, what, *event):
        got = await asyncio.wait_for(self.events.get(), PATIENCE)
        assert got[:len(event)] == event, "%s: %.200r came instead of %.200r" % (what, got, event)
        checked(what)


async def open_peer(url, deflate=False):
    factory = WebSocketClientFactory(url)
    factory.protocol = Peer
    # failByDrop=False: a client that closes as it should, not one that cuts the line
    factory.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=PATIENCE, serverConnectionDropTimeout=PATIENCE)
    if deflate:
        factory.setProtocolOptions(
            perMessageCompressionOffers=[PerMessageDeflateOffer()],
            perMessageCompressionAccept=lambda r: PerMessageDeflateResponseAccept(r) if isinstance(r, PerMessageDeflateResponse) else None)
    at = urlsplit(url)
    _, peer = await asyncio.get_running_loop().create_connection(factory, at.hostname, at.port)
    assert (await asyncio.wait_for(peer.events.get(), PATIENCE)) == ("open",)
    return peer


async def main(url, pid):
    for deflate in (True, False):
        offer = "permessage-deflate offered" if deflate else "no extension offered"
        peer = await open_peer(url, deflate)
        assert peer.websocket_protocol_in_use is None, "a subprotocol nobody asked for"
        for size in SIZES:
            peer.sendMessage(octets(size), isBinary=True)
            await peer.expects("%s: binary of %d octets" % (offer, size), "message", True, octets(size))
            peer.sendMessage(letters(size), isBinary=False)
            await peer.expects("%s: text of %d octets" % (offer, size), "message", False, letters(size))
        peer.sendMessage(octets(1001), isBinary=True, fragmentSize=1)
        await peer.expects("%s: binary in fragments of one octet" % offer, "message", True, octets(1001))
        peer.sendMessage(letters(200), isBinary=False, fragmentSize=7)
        await peer.expects("%s: text in fragments of seven octets" % offer, "message", False, letters(200))
        if not deflate:
            # Frame by frame and octet by octet; neither goes together with compression there.
            peer.beginMessage(isBinary=False)
            for part in ("one€".encode(), "two€".encode(), b"three"):
                peer.sendMessageFrame(part)
            peer.endMessage()
            await peer.expects("text frame by frame", "message", False, "one€two€three".encode())
            peer.beginMessage(isBinary=True)
            peer.beginMessageFrame(1000)
            for n in range(1000):
                peer.sendMessageFrameData(octets(1000)[n:n + 1])
            peer.endMessage()
            await peer.expects("binary octet by octet", "message", True, octets(1000))
        peer.sendClose(1000, "bye")
        await peer.expects("%s: close 1000 and its reason come back" % offer, "close", True, 1000, "bye")

    peer = await open_peer(url)
    for size in (0, 1, 125):
        peer.sendPing(octets(size))
        await peer.expects("a ping of %d octets is answered" % size, "pong", octets(size))
    peer.sendPong(b"nobody asked")
    peer.sendMessage(b"still here")
    await peer.expects("an unasked pong is ignored", "message", False, b"still here")
    for n in range(1000):
        peer.sendMessage(b"message %d" % n)
    for n in range(1000):
        assert (await asyncio.wait_for(peer.events.get(), PATIENCE)) == ("message", False, b"message %d" % n)
    checked("1,000 messages at once come back in order")
    peer.sendClose()
    await peer.expects("a close without a code comes back without one", "close", True, None, None)

    for code, reason in ((1000, ""), (3000, "κόσμε"), (4999, "r" * 123)):
        peer = await open_peer(url)
        peer.sendClose(code, reason or None)
        what = "close %d with a reason of %d octets comes back" % (code, len(reason.encode()))
        await peer.expects(what, "close", True, code, reason or None)

    peer = await open_peer(url)
    peer.sendMessage(b"a\xff", isBinary=False)
    await peer.expects("text that is not UTF-8 ends in close 1007", "close", True, 1007)

    peer = await open_peer(url)
    peer.sendMessage(octets(MESSAGE_MAX), isBinary=True)
    await peer.expects("a message of 2 MiB, the limit", "message", True, octets(MESSAGE_MAX))
    peer.sendMessage(octets(MESSAGE_MAX + 1), isBinary=True)
    await peer.expects("a message of 2 MiB and one octet ends in close 1009", "close", True, 1009)

    peer = await open_peer(url)
    os.kill(pid, signal.SIGTERM)
    await peer.expects("SIGTERM ends in close 1001", "close", True, 1001)

    print("Autobahn|Python %s on Python %s: %d checks passed" % (autobahn.__version__, platform.python_version(), len(CHECKS)))


asyncio.run(asyncio.wait_for(main(sys.argv[1], int(sys.argv[2])), 120))
