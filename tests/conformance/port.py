#!/usr/bin/env python3
"""Port the installed PyPI package `autobahntestsuite` (Python 2) to Python 3, in place.

Run with the interpreter of the virtual environment that holds the packages
(`setup` does that). Steps:

  1. mechanical syntax conversion with the lib2to3 fork `fissix`
     (print/except/raise/has_key/import/xrange only);
  2. "native str" literals of the test cases that are octets on the wire become
     bytes literals (Python 2 str == octets), by a small set of rules;
  3. a list of exact text edits, each of which must match exactly the stated
     number of times, else the script stops;
  4. a static audit (no text literal may reach a payload) and a runtime
     self-test (case list, UTF-8 vectors, validator) of the result.

What is *not* touched: the case list, the octets the cases send, the expected
events, close codes, time limits and the rules that turn events into
OK / NON-STRICT / FAILED. The one change in `Case.compare` replaces
"equal pickles" by "equal types and equal values" (pickles of equal values may
differ in Python 3, because of memoisation); it also stops on a text payload.
"""
import ast
import hashlib
import importlib
import io
import os
import re
import sys

FIXERS = ["print", "except", "raise", "has_key", "import", "xrange"]

# Modules of the package the WebSocket test modes do not use (WAMP v1, wsperf,
# test database): dropped, not ported.
DROP = [
    "rinterfaces.py", "serializer.py", "testdb.py", "testrun.py",
    "wampcase", "wampfuzzing.py", "wamptestee.py", "wamptestserver.py",
    "wsperfcontrol.py", "wsperfmaster.py",
]

EXPECTED_CASES = 517
EXPECTED_PER_GROUP = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37,
                      "9": 54, "10": 1, "12": 90, "13": 126}

# The UTF-8 test data of group 6.5 .. 6.23 as Python 2.7 computes it:
# SHA-256 over "<case id>:<hex payload>:<valid>\n".
UTF8_CASES_SHA256 = "e5bad8697ae7d1a959681816ec87bc58c2638376b0397af4e881c90c79591921"


def die(msg):
    sys.stderr.write("port: %s\n" % msg)
    sys.exit(1)


def read(path):
    with io.open(path, "r", encoding="utf-8", newline=None) as f:
        return f.read()


def write(path, text):
    with io.open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(text)


# ---------------------------------------------------------------- step 2: octets

STR = r'''(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')'''


def to_bytes_literal(m):
    lit = m.group(0)
    if all(ord(c) < 128 for c in lit):
        return "b" + lit
    # bytes literals must be ASCII: write the UTF-8 octets as escapes
    body = lit[1:-1]
    out = "".join(c if ord(c) < 128 else "".join("\\x%02x" % b for b in c.encode("utf-8")) for c in body)
    return "b" + lit[0] + out + lit[-1]


def bytes_in(text):
    """b-prefix every un-prefixed string literal in a piece of one line."""
    return re.sub(r"(?<![\w\"'])" + STR, to_bytes_literal, text)


PAYLOAD_ASSIGN = re.compile(
    r"^(?P<lhs>\s*(?:self\.)?(?:payload|PAYLOAD\d?|ping_payload|fragments|pings)\s*=(?!=)\s*)(?P<rhs>.*)$")
PAYLOAD_KW = re.compile(r"(?P<kw>\b(?:payload|reasonUtf8)\s*=\s*)(?P<lit>" + STR + ")")
EVENT = re.compile(r'(?P<tag>\("(?:message|pong|ping)",\s*)(?P<lit>' + STR + ")")
JOIN = re.compile(r"(?<![\w\"'b])''\.join\((?=(?:self\.)?fragments|k\))")


def octets(text):
    out = []
    for line in text.split("\n"):
        m = PAYLOAD_ASSIGN.match(line)
        # 7.3.4 / 7.3.5 pass a *unicode* close reason: those stay text
        if m and not re.search(r"\bu[\"']", m.group("rhs")):
            line = m.group("lhs") + bytes_in(m.group("rhs"))
        else:
            line = PAYLOAD_KW.sub(lambda m: m.group("kw") + bytes_in(m.group("lit")), line)
            line = EVENT.sub(lambda m: m.group("tag") + bytes_in(m.group("lit")), line)
        line = JOIN.sub("b''.join(", line)
        out.append(line)
    return "\n".join(out)


