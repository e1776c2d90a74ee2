"""The table: one row for each figure, with its peer of the same run and its target."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

# What was measured of one system: seconds, per second, GB/s, bytes; the name says which.
Figures: TypeAlias = "dict[str, float]"

_OTHERS = (
    ("call_p50_s", "no-op call, p50", "ms", 1e3),
    ("call_p99_s", "no-op call, p99", "ms", 1e3),
    ("quiet_call_p50_s", "the same, logs off, p50", "ms", 1e3),
    ("calls_per_s", "calls/s", "/s", 1),
    ("argument_gb_per_s", "100 MB argument", "GB/s", 1),
    ("result_gb_per_s", "100 MB result", "GB/s", 1),
    ("items_per_s", "generator items", "/s", 1),
    ("import_s", "import", "ms", 1e3),
    ("first_s", "nothing running -> first local result", "s", 1),
    ("idle_bytes", "idle server + one worker, PSS", "MB", 1e-6),
)


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one figure.

    Attributes:
        name: What was measured.
        ours: Our figure.
        unit: Its unit.
        peer: The peer's or the limit's figure of the same run, or None.
        against: What the peer or limit is.
        bound: The target, for what `by` names.
        later: The target of the design, to be reached with later work.
        better: Which direction is better.
        by: What the targets bound: the ratio to the peer, the difference from it, or our figure as
            it is. Without a peer it is our figure.
    """

    name: str
    ours: float
    unit: str
    peer: float | None
    against: str
    bound: float
    later: float
    better: Literal["less", "more"]
    by: Literal["ratio", "difference", "figure"] = "ratio"

    @property
    def figure(self) -> float:
        """Return what is compared with the target."""
        if self.peer is None or self.by == "figure":
            return self.ours
        return self.ours / self.peer if self.by == "ratio" else self.ours - self.peer

    @property
    def bounded_unit(self) -> str:
        """Return the unit of what is compared: `"x"` for a ratio."""
        return "x" if self.peer is not None and self.by == "ratio" else self.unit

    def holds(self, bound: float) -> bool:
        """Tell whether a target is reached."""
        return self.figure <= bound if self.better == "less" else self.figure >= bound

    def to_json(self) -> dict[str, object]:
        """Return the row as a JSON object."""
        return {
            **asdict(self),
            "ratio": self.ours / self.peer if self.peer else None,
            "figure": self.figure,
            "holds": self.holds(self.bound),
            "holds_later": self.holds(self.later),
        }


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def print_table(rows: list[Row]) -> None:
    """Print the rows as a Markdown table."""
    lines = [
        "| what | ours | peer or limit | ratio | now | design |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        sign = "<=" if row.better == "less" else ">="
        peer = f"{_number(row.peer)} {row.unit} ({row.against})" if row.peer else row.against
        ratio = _number(row.ours / row.peer) if row.peer else ""
        cells = [row.name, f"{_number(row.ours)} {row.unit}", peer, ratio]
        for bound in (row.bound, row.later):
            mark = "ok" if row.holds(bound) else "MISSED"
            over = "+" if row.peer is not None and row.by == "difference" else ""
            cells.append(f"{sign} {over}{_number(bound)} {row.bounded_unit} {mark}")
        lines.append(f"| {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")


def print_others(found: dict[str, Figures]) -> None:
    """Print what other systems did in the same run as a Markdown table."""
    if not found:
        return
    lines = [
        "",
        f"| others, same run | {' | '.join(found)} |",
        f"|---{'|---' * len(found)}|",
    ]
    for key, name, unit, scale in _OTHERS:
        figures = (each.get(key) for each in found.values())
        cells = ["-" if value is None else _number(value * scale) for value in figures]
        lines.append(f"| {name}, {unit} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")
