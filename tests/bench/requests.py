"""The requests that the benchmark sends: captured hooks of Claude Code, each pair with a call id of its own."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

PAYLOADS = Path(__file__).resolve().parent.parent / "payloads" / "claude-code"
TOOLS = ("bash", "edit", "read", "write")
HEAD = (
    "POST /hooks/claude-code HTTP/1.1\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Content-Type: application/json\r\n"
    "Authorization: Bearer {token}\r\n"
    "User-Agent: axios/1.15.2\r\n"
    "Content-Length: {length}\r\n"
    "Accept-Encoding: gzip, compress, deflate, br\r\n"
    "Host: 127.0.0.1:{port}\r\n"
    "Connection: keep-alive\r\n\r\n"
)


@dataclass(frozen=True)
class Conversation:
    """An agent's session and the prompt that it works on."""

    session_id: str
    prompt_id: str

    @classmethod
    def new(cls):
        return cls(str(uuid.uuid4()), str(uuid.uuid4()))

    def payload(self, name, **more):
        """Return a captured payload as this conversation would have sent it."""
        payload = json.loads((PAYLOADS / f"{name}.json").read_text())
        place = f"/home/dev/.claude/projects/-home-dev-project/{self.session_id}.jsonl"
        payload |= {"session_id": self.session_id, "transcript_path": place}
        payload |= {"prompt_id": self.prompt_id} if "prompt_id" in payload else {}
        return payload | more


@dataclass(frozen=True)
class Door:
    """Where hooks are taken in, and the host's token."""

    port: int
    token: str

    def request(self, payload):
        body = json.dumps(payload, separators=(",", ":")).encode()
        return self.head(len(body)) + body

    def head(self, length):
        return HEAD.format(token=self.token, length=length, port=self.port).encode()


class Pair:
    """A tool call of a conversation as its two hooks, cut where the call's id stands: the id is all that changes."""

    def __init__(self, door, conversation, tool):
        mark = "toolu_" + "@" * 24
        requests = [
            door.request(conversation.payload(f"{moment}.{tool}", tool_use_id=mark))
            for moment in ("pre-tool-use", "post-tool-use")
        ]
        self._parts = [request.split(mark.encode()) for request in requests]

    def requests(self, number):
        """Return both requests of the call with this number."""
        use_id = b"toolu_%024x" % number
        return [use_id.join(parts) for parts in self._parts]