def octets_6_x_x(text):
    """case6_x_x.py: inside createUtf8TestSequences everything but titles is octets."""
    start = text.index("def createUtf8TestSequences():")
    end = text.index("def createValidUtf8TestSequences():")
    out = []
    for line in text[start:end].split("\n"):
        code = line.split("#")[0] if "#" in line else line
        rest = line[len(code):]
        if re.match(r"\s*vs = \[", code) or '"""' in code or code.strip().startswith(("Create ", "http")):
            pass  # section titles, docstring
        else:
            code = bytes_in(code)
            code = code.replace("chr(i)", "bytes([i])").replace("chr(0x20)", "bytes([0x20])")
        out.append(code + rest)
    body = "\n".join(out)
    tail = text[end:]
    # the validator self-test (also octets)
    tail = re.sub(r"validator\.validate\((" + STR + r")\)",
                  lambda m: "validator.validate(%s)" % bytes_in(m.group(1)), tail)
    return text[:start] + body + tail


# ---------------------------------------------------------------- step 3: exact edits

# file -> [(count, old, new), ...]
EDITS = {}


def edit(path, count, old, new):
    EDITS.setdefault(path, []).append((count, old, new))


# --- wstest.py
edit("wstest.py", 1, "import serializer\n", "")
edit("wstest.py", 1, "            'massconnect',\n            #'web',", "            'massconnect'\n            #'web',")
edit("wstest.py", 1, "            #'export',\n            'serializer'\n            ]", "            #'export',\n            ]")
edit("wstest.py", 1,
     '      elif self.mode == "serializer":\n'
     "         return serializer.start(outfilename = self.options['outfile'], debug = self.debug)\n\n", "")
# An exception inside a case must never pass for a result: print it, remember it,
# and make the process exit with 70.
edit("wstest.py", 1, "class WsTestOptions(usage.Options):", '''INTERNAL_ERRORS = []


def _observe_errors(event):
   if event.get('isError'):
      failure = event.get('failure')
      text = failure.getTraceback() if failure is not None else ' '.join(str(x) for x in event.get('message', ()))
      INTERNAL_ERRORS.append(text)
      sys.stderr.write("WSTEST INTERNAL ERROR #%d (%s)\\n%s\\n" % (len(INTERNAL_ERRORS), event.get('why'), text))
      sys.stderr.flush()


class WsTestOptions(usage.Options):''')
edit("wstest.py", 1, "   wstest = WsTestRunner(options, spec)\n", "   log.addObserver(_observe_errors)\n   wstest = WsTestRunner(options, spec)\n")
edit("wstest.py", 1, "      reactor.run()\n", '''      reactor.run()

   if INTERNAL_ERRORS:
      sys.stderr.write("WSTEST: %d internal error(s)\\n" % len(INTERNAL_ERRORS))
      sys.exit(70)
''')

# --- report.py
edit("report.py", 1, "REPORT_DIR_PERMISSIONS = 0770", "REPORT_DIR_PERMISSIONS = 0o770")

# --- caseset.py
edit("caseset.py", 3, "replace('.', '\\.')", "replace('.', '\\\\.')")

# --- fuzzing.py: logging of octets
edit("fuzzing.py", 1, "      dd = binascii.b2a_hex(data[:maxlen]) + ellipses\n   else:\n      dd = binascii.b2a_hex(data)\n",
     "      dd = binascii.b2a_hex(data[:maxlen]).decode('ascii') + ellipses\n   else:\n      dd = binascii.b2a_hex(data).decode('ascii')\n")
edit("fuzzing.py", 1, "         dd = data[:maxlen] + ellipses\n", "         dd = data[:maxlen] + ellipses.encode('ascii')\n")
edit("fuzzing.py", 1, "errors = 'replace' if replace else 'strict')",
     "errors = 'replace' if replace else 'surrogatepass')")  # as Python 2's codec
