"""A scripted model API on loopback: it answers a real client's requests from short scripts.

It keeps no state between requests. A marker in the prompt, ``[[script:NAME]]`` or ``[[script:NAME ARGUMENT]]``, picks
the script, and the number of assistant messages since that marker picks the step. Requests without tools are the
client's side calls (titles, compaction) and get a short text.
"""

import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MARKER = re.compile(r"\[\[script:(\w+)(?: ([^\]]+))?\]\]")
# What waits in a script goes on when this file appears in the session's directory.
GO = "go"
# What the inner client of the script `nested` is asked.
INNER_PROMPT = "[[script:text]] inner"

Block = dict[str, Any]
Step = list[Block]


def text(words: str) -> Block:
    """Return a block in which the model speaks."""
    return {"type": "text", "text": words}


def tool(name: str, **arguments: Any) -> Block:
    """Return a block in which the model calls a tool."""
    return {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:20]}", "name": name, "input": arguments}


def bash(command: str) -> Block:
    """Return a call of the shell."""
    return tool("Bash", command=command, description="Run a scripted command")


def _tools(directory: str) -> list[Step]:
    note = f"{directory}/note.txt"
    return [
        [text("I look around."), bash("echo hello from the shell")],
        [tool("Write", file_path=note, content="first line\n")],
        [tool("Read", file_path=note)],
        [tool("Edit", file_path=note, old_string="first", new_string="second")],
        [bash("echo to-stderr >&2; exit 3")],
        [text("All five tools ran.")],
    ]


def _agent(_argument: str) -> list[Step]:
    # In the background, as newer clients do by themselves.
    order = {"prompt": "[[script:sub]] look", "subagent_type": "general-purpose", "run_in_background": True}
    return [
        [tool("Agent", description="Look around", **order)],
        [text("The subagent works; I wait for it.")],
        [text("The subagent is done.")],
    ]


def _waiting() -> Block:
    return bash(f"for i in $(seq 1600); do [ -e {GO} ] && break; sleep 0.05; done; echo gone")


def _write(directory: str) -> list[Step]:
    note = tool("Write", file_path=f"{directory}/forbidden.txt", content="written\n")
    return [[_waiting()], [note], [text("I tried to write.")]]


def _nested(program: str) -> list[Step]:
    inner = f"{program} -p '{INNER_PROMPT}' --permission-mode bypassPermissions"
    return [[bash(inner)], [text("The inner session ended.")]]


SCRIPTS: dict[str, Callable[[str], list[Step]]] = {
    "text": lambda _: [[text("Here is the scripted answer.")]],
    "tools": _tools,
    "parallel": lambda _: [[bash("echo one"), bash("echo two")], [text("Both ran.")]],
    "agent": _agent,
    "sub": lambda _: [[_waiting()], [text("Looked.")]],
    "write": _write,
    "nested": _nested,
}


def _said(message: dict[str, Any]) -> str:
    """Return what a message says in words, without the results of tools."""
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def _place(messages: list[dict[str, Any]]) -> tuple[str, str, int]:
    """Return the script, its argument and the step that a conversation has reached."""
    step = 0
    for message in reversed(messages):
        if message["role"] == "assistant":
            step += 1
            continue
        found = MARKER.findall(_said(message))
        if found:
            return found[-1][0], found[-1][1], step
    return "", "", step


def _answer(request: dict[str, Any]) -> Step | None:
    """Return the model's next message, or None where the script says that the API fails."""
    if not request.get("tools"):
        return [text("Side call")]
    name, argument, step = _place(request["messages"])
    if name == "fail":
        return None
    steps = SCRIPTS[name](argument) if name in SCRIPTS else []
    return steps[step] if step < len(steps) else [text("Nothing more is scripted.")]


def _usage() -> dict[str, int]:
    return {"input_tokens": 11, "output_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}


def _message(request: dict[str, Any], blocks: Step) -> dict[str, Any]:
    """Return the whole answer, as a request that does not stream gets it."""
    return {
        "id": f"msg_{uuid.uuid4().hex[:20]}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "scripted"),
        "content": blocks,
        "stop_reason": "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn",
        "stop_sequence": None,
        "usage": _usage(),
    }


def _block_events(index: int, block: Block) -> Iterator[dict[str, Any]]:
    """Yield one block as the stream brings it: an empty shell, its content, its end."""
    if block["type"] == "text":
        shell, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        shell = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    yield {"type": "content_block_start", "index": index, "content_block": shell}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _stream(message: dict[str, Any]) -> bytes:
    """Return a message as server-sent events."""
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events = [{"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}]
    for index, block in enumerate(message["content"]):
        events.extend(_block_events(index, block))
    events.append({"type": "message_delta", "delta": ending, "usage": _usage()})
    events.append({"type": "message_stop"})
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


class _Model(BaseHTTPRequestHandler):
    """One request of the client's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "ScriptedApi"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if "count_tokens" in self.path:
            self._send(200, "application/json", json.dumps({"input_tokens": 11}).encode())
            return
        self.server.requests.append(body)
        self._send_message(body, _answer(body))

    def do_GET(self) -> None:
        self._send(404, "application/json", b'{"type":"error"}')

    do_HEAD = do_GET

    def _send_message(self, body: dict[str, Any], blocks: Step | None) -> None:
        if blocks is None:
            error = {"type": "invalid_request_error", "message": "The script refuses."}
            self._send(400, "application/json", json.dumps({"type": "error", "error": error}).encode())
        elif body.get("stream"):
            self._send(200, "text/event-stream", _stream(_message(body, blocks)))
        else:
            self._send(200, "application/json", json.dumps(_message(body, blocks)).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the test prints what it needs."""


class ScriptedApi(ThreadingHTTPServer):
    """The API on a socket that already listens; ``requests`` holds what the client asked, in order."""

    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(("127.0.0.1", 0), _Model, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_address = listening.getsockname()
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """The address that the client is given as its API."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def told(self, words: str) -> bool:
        """Return whether the words reached the model in any request."""
        return any(words in json.dumps(request["messages"], ensure_ascii=False) for request in self.requests)


@contextmanager
def scripted_api(listening: socket.socket) -> Iterator[ScriptedApi]:
    """Answer on a listening socket, from a thread of its own; the socket is closed at the end."""
    api = ScriptedApi(listening)
    threading.Thread(target=api.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield api
    finally:
        api.shutdown()
        api.server_close()
