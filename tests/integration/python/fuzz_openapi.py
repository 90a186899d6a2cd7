"""Requests made of the controller's own OpenAPI document, right and wrong ones, by schemathesis.

usage: fuzz_openapi.py http://HOST:PORT EXAMPLES SECONDS

Each answer must have a status, a media type and a form that the document declares for the operation; a 500 must be a reply list that says
what is wrong. Ends with 1 and one paragraph for each kind of fault. The same requests are made each time.
"""

import collections
import json
import sys
import time
import urllib.request
import zlib

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

BASE, EXAMPLES, SECONDS = sys.argv[1].rstrip("/"), int(sys.argv[2]), float(sys.argv[3])
# How long one answer is waited for: one that waits for satellites may take longer, and is no fault.
PATIENCE = 5
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
# What is there: every other request is about something that exists.
KNOWN = {
    "node": "alpha", "node_a": "alpha", "node_b": "bravo", "from": "bravo", "pool": "sim", "resource": "web", "group": "DfltRscGrp",
    "number": "0", "snapshot": "one", "store": "notes", "interface": "default", "target": "web", "kind": "resource", "names": "web/alpha",
    "file": "%2Fetc%2Fdrbd.d%2Fx.res", "key": "Aux/site",
}
BODIES = {"name": "fuzz", "node_name": "alpha", "storage_pool": "sim", "resource_definition_name": "fuzz", "new_name": "fuzz2",
          "to_resource": "copy", "resource_group_name": "DfltRscGrp", "resource_name": "web", "node": "alpha", "pool": "sim"}
# It switches sign-in on for everybody, this program too.
LEFT_OUT = {("post", "/v1/controller/auth/initialize-token-auth")}


def coin(value):
    return zlib.crc32(repr(value).encode()) % 2 == 0


def about_what_is_there(value):
    if isinstance(value, dict):
        return {key: BODIES[key] if key in BODIES and isinstance(inner, str) and coin(inner) else about_what_is_there(inner)
                for key, inner in value.items()}
    if isinstance(value, list):
        return [about_what_is_there(inner) for inner in value]
    return value


def refusal_fault(response):
    """What is wrong about a 500, if anything: it must be a document with words."""
    if response.status_code < 500 or response.headers.get("Content-Type", "").startswith("text/plain"):
        return None
    try:
        document = response.json()
    except ValueError:
        return "a failure without a document"
    entries = document if isinstance(document, list) else document.get("messages", document.get("replies", [document]))
    for entry in entries:
        if not entry.get("message"):
            return "a failure without a message"
        if entry.get("error_report_ids"):
            return "a defect with an error report: " + entry["message"]
    return None


def main():
    with urllib.request.urlopen(BASE + "/openapi.json") as answer:
        document = json.load(answer)
    schema = schemathesis.openapi.from_dict(document)
    session = requests.Session()
    faults, statuses, slow, unmade = collections.defaultdict(list), collections.Counter(), [], []
    begin = time.monotonic()
    operations = [result.ok() for result in schema.get_all_operations()]
    # What deletes comes last, so that there is something to ask about before.
    operations.sort(key=lambda operation: (["get", "options", "post", "put", "patch", "delete"].index(operation.method.lower()), operation.path))
    reached = 0
    for operation in operations:
        verb, path = operation.method.lower(), operation.path
        described = document["paths"][path][verb]
        streams = any("text/event-stream" in reply.get("content", {}) for reply in described["responses"].values())
        if streams or (verb, path) in LEFT_OUT:
            continue
        if time.monotonic() - begin > SECONDS:
            break
        reached += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            right = mode == GenerationMode.POSITIVE

            def send(case):
                if coin(case.path_parameters):
                    case.path_parameters = {name: KNOWN.get(name, value) for name, value in (case.path_parameters or {}).items()}
                if right and isinstance(case.body, (dict, list)):
                    case.body = about_what_is_there(case.body)
                try:
                    response = case.call(base_url=BASE, session=session, timeout=PATIENCE)
                except (requests.Timeout, TimeoutError):
                    slow.append(f"{verb.upper()} {path}")
                    return
                statuses[response.status_code] += 1
                told = refusal_fault(response)
                if told is None:
                    try:
                        case.validate_response(response, checks=CHECKS)
                        return
                    except schemathesis.core.failures.FailureGroup as group:
                        told = "; ".join(f"{one.title}: {one.message}" for one in group.exceptions)
                key = (verb.upper(), path, response.status_code, told.split("\n")[0][:120])
                faults[key].append(f"{told[:600]}\n  {case.as_curl_command()[:400]}\n  {response.text[:400]}")

            try:
                strategy = operation.as_strategy(generation_mode=mode)
                run = seed(1)(settings(
                    max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )(given(case=strategy)(send)))
                run()
            except Unsatisfiable as error:
                # Some operations take nothing that could be wrong.
                unmade.append(f"{mode.name.lower()} {verb.upper()} {path}: {type(error).__name__}")
    print(f"{sum(statuses.values())} requests to {reached} of {len(operations)} operations in {time.monotonic() - begin:.0f} s;",
          ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())))
    if slow:
        print(f"not waited for: {dict(collections.Counter(slow))}")
    if unmade:
        print(f"not made: {len(unmade)}, e.g. {unmade[:3]}")
    for (verb, path, status, _), told in sorted(faults.items()):
        print(f"\nFAULT {verb} {path} {status} ({len(told)} times)\n  {told[0]}")
    return 1 if faults or not statuses else 0


if __name__ == "__main__":
    sys.exit(main())