edit("fuzzing.py", 1, "         p = ''.join(payload)\n", "         p = b''.join(payload)\n")
edit("fuzzing.py", 2, "binascii.b2a_hex(frameHeader.mask) if frameHeader.mask else None",
     "binascii.b2a_hex(frameHeader.mask).decode('ascii') if frameHeader.mask else None")
edit("fuzzing.py", 1, "                     mmask = binascii.b2a_hex(t[6])\n", "                     mmask = str(t[6])\n")
# --- fuzzing.py: a case may only send octets
edit("fuzzing.py", 1, "   MAX_WIRE_LOG_DATA = 256\n", '''   MAX_WIRE_LOG_DATA = 256

   def sendFrame(self, opcode, payload = b'', *args, **kwargs):
      if type(payload) is not bytes:
         raise TypeError("sendFrame: payload is %s, not bytes" % type(payload))
      return WebSocketProtocol.sendFrame(self, opcode, payload, *args, **kwargs)

   def sendMessageFrameData(self, payload, *args, **kwargs):
      if type(payload) is not bytes:
         raise TypeError("sendMessageFrameData: payload is %s, not bytes" % type(payload))
      return WebSocketProtocol.sendMessageFrameData(self, payload, *args, **kwargs)
''')
# --- fuzzing.py: command channel is text on our side, octets on the wire
edit("fuzzing.py", 1, "self.sendMessage(json.dumps(len(self.factory.specCases)))",
     "self.sendMessage(json.dumps(len(self.factory.specCases)).encode('utf8'))")
edit("fuzzing.py", 1, "            self.sendMessage(json.dumps({\n               'behavior':results['behavior']\n            }))",
     "            self.sendMessage(json.dumps({\n               'behavior':results['behavior']\n            }).encode('utf8'))")
edit("fuzzing.py", 1, "self.factory.CaseSet.caseClassToPrettyDescription(self.Case),\n         }))",
     "self.factory.CaseSet.caseClassToPrettyDescription(self.Case),\n         }).encode('utf8'))")
edit("fuzzing.py", 1, 'payload = spec.get("payload", ""), payload_len', 'payload = spec.get("payload", "").encode("UTF-8"), payload_len')
edit("fuzzing.py", 1, 'log.msg("Pong received: " + payload)', 'log.msg("Pong received: %r" % payload)')
# --- listen on loopback only, when asked to (upstream always listens on all interfaces)
edit("fuzzing.py", 1, "   listenWS(factory, sslContext)\n", "   listenWS(factory, sslContext, interface = spec.get('interface', ''))\n")
edit("testee.py", 1, "   listenWS(factory, sslContext)\n",
     "   listenWS(factory, sslContext, interface = '127.0.0.1' if factory.host in ('127.0.0.1', 'localhost') else '')\n")
# --- fuzzing.py: reports
edit("fuzzing.py", 1, "         ## now log the case results\n", '''         for k in ('httpRequest', 'httpResponse', 'localCloseReason', 'remoteCloseReason'):
            if isinstance(caseResult[k], bytes):
               caseResult[k] = caseResult[k].decode('utf8', 'backslashreplace')

         ## now log the case results
''')
edit("fuzzing.py", 4, "f = open(os.path.join(outdir, report_filename), 'w')",
     "f = open(os.path.join(outdir, report_filename), 'w', encoding = 'utf-8', errors = 'backslashreplace')")
edit("fuzzing.py", 1, "% (c[0], case[c[0]], c[1])).encode(\"utf-8\"))", "% (c[0], case[c[0]], c[1])))")
edit("fuzzing.py", 1, "(2+4+len(prefix))*\" \", ll.encode('utf8')))", "(2+4+len(prefix))*\" \", ll))")
# --- case.py
edit("case/case.py", 1, "      return pickle.dumps(obj1) == pickle.dumps(obj2)\n", '''      if type(obj1) is not type(obj2):
         return False
      if type(obj1) in (list, tuple):
         for o in (obj1, obj2):
            if type(o) is tuple and o and o[0] in ("message", "ping", "pong") and type(o[1]) is not bytes:
               raise TypeError("event with a payload that is not bytes: %r" % (o,))
         return len(obj1) == len(obj2) and all(self.compare(a, b) for a, b in zip(obj1, obj2))
      return obj1 == obj2
''')
# --- old-style classes
for _f, _n in (("case6_x_x", 1), ("case7_7_X", 1), ("case7_9_X", 1), ("case9_7_X", 1), ("case12_x_x", 2)):
    edit("case/%s.py" % _f, _n, "(object, Case, )", "(Case, )")
