#!/usr/bin/env python3
"""The judge of the conformance gate: strict, and itself under test.

  judge.py SPEC.json AGENT     judges the report a fuzzingclient left for SPEC.json
  judge.py --self-test         shows on hand-made reports that the judge refuses what it must

Runs with the python of the suite's virtual environment: the list of the cases a
specification selects comes from the suite, so a case that was never run is seen.

A case passes when its `behavior` and its `behaviorClose` are both OK. INFORMATIONAL
passes for the three cases the suite made informational and for no other. Everything else
fails: NON-STRICT, UNIMPLEMENTED, WRONG CODE, UNCLEAN, a case that is missing, a case that
nobody asked for, a verdict the judge does not know. Exit status: 0 all passed, 1 some
failed, 2 no usable report.
"""
import contextlib
import io
import json
import os
import sys
import tempfile

# The suite gives no verdict on these: what a peer does with a message after its close
# frame, and close codes outside the registered ranges (RFC 6455, 7.4.2).
INFORMATIONAL = frozenset(["7.1.6", "7.13.1", "7.13.2"])
USAGE, FAILED = 2, 1


class NoReport(Exception):
    """There is nothing to judge, which is never a success."""


def passes(case, entry):
    """Whether the suite's entry for `case` is a strict pass."""
    good = ("OK", "INFORMATIONAL") if case in INFORMATIONAL else ("OK",)
    return entry.get("behavior") in good and entry.get("behaviorClose") in good


def judge(wanted, index, agent):
    """Returns (passed ids, [(failed id, why)]) for the cases `wanted` of `agent`."""
    if not wanted:
        raise NoReport("the specification selects no case")
    if agent not in index:
        raise NoReport("no case was run for agent %s (did the server answer?)" % agent)
    got = index[agent]
    passed, failed = [], []
    for case in wanted:
        entry = got.get(case)
        if entry is None:
            failed.append((case, "MISSING"))
        elif passes(case, entry):
            passed.append(case)
        else:
            failed.append((case, "%s, close: %s, close code: %s" % (
                entry.get("behavior"), entry.get("behaviorClose"), entry.get("remoteCloseCode"))))
    for case in sorted(set(got) - set(wanted)):
        failed.append((case, "was run, but nobody asked for it"))
    return passed, failed


def selected(spec):
    """The ids of the cases that `spec` selects, as the suite itself reads it."""
    from autobahntestsuite.case import Cases, CaseCategories, CaseSubCategories, CaseSetname, CaseBasename
    from autobahntestsuite.caseset import CaseSet
    cases = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
    return cases.parseSpecCases(spec)


def detail(outdir, entry):
    """What the suite wrote about a failed case, in one line."""
    try:
        with open(os.path.join(outdir, entry["reportfile"]), encoding="utf-8") as f:
            report = json.load(f)
    except (OSError, ValueError, KeyError):
        return ""
    return " | %s | %s" % (report.get("result", ""), report.get("resultClose", ""))


def run(spec_path, agent):
    with open(spec_path, encoding="utf-8") as f:
        spec = json.load(f)
    outdir = spec["outdir"]
    try:
        try:
            with open(os.path.join(outdir, "index.json"), encoding="utf-8") as f:
                index = json.load(f)
        except (OSError, ValueError) as e:
            raise NoReport(str(e)) from e
        passed, failed = judge(selected(spec), index, agent)
    except NoReport as e:
        print("no usable report: %s" % e)
        return USAGE
    for case, why in failed:
        print("  %-8s %s%s" % (case, why, detail(outdir, index[agent].get(case, {}))))
    print("%s: %d passed, %d failed" % (agent, len(passed), len(failed)))
    return FAILED if failed else 0


# ---------------------------------------------------------------- the gate's own gate

def self_test():
    ok = {"behavior": "OK", "behaviorClose": "OK", "remoteCloseCode": 1000}
    # (what, changes to an all-OK report, expected exit status); None takes a case out
    table = [
        ("every case OK", {}, 0),
        ("the three informational cases", {
            "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"},
            "7.13.1": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"},
            "7.13.2": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"}}, 0),
        ("one NON-STRICT", {"6.4.1": {"behavior": "NON-STRICT"}}, FAILED),
        ("one UNIMPLEMENTED", {"2.1": {"behavior": "UNIMPLEMENTED"}}, FAILED),
        ("one FAILED", {"1.1.1": {"behavior": "FAILED"}}, FAILED),
        ("one missing", {"5.19": None}, FAILED),
        ("close UNCLEAN", {"3.1": {"behaviorClose": "UNCLEAN"}}, FAILED),
        ("close WRONG CODE", {"7.7.1": {"behaviorClose": "WRONG CODE"}}, FAILED),
        ("close FAILED BY CLIENT", {"7.7.1": {"behaviorClose": "FAILED BY CLIENT"}}, FAILED),
        ("INFORMATIONAL where a verdict is due", {"7.7.1": {"behavior": "INFORMATIONAL"}}, FAILED),
        ("INFORMATIONAL close where a verdict is due", {"7.7.1": {"behaviorClose": "INFORMATIONAL"}}, FAILED),
        ("UNCLEAN in an informational case", {"7.1.6": {"behaviorClose": "UNCLEAN"}}, FAILED),
        ("a verdict nobody knows", {"1.1.1": {"behavior": "FINE"}}, FAILED),
        ("no verdict at all", {"1.1.1": {"behavior": None, "behaviorClose": None}}, FAILED),
        ("a case outside the selection", {"12.1.1": {}}, FAILED),
        ("another agent", "agent", USAGE),
        ("no index", "index", USAGE),
        ("an index that is not JSON", "garbage", USAGE),
        ("a selection of nothing", "nothing", USAGE),
    ]
    wrong = 0
    for what, changes, expected in table:
        with tempfile.TemporaryDirectory() as outdir:
            spec = {"outdir": outdir, "servers": [], "cases": ["1.*", "2.*", "3.*", "5.*", "6.4.*", "7.*"],
                    "exclude-cases": [], "exclude-agent-cases": {}}
            report = {case: dict(ok) for case in selected(spec)}
            if isinstance(changes, dict):
                for case, change in changes.items():
                    if change is None:
                        del report[case]
                    else:
                        report[case] = dict(report.get(case, ok), **change)
            if changes == "nothing":
                spec["cases"] = []
                report = {}
            index = json.dumps({"other" if changes == "agent" else "agent": report})
            if changes == "garbage":
                index = index[:-1]
            if changes != "index":
                with open(os.path.join(outdir, "index.json"), "w", encoding="utf-8") as f:
                    f.write(index)
            path = os.path.join(outdir, "spec.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(spec, f)
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                status = run(path, "agent")
        if status != expected:
            wrong += 1
            print("judge: %s: status %r instead of %r\n%s" % (what, status, expected, said.getvalue()))
    print("judge: %d of %d hand-made reports judged rightly" % (len(table) - wrong, len(table)))
    return FAILED if wrong else 0


def main(argv):
    if argv == ["--self-test"]:
        return self_test()
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return USAGE
    return run(argv[0], argv[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
