"""What passed and failed of the SDK suites on both sides, and which tests pass against one server only."""

import json
import pathlib
import sys
import xml.etree.ElementTree

OUT = pathlib.Path(sys.argv[1])


def python(file):
    results = {}
    for case in xml.etree.ElementTree.parse(file).iter("testcase"):
        kinds = {child.tag for child in case}
        state = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        results[f"{case.get('classname')}::{case.get('name')}"] = state
    return results


def javascript(file):
    results = {}
    for suite in json.loads(file.read_text())["testResults"]:
        name = pathlib.Path(suite["name"]).name
        for case in suite["assertionResults"]:
            state = {"passed": "passed", "failed": "failed"}.get(case["status"], "skipped")
            results[f"{name}: {case['fullName']}"] = state
    return results


worse = []
for language, suffix, read in [("Python", "python.xml", python), ("JavaScript", "js.json", javascript)]:
    sides = {}
    for side in ["real", "miroir"]:
        file = OUT / f"{side}-{suffix}"
        if file.exists():
            sides[side] = read(file)
            counts = [sum(state == kind for state in sides[side].values()) for kind in ["passed", "failed", "skipped"]]
            print(f"{language:<11} {side:<7} {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
    if len(sides) == 2:
        real, miroir = sides["real"], sides["miroir"]
        worse += [name for name, state in real.items() if state == "passed" and miroir.get(name) != "passed"]
for name in worse:
    print(f"only against one server: {name}")
sys.exit(1 if worse else 0)