# --- octet indexing (Python 2: one-octet string)
for _f, _n in (("case6_4_2", 2), ("case6_4_4", 2)):
    edit("case/%s.py" % _f, _n, "PAYLOAD[12]", "PAYLOAD[12:13]")
# --- integer division
edit("case/case10_1_1.py", 1, "len(self.payload) / self.p.autoFragmentSize", "len(self.payload) // self.p.autoFragmentSize")
# --- descriptions that show octets
for _f in ("6_2_1", "6_2_3", "6_2_4"):
    edit("case/case%s.py" % _f, 1, "% (PAYLOAD, binascii.b2a_hex(PAYLOAD))", "% (PAYLOAD.decode('utf8'), binascii.b2a_hex(PAYLOAD).decode('ascii'))")
edit("case/case6_2_2.py", 1, "% (PAYLOAD1, binascii.b2a_hex(PAYLOAD1), PAYLOAD2, binascii.b2a_hex(PAYLOAD2))",
     "% (PAYLOAD1.decode('utf8'), binascii.b2a_hex(PAYLOAD1).decode('ascii'), PAYLOAD2.decode('utf8'), binascii.b2a_hex(PAYLOAD2).decode('ascii'))")
edit("case/case6_3_1.py", 1, "% binascii.b2a_hex(PAYLOAD)", "% binascii.b2a_hex(PAYLOAD).decode('ascii')")
edit("case/case6_3_2.py", 1, "% binascii.b2a_hex(Case6_3_1.PAYLOAD)", "% binascii.b2a_hex(Case6_3_1.PAYLOAD).decode('ascii')")
for _f, _parts in (("6_4_1", ("PAYLOAD1", "PAYLOAD2", "PAYLOAD3")),
                   ("6_4_2", ("Case6_4_1.PAYLOAD[:12]", "Case6_4_1.PAYLOAD[12:13]", "Case6_4_1.PAYLOAD[13:]")),
                   ("6_4_3", ("Case6_4_1.PAYLOAD1", "Case6_4_1.PAYLOAD2", "Case6_4_1.PAYLOAD3")),
                   ("6_4_4", ("Case6_4_1.PAYLOAD[:12]", "Case6_4_1.PAYLOAD[12:13]", "Case6_4_1.PAYLOAD3[13:]"))):
    edit("case/case%s.py" % _f, 1, "% (" + ", ".join("binascii.b2a_hex(%s)" % p for p in _parts) + ")",
         "% (" + ", ".join("binascii.b2a_hex(%s).decode('ascii')" % p for p in _parts) + ")")
