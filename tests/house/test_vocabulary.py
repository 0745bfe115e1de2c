"""Who may say what: one word per thing, and each technique in one place."""

import ast
import re

from tests.house.sources import APPS, ROOT, functions, modules, name_of, strings

BANNED = re.compile(r"(^|_)(service|handler|helper|util|utils|processor|data|info)(_|$)|^do_", re.IGNORECASE)
# Names that a framework asks for.
GIVEN = {
    "make_data_directory",  # PostgreSQL's own term
    "handle_exception",
    "process_request",
    "process_response",
    "process_view",
    "process_exception",
    "validated_data",
}
VENDOR_WORDS = re.compile(
    r"hook_event_name|PreToolUse|PostToolUse|UserPromptSubmit|SessionStart|SessionEnd|StopFailure|SubagentStop"
    r"|AskUserQuestion|permissionDecision|hookSpecificOutput"
)
# The vendor's settings and the payloads of the simulated fleet are written in the vendor's language.
SPEAKS_VENDOR = ("agents/adapters/", "agents/install", "agents/settings_", "agents/announce", "agents/demo/")
SPEAKS_VENDOR_COMMANDS = ("install_hooks", "uninstall_hooks", "demo")


def test_names_are_from_the_glossary():
    assert [(name_of(path), name) for path in modules() for name in _names(path) if _is_banned(name)] == []


def _names(path):
    classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    return [node.name for node in functions(path)] + [path.stem] + classes


def _is_banned(name):
    return BANNED.search(name) and name not in GIVEN


def test_vendors_end_at_the_adapter():
    others = [
        path
        for path in modules()
        if not name_of(path).startswith(SPEAKS_VENDOR) and path.stem not in SPEAKS_VENDOR_COMMANDS
    ]
    said = [(name_of(path), line) for path in others for line, text in strings(path) if VENDOR_WORDS.search(text)]
    assert said == []


def test_only_the_environment_module_reads_the_environment():
    # The entry point names the settings module, as Django makes it; announce.py runs on its own.
    allowed = {"headspace/env.py", "headspace/wsgi.py", "agents/announce.py"}
    assert _saying(r"os\.environ|os\.getenv", modules()) - allowed == set()


def _saying(pattern, paths):
    return {name_of(path) for path in paths if re.search(pattern, path.read_text())}


def test_only_the_lock_library_speaks_of_locks_to_the_server():
    assert (
        _saying(r"pg_\w*advisory|pg_locks|select_for_update|55P03|FOR UPDATE", modules("headspace", "agents")) == set()
    )


def test_the_lock_library_never_says_agent():
    said = [(name_of(path), text) for path in modules("locks") for _, text in strings(path) if "agent" in text.lower()]
    # The contract names a namespace and a field of the lock list so.
    assert [(name, text) for name, text in said if text not in ("agent", "AGENT")] == []


def test_no_name_of_a_machine_or_a_registry():
    forbidden = "|".join(["/" + r"work\b", "pypi" + r"\.org", "registry" + r"\.npm", "deb" + r"\.debian"])
    everything = [*modules(*APPS, "tests"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "Makefile"]
    everything += [ROOT / "locks/README.md", ROOT / ".env.example"]
    assert _saying(forbidden, [path for path in everything if path.exists()]) == set()


def test_migrations_are_named():
    names = [path.stem for app in APPS for path in (ROOT / app).glob("migrations/0*.py")]
    assert names
    assert [name for name in names if "_auto_" in name or name.endswith("_initial")] == []
