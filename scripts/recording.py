"""Record a session with a host, and write it as a picture that moves: docs/_static/recording.svg.

    PYTHONPATH=. .venv/bin/python scripts/recording.py

What is typed is in this file; everything else is what the programs say. The host is a machine of
`tests/rigs` with an sshd and a Python, and nothing else; that needs root. Only waiting longer than
is needed for reading is cut.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

from tests.rigs.machine import Machine, MachineSpec

ROOT = Path(__file__).parents[1]
COLUMNS, ROWS = 92, 23
KEY_S, READ_S = 0.035, 2.2
PROGRAM = """\
import platform
import time

import runhouse as rh


def train(epochs: int) -> float:
    loss = 1.0
    for epoch in range(epochs):
        time.sleep(0.5)
        loss /= 2
        print(f"epoch {epoch}: loss {loss}, on {platform.node()}")
    return loss


if __name__ == "__main__":
    box = rh.cluster("gpu-box", host="ada@gpu-box").save()
    remote = rh.function(train).to(box)
    print("result:", remote(3), "- back on", platform.node())
"""
TYPED = (
    "cat train.py",
    "python train.py",
    "rh call gpu-box train --epochs 4 --background --run-name nightly",
    "rh logs nightly -c gpu-box -f",
    "rh result nightly -c gpu-box",
    "rh status gpu-box",
)
Line = tuple[tuple[str, str], ...]  # pieces of text, each with its colour


@dataclass
class Recorder:
    """Run a shell on a terminal, and note what it shows, and when.

    Attributes:
        frames: The seconds for which a screen was there, and its lines.
    """

    master: int
    frames: list[tuple[float, tuple[Line, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the screen."""
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self._at = time.monotonic()

    def _note(self, longest_s: float = READ_S) -> None:
        """End the present frame."""
        now = time.monotonic()
        self.frames.append((min(now - self._at, longest_s), tuple(map(self._line, range(ROWS)))))
        self._at = now

    def _line(self, row: int) -> Line:
        cells = [self.screen.buffer[row][column] for column in range(COLUMNS)]
        pieces = groupby(cells, key=lambda cell: "bold" if cell.bold else cell.fg)
        line = [("".join(cell.data for cell in part), colour) for colour, part in pieces]
        return tuple(line) if any(text.strip() for text, _ in line) else ()

    def until_prompt(self, timeout_s: float = 60.0) -> None:
        """Show what comes until the shell asks again."""
        seen, deadline = b"", time.monotonic() + timeout_s
        while not seen.removesuffix(b"\x1b[?2004h").endswith(b"$ \x1b[0m"):
            if not select.select([self.master], [], [], deadline - time.monotonic())[0]:
                sys.exit(f"The shell does not come back. It has said: {seen.decode()}")
            self._note()
            data = os.read(self.master, 65536)
            seen = (seen + data)[-1000:]
            self._stream.feed(data)

    def type(self, text: str) -> None:
        """Type a line as somebody would."""
        for letter in [*text, "\n"]:
            time.sleep(KEY_S if letter != "\n" else 0.3)
            os.write(self.master, letter.encode())
            if letter != "\n":
                select.select([self.master], [], [], 1)
                self._note()
                self._stream.feed(os.read(self.master, 65536))

    def read(self, seconds: float) -> None:
        """Leave time for reading."""
        self._note()
        self.frames.append((seconds, tuple(map(self._line, range(ROWS)))))
        self._at = time.monotonic()