edit("case/case6_x_x.py", 1, "% (desc, binascii.b2a_hex(p[1]))", "% (desc, binascii.b2a_hex(p[1]).decode('ascii'))")
edit("case/case6_x_x.py", 5, "unichr(", "chr(")
# Python 2's utf-8 codec encodes lone surrogates; Python 3 needs "surrogatepass"
edit("case/case6_x_x.py", 2, '      ss = chr(i).encode("utf-8")\n', '      ss = chr(i).encode("utf-8", "surrogatepass")\n')
edit("case/case6_x_x.py", 1, '      ss1 = chr(i).encode("utf-8")\n', '      ss1 = chr(i).encode("utf-8", "surrogatepass")\n')
edit("case/case6_x_x.py", 1, '      ss2 = chr(j).encode("utf-8")\n', '      ss2 = chr(j).encode("utf-8", "surrogatepass")\n')
edit("case/case6_x_x.py", 6, ".tostring()", ".tobytes()")
# --- 7.5.1: the report shows the invalid close reason as hex text
edit("case/case7_5_1.py", 1, "binascii.b2a_hex(self.p.localCloseReason)", "binascii.b2a_hex(self.p.localCloseReason).decode('ascii')")
# --- 9.9.1 (not in the case list upstream either): must only import
edit("case/case9_9_1.py", 1, "from zope.interface import implements\n", "from zope.interface import implementer\n")
edit("case/case9_9_1.py", 1, "class FrameProducer:\n\n   implements(interfaces.IPushProducer)\n", "@implementer(interfaces.IPushProducer)\nclass FrameProducer:\n")
# --- 12.x / 13.x
edit("case/case12_x_x.py", 1, "      msg = ''\n", "      msg = b'' if self.TESTDATA['binary'] else ''\n")
edit("case/case12_x_x.py", 1, "binascii.hexlify(received_hash), binascii.hexlify(self._expected_hash)",
     "binascii.hexlify(received_hash).decode('ascii'), binascii.hexlify(self._expected_hash).decode('ascii')")
# --- helpers outside the conformance run
edit("massconnect.py", 2, "time.clock()", "time.perf_counter()")
edit("broadcast.py", 1, 'self.broadcast("tick %d" % self.tickcount)', 'self.broadcast(("tick %d" % self.tickcount).encode("utf8"))')
edit("broadcast.py", 1, 'self.sendMessage("hello from %s[%d]" % (socket.gethostname(), os.getpid()))',
     'self.sendMessage(("hello from %s[%d]" % (socket.gethostname(), os.getpid())).encode("utf8"))')

# --- autobahn 0.10.9 (already runs on Python 3, but for these)
AUTOBAHN_EDITS = {
    "websocket/protocol.py": [
        (1, "range(payload_len / len(payload))", "range(payload_len // len(payload))"),
        # a peer's close reason, after its validation: Python 2's codec lets surrogates through
        (1, "self.remoteCloseReason = reasonRaw.decode('utf8')",
         "self.remoteCloseReason = reasonRaw.decode('utf8', 'surrogatepass')"),
    ],
}


def apply_edits(root, edits):
    for rel in sorted(edits):
        path = os.path.join(root, rel)
        text = read(path)
        for count, old, new in edits[rel]:
            n = text.count(old)
            if n != count:
                die("%s: expected %d x %r, found %d" % (rel, count, old, n))
            text = text.replace(old, new)
        write(path, text)


# ---------------------------------------------------------------- step 4: audit

