"""The table: one row for each figure, with its peer of the same run and its target."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one figure.

    Attributes:
        name: What was measured.
        ours: Our figure.
        unit: Its unit.
        peer: The peer's or the limit's figure of the same run, or None.
        against: What the peer or limit is.
        bound: The target: a ratio to the peer, or an absolute figure where there is no peer.
        later: The target of the design, to be reached with later work.
        better: Which direction is better.
    """

    name: str
    ours: float
    unit: str
    peer: float | None
    against: str
    bound: float
    later: float
    better: Literal["less", "more"]

    @property
    def figure(self) -> float:
        """Return what is compared with the target."""
        return self.ours if self.peer is None else self.ours / self.peer

    def holds(self, bound: float) -> bool:
        """Tell whether a target is reached."""
        return self.figure <= bound if self.better == "less" else self.figure >= bound

    def to_json(self) -> dict[str, object]:
        """Return the row as a JSON object."""
        return {
            **asdict(self),
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
        ratio = _number(row.figure) if row.peer is not None else ""
        cells = [row.name, f"{_number(row.ours)} {row.unit}", peer, ratio]
        for bound in (row.bound, row.later):
            mark = "ok" if row.holds(bound) else "MISSED"
            cells.append(f"{sign} {_number(bound)} {mark}")
        lines.append(f"| {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")
