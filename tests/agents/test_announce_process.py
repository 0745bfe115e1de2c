"""What the command hook knows of processes, and what it may rely on."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from agents import announce

SCRIPT = Path(announce.__file__)


def test_it_runs_on_an_old_python_without_any_package():
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in imports if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_a_process_is_told_from_a_later_one_by_its_start():
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert announce.process_start(process.pid) is not None
        assert announce.process_start(process.pid) == announce.process_start(process.pid)
    finally:
        process.kill()
    # Dead but not yet waited for: a corpse with a number of its own.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert announce.process_start(process.pid) is None
    process.wait()
    assert announce.process_start(process.pid) is None


def test_a_process_with_brackets_in_its_name_is_read_right(tmp_path):
    program = tmp_path / "a) R (b"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([program, "60"])
    try:
        assert announce.process_start(process.pid).isdigit()
        assert process.pid not in announce._ancestors(process.pid)
        assert announce._ancestors(process.pid)[0] == os.getpid()
    finally:
        process.kill()
        process.wait()