def audit_case_file(path, rel):
    """No text literal may be (part of) something that is sent or compared as octets."""
    tree = ast.parse(read(path))
    bad = []

    def texts(node):
        keys = {id(k) for s in ast.walk(node) if isinstance(s, ast.Subscript) for k in ast.walk(s.slice)}
        return [n for n in ast.walk(node)
                if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in keys]

    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for t in node.targets:
                name = t.attr if isinstance(t, ast.Attribute) else getattr(t, "id", "")
                if re.match(r"^(payload|PAYLOAD\d?|ping_payload|fragments|pings)$", name):
                    # the two unicode close reasons
                    if os.path.basename(rel) in ("case7_3_4.py", "case7_3_5.py"):
                        continue
                    # 12.x: data[...].decode('utf-8') names a codec
                    bad += [(n.lineno, n.value) for n in texts(node.value) if n.value != "utf-8"]
        if isinstance(node, ast.keyword) and node.arg in ("payload", "reasonUtf8"):
            bad += [(n.lineno, n.value) for n in texts(node.value)]
        if isinstance(node, ast.Tuple) and len(node.elts) >= 2 and isinstance(node.elts[0], ast.Constant) \
                and node.elts[0].value in ("message", "ping", "pong"):
            bad += [(n.lineno, n.value) for e in node.elts[1:] for n in texts(e)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in (
                "sendFrame", "sendMessage", "sendMessageFrameData", "sendCloseFrame"):
            bad += [(n.lineno, n.value) for a in list(node.args) + [k.value for k in node.keywords] for n in texts(a)]
    if bad:
        die("%s: text literal where octets are needed: %r" % (rel, bad))


def self_test(site):
    sys.path.insert(0, site)
    importlib.invalidate_caches()
    import autobahntestsuite.choosereactor  # noqa: F401  (installs the reactor)
    from autobahntestsuite.case import Cases, CaseCategories, CaseSubCategories, CaseSetname, CaseBasename
    from autobahntestsuite.caseset import CaseSet
    from autobahntestsuite.case import case6_x_x
    from autobahntestsuite import fuzzing  # noqa: F401
    from autobahn.websocket.utf8validator import Utf8Validator

    if not Utf8Validator.__module__.startswith("wsaccel"):
        die("the C UTF-8 validator (wsaccel) is not in use: %r" % Utf8Validator)
    cs = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
    ids = cs.parseSpecCases({"cases": ["*"]})
    groups = {}
    for i in ids:
        groups[i.split(".")[0]] = groups.get(i.split(".")[0], 0) + 1
    if len(ids) != EXPECTED_CASES or groups != EXPECTED_PER_GROUP:
        die("unexpected case list: %d %r" % (len(ids), groups))
    h = hashlib.sha256()
    for c in case6_x_x.Case6_X_X:
        if type(c.PAYLOAD) is not bytes:
            die("%s: payload is not bytes" % c.__name__)
        # an independent oracle: Python 3's own strict decoder
        try:
            c.PAYLOAD.decode("utf-8", "strict")
            ok = True
        except UnicodeDecodeError:
            ok = False
        if ok is not c.isValid:
            die("%s: marked valid=%r, but the strict decoder says %r" % (c.__name__, c.isValid, ok))
        h.update(("%s:%s:%s\n" % (c.__name__, c.PAYLOAD.hex(), c.isValid)).encode())
    if UTF8_CASES_SHA256 and h.hexdigest() != UTF8_CASES_SHA256:
        die("UTF-8 test data differ from Python 2's: %s" % h.hexdigest())
    v = Utf8Validator()
    case6_x_x.test_utf8_incremental(v, True)
    # the large validator test (2.1 M sequences) of the package, once
    case6_x_x.test_utf8(v)
    return len(ids), h.hexdigest()


def main():
    import autobahn
    autobahn_root = os.path.dirname(os.path.abspath(autobahn.__file__))
    site = os.path.dirname(autobahn_root)
    root = os.path.join(site, "autobahntestsuite")
    if not os.path.isdir(os.path.join(root, "case")):
        die("autobahntestsuite is not installed next to autobahn")

    import shutil
    for rel in DROP:
        p = os.path.join(root, rel)
        if os.path.isdir(p):
            shutil.rmtree(p)
        else:
            os.remove(p)

    # step 1
    from fissix.refactor import RefactoringTool
    tool = RefactoringTool(["fissix.fixes.fix_" + f for f in FIXERS])
    files = []
    for d, dirs, names in os.walk(root):
        dirs.sort()
        files += [os.path.join(d, n) for n in sorted(names) if n.endswith(".py")]
    for path in files:
        text = read(path)  # also CRLF -> LF
        if not text.endswith("\n"):
            text += "\n"
        write(path, str(tool.refactor_string(text, path)))

    # step 2
    for path in files:
        rel = os.path.relpath(path, root)
        # (case12_x_x.py reads its data from files: nothing to do there)
        if re.match(r"case/case\d", rel.replace(os.sep, "/")) and not rel.endswith("case12_x_x.py"):
            text = octets(read(path))
            if rel.endswith("case6_x_x.py"):
                text = octets_6_x_x(text)
            write(path, text)

    # step 3
    apply_edits(root, EDITS)
    apply_edits(autobahn_root, AUTOBAHN_EDITS)

    # step 4
    for path in files:
        rel = os.path.relpath(path, root)
        compile(read(path), path, "exec")
        if re.match(r"case/case\d", rel.replace(os.sep, "/")):
            audit_case_file(path, rel)
    n, digest = self_test(site)
    print("port: %d cases; UTF-8 test data sha256 %s" % (n, digest))


if __name__ == "__main__":
    main()
