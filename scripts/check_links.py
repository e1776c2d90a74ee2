"""Look whether every link between pages leads somewhere: `check_links.py DIRECTORY` of HTML.

Links to other sites are left out, as nothing is fetched.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Collect what a page links to, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the links and the anchor of one tag."""
        for name, value in attrs:
            if value and (name == "id" or (tag, name) == ("a", "name")):
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.links.add(value)


def broken(top: Path) -> list[str]:
    """Return a line for each link between the pages of a directory that leads nowhere."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in top.rglob("*.html")}
    lines = []
    for path, page in sorted(pages.items()):
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            where = f"{path.relative_to(top)}: {link}"
            if not target.exists():
                lines.append(f"{where}: there is no such file")
            elif target not in pages or not parts.fragment:
                continue
            elif unquote(parts.fragment) not in pages[target].anchors:
                lines.append(f"{where}: there is no such place in it")
    return lines


def main() -> int:
    """Print the links that lead nowhere; return 1 when there is one."""
    lines = broken(Path(sys.argv[1]).resolve())
    print("\n".join(lines), file=sys.stderr, end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
