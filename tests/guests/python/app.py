"""A driver in Python, for the gateway's own tests: made from `plugin-api/wit` alone, it shows that guests need no Rust.

Its database is in the guest itself: it greets, and repeats a name.

    componentize-py -d plugin-api/wit/0.1.0 -w driver componentize -p tests/guests/python app -o pydb.wasm
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import log
from wit_world.imports.types import (
    CallRequest,
    Endpoint_Parts,
    Error,
    ErrorCode,
    Outcome,
    Payload,
    Settings,
)

VERSION = "1.0.0"


def fail(code: ErrorCode, message: str, session_lost: bool = False, **details: str) -> Err[Error]:
    """What is raised to answer an error."""
    text = json.dumps(details) if details else ""
    return Err(Error(code, message, text, None, session_lost))


def refuse(field: str, why: str) -> Err[Error]:
    """A value that does not fit."""
    return fail(ErrorCode.VALIDATION_ERROR, f"`{field}`: {why}", field=field)


def read_greeting(settings: Settings) -> str:
    """Checks all settings and gives back the one that matters."""
    if not isinstance(settings.endpoint, Endpoint_Parts):
        raise refuse("connection_string", "give a host and a port instead")
    try:
        options = json.loads(settings.options)
    except ValueError:
        raise refuse("options", "is not JSON") from None
    if not isinstance(options, dict):
        raise refuse("options", "is not an object")
    for name in options:
        if name != "greeting":
            raise refuse(f"options.{name}", "there is no such option")
    greeting = options.get("greeting", "hello")
    if not isinstance(greeting, str):
        raise refuse("options.greeting", "is not text")
    return greeting


def hello(greeting: str, request: CallRequest) -> object:
    return {
        "greeting": greeting,
        "request_id": request.request_id,
        "granted": request.granted.name.lower(),
    }


def echo(_greeting: str, request: CallRequest) -> object:
    try:
        return {"name": request.path[0].decode()}
    except UnicodeDecodeError:
        raise refuse("name", "is not UTF-8") from None


# The route table: a call names an operation by its place in it.
OPERATIONS = [
    ("/hello", "Greet, and say what the call carried", hello),
    ("/echo/{name}", "Repeat a name", echo),
]

MANIFEST = {
    "api_version": "0.1.0",
    "type": "pydb",
    "name": "PyDB",
    "version": VERSION,
    "default_port": 7,
    "concurrency": "exclusive",
    "options": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"greeting": {"type": "string", "description": "What `/hello` says."}},
        "additionalProperties": False,
    },
    "operations": [
        {"method": "GET", "path": path, "access": "read", "summary": summary}
        for path, summary, _ in OPERATIONS
    ],
}


class Guest(exports.Guest):
    """What a driver does. An instance of the component holds one session: its greeting, once it is open. Each call is made
    on a new object, so what lasts is kept in the class."""

    greeting: str | None = None

    def manifest(self) -> str:
        return json.dumps(MANIFEST)

    def check(self, settings: Settings) -> None:
        read_greeting(settings)

    def open(self, settings: Settings) -> None:
        Guest.greeting = read_greeting(settings)
        log.write(log.Level.INFO, "pydb", "opened", f"greeting={Guest.greeting}")

    def call(self, request: CallRequest) -> Payload:
        greeting = self.session()
        if request.query:
            raise refuse(request.query[0].name, "there is no such query parameter here")
        _, _, run = OPERATIONS[request.operation]
        reply = json.dumps(run(greeting, request)).encode()
        if len(reply) > request.max_reply_bytes:
            raise fail(ErrorCode.RESULT_TOO_LARGE, "the reply is larger than the gateway passes on")
        return Payload(Outcome.OK, reply, True)

    def ping(self) -> str:
        self.session()
        return json.dumps({"version": VERSION})

    def close(self) -> None:
        Guest.greeting = None

    def session(self) -> str:
        if Guest.greeting is None:
            raise fail(ErrorCode.DRIVER_ERROR, "the session is not open", session_lost=True)
        return Guest.greeting