def record(folder: Path, machine: Machine, key: Path) -> Recorder:
    """Run the session on a terminal."""
    project = folder / "demo"
    project.mkdir()
    (project / "train.py").write_text(PROGRAM)
    (project / "pyproject.toml").touch()
    config = folder / "ssh_config"
    config.write_text(
        f"Host gpu-box\n  HostName {machine.host}\n  Port {machine.port}\n  IdentityFile {key}\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n"
    )
    environment = {
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
        "ASK": r"\[\e[32m\]laptop\[\e[0m\]:\W$ \[\e[0m\]",
        "RH_SSH_CONFIG": str(config),
        "TERM": "xterm-256color",
    }
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    start = 'hostname laptop && PS1="$ASK" exec bash --norc --noprofile'
    command = ["setsid", "--ctty", "--wait", "unshare", "--uts", "bash", "-c", start]
    shell = subprocess.Popen(
        command, cwd=project, env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    recorder = Recorder(master)
    recorder.until_prompt()
    recorder.frames.clear()
    for line in TYPED:
        recorder.type(line)
        recorder.until_prompt()
        recorder.read(READ_S)
    recorder.read(READ_S)
    os.write(master, b"exit\n")
    shell.wait(10)
    return recorder


def merged(frames: list[tuple[float, tuple[Line, ...]]]) -> list[tuple[float, tuple[Line, ...]]]:
    """Put frames together that show the same, or that nobody would see."""
    result: list[tuple[float, tuple[Line, ...]]] = []
    for seconds, lines in frames:
        if result and (result[-1][1] == lines or result[-1][0] < KEY_S * 2):
            seconds += result.pop()[0]
        result.append((seconds, lines))
    return result


WIDTH, HEIGHT, LETTER, LINE = 801, 470, 8.4, 18.4
COLOURS = {"default": "#d8dee9", "bold": "#ffffff", "green": "#8fce6f", "red": "#f07178"}
COLOURS |= {"cyan": "#7fdbca", "blue": "#82aaff", "brown": "#ecc48d", "magenta": "#c792ea"}


def drawn(frames: list[tuple[float, tuple[Line, ...]]]) -> str:
    """Return the frames side by side, as a film that is drawn through a window."""
    length = sum(seconds for seconds, _ in frames)
    known: dict[Line, str] = {}
    shown, moves, at = [], [], 0.0
    for number, (seconds, lines) in enumerate(frames):
        moves.append(f"{100 * at / length:.3f}%{{transform:translateX(-{number * WIDTH}px)}}")
        at += seconds
        uses = []
        for row, line in enumerate(lines):
            if line:
                name = known.setdefault(line, f"l{len(known)}")
                uses.append(f'<use href="#{name}" y="{(row + 0.8) * LINE:.1f}"/>')
        shown.append(f'<svg x="{number * WIDTH}" width="{WIDTH}">{"".join(uses)}</svg>')
    lines_drawn = "".join(f'<g id="{name}">{_line(line)}</g>' for line, name in known.items())
    last = f"transform:translateX(-{(len(frames) - 1) * WIDTH}px)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label="A terminal session with runhouse">'
        "<style>text{font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"white-space:pre}}.film{{{last};animation:film {length:.1f}s step-end infinite}}"
        f"@keyframes film{{{''.join(moves)}}}"
        "@media(prefers-reduced-motion:reduce){.film{animation:none}}</style>"
        f'<defs>{lines_drawn}</defs><rect width="100%" height="100%" rx="8" fill="#1b2330"/>'
        '<g fill="#48566b"><circle cx="18" cy="16" r="5"/><circle cx="36" cy="16" r="5"/>'
        '<circle cx="54" cy="16" r="5"/></g>'
        f'<svg x="14" y="36" width="{WIDTH - 28}" height="{HEIGHT - 40}" overflow="hidden">'
        f'<g class="film" transform-origin="0 0">{"".join(shown)}</g></svg></svg>\n'
    )


def _line(line: Line) -> str:
    """Return the pieces of a line, each in its place."""
    parts, column = [], 0
    for text, colour in line:
        if text.strip():
            fill = COLOURS.get(colour, COLOURS["default"])
            width = f'textLength="{len(text.rstrip()) * LETTER:.1f}"'
            where = f'x="{column * LETTER:.1f}"'
            parts.append(f'<text {where} {width} fill="{fill}">{escape(text.rstrip())}</text>')
        column += len(text)
    return "".join(parts)


def main() -> None:
    """Record, and write the picture."""
    folder = Path(tempfile.mkdtemp(prefix="rh-"))
    key = folder / "key"
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        public = key.with_name("key.pub")
        spec = MachineSpec(name="gpu-box", authorized_key=public, pythons=(version,))
        with Machine(spec) as machine:
            frames = merged(record(folder, machine, key).frames)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    length = sum(seconds for seconds, _ in frames)
    target = ROOT / "docs" / "_static" / "recording.svg"
    target.write_text(drawn(frames), encoding="utf-8")
    size = target.stat().st_size / 1000
    print(f"{target.relative_to(ROOT)}: {length:.0f} s, {len(frames)} frames, {size:.0f} kB")


if __name__ == "__main__":
    main()
