"""Settings files as people and programs really leave them: odd, but accepted by the client."""

import json

_FOREIGN = {"type": "command", "command": "echo foreign", "timeout": 3}
_GROUP = {"matcher": "Bash", "hooks": [_FOREIGN]}
_RICH = {
    "$schema": "https://json.schemastore.org/claude-code-settings.json",
    "permissions": {"allow": ["Bash(ls:*)", "Read"], "deny": []},
    "hooks": {
        "PreToolUse": [_GROUP, {"hooks": [{"type": "http", "url": "https://example.org/x", "headers": {"A": "b"}}]}],
        "SessionStart": [{"matcher": "startup", "hooks": [_FOREIGN]}],
        "Stop": [],
    },
    "env": {"A": "1"},
    "model": "opus",
}

ODD: dict[str, str] = {
    "an empty object": "{}",
    "an empty object and a line end": "{}\n",
    "an empty object with space inside": "{   }",
    "an empty object over lines": "{\n\n}\n",
    "space before and behind": '\n\n  {\n  "a": 1\n}\n\n\n',
    "one line": '{"model":"opus","env":{"A":"1"}}',
    "one line with spaces": '{ "model" : "opus" , "env" : { "A" : "1" } }',
    "two spaces": json.dumps(_RICH, indent=2) + "\n",
    "four spaces without a last line end": json.dumps(_RICH, indent=4),
    "tabs": json.dumps(_RICH, indent="\t") + "\n",
    "no indentation over lines": json.dumps(_RICH, indent=0) + "\n",
    "seven spaces": json.dumps(_RICH, indent=7),
    "windows line ends": json.dumps(_RICH, indent=2).replace("\n", "\r\n") + "\r\n",
    "windows line ends and tabs": json.dumps(_RICH, indent="\t").replace("\n", "\r\n"),
    "mixed line ends": '{\r\n  "a": 1,\n  "hooks": {\r\n    "Stop": []\n  }\r\n}\n',
    "a rich file on one line": json.dumps(_RICH),
    "a rich file without any space": json.dumps(_RICH, separators=(",", ":")),
    "empty hooks": '{\n  "hooks": {}\n}\n',
    "empty hooks with space inside": '{\n  "hooks": {  \n  }\n}\n',
    "empty arrays of events": '{\n  "hooks": { "Stop": [ ], "PreToolUse": [\n] }\n}\n',
    "a group without entries": '{"hooks": {"Stop": [{"hooks": []}]}}',
    "hooks first": '{"hooks": {"Stop": [{"hooks": []}]}, "z": 1}',
    "hooks in the middle": '{\n "a": 1,\n "hooks": {\n  "Stop": []\n },\n "z": 1\n}',
    "arrays on one line, file over lines": '{\n  "hooks": {"Stop": [{"hooks": [{"type":"prompt","prompt":""}]}]}\n}\n',
    "commas that lead": '{\n    "a": 1\n  , "hooks": {\n      "Stop": []\n    }\n}\n',
    "brackets and quotes in texts": (
        '{\n  "a": "}] \\" , {\\\\",\n'
        '  "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "echo \']}\'"}]}]}\n}'
    ),
    "letters beyond ASCII": '{\n  "näme": "日本 \U0001f600",\n  "escaped": "\\u00e9\\ud83d\\ude00"\n}\n',
    "half a surrogate": '{"a": "\\ud800"}',
    "odd numbers": '{"a": 1.0E+5, "b": -0, "c": 1e400, "d": 123456789012345678901234567890}',
    "events nobody knows": '{"hooks": {"Tomorrow": {"any": ["shape"]}, "": null, "Stop": []}}',
    "keys nobody knows in an entry": (
        '{"hooks": {"Stop": [{"x": 1, "hooks": [{"type": "command", "command": "x", "y": [2]}]}]}}'
    ),
    "every type of entry": json.dumps(
        {
            "hooks": {
                "Stop": [
                    {
                        "hooks": [
                            {"type": "prompt", "prompt": "?", "model": "m", "timeout": 0.5},
                            {"type": "agent", "prompt": "?", "if": "Bash(*)", "once": True},
                            {"type": "mcp_tool", "server": "s", "tool": "t", "input": {"a": 1}},
                            {"type": "command", "command": "", "args": ["a"], "shell": "bash", "async": False},
                            {"type": "http", "url": "ftp://x/", "allowedEnvVars": ["A"], "onFailure": "block"},
                        ]
                    }
                ]
            }
        },
        indent=3,
    ),
    "hooks deep down that are not the hooks": '{"plugins": {"hooks": {"Stop": 7}}, "x": [[[{"hooks": []}]]]}',
}

REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "white space": (b" \n", "empty"),
    "half a file": (b'{"hooks": {', "not valid JSON"),
    "a comment": (b'// mine\n{"a": 1}', "not valid JSON"),
    "a comma too many": (b'{"a": 1,}', "not valid JSON"),
    "two documents": (b"{} {}", "not valid JSON"),
    "not a number": (b'{"a": NaN}', "NaN"),
    "too deep": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deep"),
    "an array": (b"[]", "no JSON object"),
    "a text": (b'"x"', "no JSON object"),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
    "latin-1": ('{"a": "é"}'.encode("latin-1"), "not UTF-8"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "a key twice": (b'{"hooks": {}, "a": 1, "hooks": {"Stop": []}}', "twice"),
    "a key twice, deep down": (b'{"env": {"A": "1", "A": "2"}}', "twice"),
    "hooks that are an array": (b'{"hooks": []}', "hooks is no object"),
    "hooks that are null": (b'{"hooks": null}', "hooks is no object"),
    "an event that is an object": (b'{"hooks": {"Stop": {"hooks": []}}}', "hooks.Stop is no array"),
    "a group that is a text": (b'{"hooks": {"Stop": ["x"]}}', "hooks.Stop[0] is no object"),
    "a group without hooks": (b'{"hooks": {"Stop": [{"matcher": "x"}]}}', "hooks.Stop[0].hooks is no array"),
    "a matcher that is a number": (b'{"hooks": {"Stop": [{"matcher": 1, "hooks": []}]}}', "matcher is no text"),
    "an entry that is a text": (b'{"hooks": {"Stop": [{"hooks": ["x"]}]}}', "hooks.Stop[0].hooks[0] is no object"),
    "an entry without a type": (b'{"hooks": {"Stop": [{"hooks": [{"command": "x"}]}]}}', "the type null"),
    "an unknown type": (b'{"hooks": {"Stop": [{"hooks": [{"type": "zzz"}]}]}}', 'the type "zzz"'),
    "a command without a command": (b'{"hooks": {"Stop": [{"hooks": [{"type": "command"}]}]}}', "lacks command"),
    "an address that is none": (b'{"hooks": {"Stop": [{"hooks": [{"type": "http", "url": "x"}]}]}}', "[0].url"),
    "an address without a host": (b'{"hooks": {"Stop": [{"hooks": [{"type": "http", "url": "http://"}]}]}}', "[0].url"),
    "a timeout of none": (
        b'{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x", "timeout": 0}]}]}}',
        "[0].timeout",
    ),
    "a timeout that is a text": (
        b'{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x", "timeout": "5"}]}]}}',
        "[0].timeout",
    ),
    "headers that are a list": (
        b'{"hooks": {"Stop": [{"hooks": [{"type": "http", "url": "http://x/", "headers": ["a"]}]}]}}',
        "[0].headers",
    ),
}
