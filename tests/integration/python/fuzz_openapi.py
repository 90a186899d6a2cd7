"""Requests made of the controller's own OpenAPI document, right and wrong ones, by schemathesis.

usage: fuzz_openapi.py http://HOST:PORT EXAMPLES SECONDS SEED

Each answer must have a status, a media type and a form that the document declares for the operation; a 500 must be a reply list that says
what is wrong. Every operation is asked at least once with a right request, however long that takes; then come wrong ones and further right
ones, in an order that the seed decides, until the time is over. The same seed makes the same requests.
Ends with 1 and one paragraph for each kind of fault, and for each operation that was not asked.
"""

import collections
import json
import random
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

BASE, EXAMPLES, SECONDS, SEED = sys.argv[1].rstrip("/"), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
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
# It switches sign-in on for everybody, this program too: it comes last.
SIGN_IN = ("post", "/v1/controller/auth/initialize-token-auth")
SIGN_IN_PROPERTY = "/v1/controller/properties/Auth/TokenAuthenticationEnabled"
ORDER = ["get", "options", "post", "put", "patch", "delete"]


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


class Run:
    """What was asked so far, and what was wrong with the answers."""

    def __init__(self, document):
        self.document = document
        self.session = requests.Session()
        self.faults, self.statuses = collections.defaultdict(list), collections.Counter()
        self.asked, self.slow, self.unmade = collections.Counter(), collections.Counter(), []
        self.begin = time.monotonic()

    def over(self):
        return time.monotonic() - self.begin > SECONDS

    def fault(self, operation, status, told, request, text):
        key = (operation.method.upper(), operation.path, status, told.split("\n")[0][:120])
        self.faults[key].append(f"{told[:600]}\n  {request[:400]}\n  {text[:400]}")

    def described(self, operation):
        return self.document["paths"][operation.path][operation.method.lower()]

    def is_stream(self, operation):
        return any("text/event-stream" in reply.get("content", {}) for reply in self.described(operation)["responses"].values())

    def send(self, operation, case, right):
        name = f"{operation.method.upper()} {operation.path}"
        if coin(case.path_parameters):
            case.path_parameters = {name: KNOWN.get(name, value) for name, value in (case.path_parameters or {}).items()}
        if right and isinstance(case.body, (dict, list)):
            case.body = about_what_is_there(case.body)
        signs_in = (operation.method.lower(), operation.path) == SIGN_IN
        if signs_in and not isinstance(case.body, (list, str, int, float)):
            # Without it plain requests are sent elsewhere from then on.
            case.body = {**(case.body if isinstance(case.body, dict) else {}), "no_https": True}
            case.media_type = "application/json"
        self.asked[name] += 1
        try:
            if self.is_stream(operation):
                return self.open(operation, case)
            response = case.call(base_url=BASE, session=self.session, timeout=PATIENCE)
        except (requests.Timeout, TimeoutError):
            self.slow[name] += 1
            return
        self.statuses[response.status_code] += 1
        told = refusal_fault(response)
        if told is None:
            try:
                case.validate_response(response, checks=CHECKS)
            except schemathesis.core.failures.FailureGroup as group:
                told = "; ".join(f"{one.title}: {one.message}" for one in group.exceptions)
        if told is not None:
            self.fault(operation, response.status_code, told, case.as_curl_command(), response.text)
        if signs_in and response.status_code == 201:
            for entry in response.json():
                token = entry.get("obj_refs", {}).get("token")
                if token:
                    self.session.headers["Authorization"] = f"Bearer {token}"

    def open(self, operation, case):
        """A stream has no end: its head and its first bytes are looked at."""
        asked = case.as_transport_kwargs(base_url=BASE)
        with self.session.request(**asked, stream=True, timeout=PATIENCE) as response:
            self.statuses[response.status_code] += 1
            declared = self.described(operation)["responses"].get(str(response.status_code))
            media, told = response.headers.get("Content-Type", ""), None
            if declared is None:
                told = "an undeclared status"
            elif media.split(";")[0] not in declared_media(self.document, declared):
                told = f"an undeclared media type: {media}"
            elif response.status_code == 200 and not next(response.iter_content(16), b""):
                told = "a stream that says nothing"
            elif response.status_code != 200:
                told = refusal_fault(response)
            if told is not None:
                self.fault(operation, response.status_code, told, case.as_curl_command(), media)

    def make(self, operation, mode, examples, number):
        """Makes so many requests of a kind; some operations take nothing that could be wrong."""
        try:
            strategy = operation.as_strategy(generation_mode=mode)
            run = seed(SEED + number)(settings(
                max_examples=examples, database=None, deadline=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(case=strategy)(lambda case: self.send(operation, case, mode == GenerationMode.POSITIVE))))
            run()
        except Unsatisfiable as error:
            self.unmade.append(f"{mode.name.lower()} {operation.method.upper()} {operation.path}: {type(error).__name__}")

    def leave(self):
        """Switches sign-in off again, for whoever comes after."""
        if "Authorization" in self.session.headers:
            if self.session.get(BASE + "/v1/nodes", timeout=PATIENCE).status_code != 200:
                self.faults[("GET", "/v1/nodes", 0, "token")].append("the token that was made lets nobody in")
            self.session.delete(BASE + SIGN_IN_PROPERTY, timeout=PATIENCE)


def declared_media(document, declared):
    if "$ref" in declared:
        declared = document["components"]["responses"][declared["$ref"].rsplit("/", 1)[1]]
    return declared.get("content", {})


def main():
    with urllib.request.urlopen(BASE + "/openapi.json") as answer:
        document = json.load(answer)
    schema = schemathesis.openapi.from_dict(document)
    run = Run(document)
    operations = [result.ok() for result in schema.get_all_operations()]
    # What deletes comes late, so that there is something to ask about before; what asks everybody for a token comes last.
    operations.sort(key=lambda one: ((one.method.lower(), one.path) == SIGN_IN, ORDER.index(one.method.lower()), one.path))
    wrong = operations[:-1]
    random.Random(SEED).shuffle(wrong)
    wrong.sort(key=lambda one: one.method.lower() == "delete")
    # Each one, whatever the time; then wrong ones; then both again as long as there is time.
    for operation in operations[:-1]:
        run.make(operation, GenerationMode.POSITIVE, 1, 0)
    for number in range(EXAMPLES):
        for mode in ([GenerationMode.NEGATIVE] if number == 0 else [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]):
            for operation in wrong:
                if not run.over():
                    run.make(operation, mode, 1 if number == 0 else 8, number)
    for mode in (GenerationMode.NEGATIVE, GenerationMode.POSITIVE):
        run.make(operations[-1], mode, 3, 0)
    run.leave()
    print(f"{sum(run.statuses.values())} requests to {len(run.asked)} of {len(operations)} operations in {time.monotonic() - run.begin:.0f} s"
          f" (seed {SEED});", ", ".join(f"{status}: {count}" for status, count in sorted(run.statuses.items())))
    if run.slow:
        print(f"not waited for: {dict(run.slow)}")
    if run.unmade:
        print(f"not made: {len(run.unmade)}, e.g. {run.unmade[:3]}")
    names = [f"{operation.method.upper()} {operation.path}" for operation in operations]
    left_out = [name for name in names if name not in run.asked]
    for name in left_out:
        print(f"\nNOT ASKED {name}")
    for (verb, path, status, _), told in sorted(run.faults.items()):
        print(f"\nFAULT {verb} {path} {status} ({len(told)} times)\n  {told[0]}")
    return 1 if run.faults or left_out else 0


if __name__ == "__main__":
    sys.exit(main())
