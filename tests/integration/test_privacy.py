"""Nothing is sent to anybody: neither client nor server nor worker looks for another machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Loaded by every Python that finds it: notes what runs, and who is looked for or connected to.
HOOK = """
import os, socket, sys
words = " ".join(sys.orig_argv)
kind = "worker" if "runhouse.worker" in words or "RH_WORKER_ID" in os.environ else "other"
kind = "server" if "runhouse.server" in words else kind

def note(text):
    with open(os.environ["RH_TEST_NOTES"], "a") as file:
        file.write(f"{kind} {text}\\n")

def listen(event, args):
    if event == "socket.connect" and args[0].family != socket.AF_UNIX:
        note(f"connects to {args[1]}")
    elif event == "socket.sendto" and args[0].family != socket.AF_UNIX:
        note(f"sends to {args[1]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        note(f"looks for {args[0]}")

note("begins")
sys.addaudithook(listen)
"""
PROGRAM = """
import runhouse as rh
from tests.integration import sample
from tests.rigs.http import http_of
assert rh.function(sample.add).to(rh.here)(1, 2) == 3
counter = rh.module(sample.Counter).to(rh.here)(1, name="counter")
assert counter.add(1) == 2
run = rh.function(sample.add).to(rh.here).run(1, 2)
assert run.result() == 3
rh.here.put("a", 1)
http = http_of(rh.here)
for path in ("/", "/page/app.js", "/metrics", "/nodes", "/runs?search=a", "/keys?sizes=true"):
    assert http("GET", path).status == 200, path
import sys
assert not [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]
assert rh.here.status().objects == 2
try:
    rh.function(sample.fail).to(rh.here)(3)
except sample.SampleError:
    pass
rh.here.stop()
"""


@pytest.mark.timeout(60)
def test_no_other_machine_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    notes = tmp_path / "notes"
    changes = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "RH_TEST_NOTES": str(notes),
        "RH_HOME": str(tmp_path / "home"),
    }

    def note(program: str) -> list[str]:
        notes.unlink(missing_ok=True)
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=ROOT, env=os.environ | changes, check=True, timeout=50)
        return notes.read_text().splitlines()

    lines = note(PROGRAM)
    assert {"other begins", "server begins", "worker begins"} <= set(lines), lines
    assert [line for line in lines if not line.endswith(" begins")] == []
    caught = note("import socket; socket.getaddrinfo('localhost', 9)")
    assert caught == ["other begins", "other looks for localhost"], "the hook notices such a thing"
