"""The list of recipes in the site, made from the recipes themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parent / "src" / "advcam" / "recipes"
PARTS = re.compile(r"^(Cost|Expected|Source):\s*")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Called by mkdocs for every page."""
    return markdown.replace("<!-- recipes -->", table()) if "<!-- recipes -->" in markdown else markdown


def table() -> str:
    """A row for each recipe: its name, what it is, its cost."""
    rows = ["| recipe | what it is | cost |", "|---|---|---|"]
    for path in sorted(RECIPES.glob("*.yaml")):
        said = {"What": "", "Cost": ""}
        part = "What"
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            text = line.lstrip("# ")
            if match := PARTS.match(text):
                part, text = match[1], text[match.end() :]
            said[part] = f"{said.get(part, '')} {text}".strip()
        cells = [said[name].replace("|", "\\|").replace("<", "&lt;") for name in ("What", "Cost")]
        rows.append(f"| `{path.stem}` | {' | '.join(cells)} |")
    return "\n".join(rows)
