"""Write docs/glossary.md from the terms, triggers, detectors and samplers that pages define.

``python -m bench.glossary``; a test holds the file equal to what this makes.
"""

from pathlib import Path

import orchestrator.studies  # noqa: F401 - it gives triggers and detectors their names and texts
from analysis.names import ABOUT, name
from analysis.page.glossary import GLOSSARY
from analysis.wording import titled

DOCUMENT = Path(__file__).parents[1] / "docs" / "glossary.md"


def text() -> str:
    """The whole document."""
    lines = ["# Glossary", "", "What the words and numbers on a page mean.", ""]
    lines += [f"- **{term}**: {words}" for term, words in GLOSSARY.items()]
    for column, kinds in ABOUT.items():
        if column != "judge_trigger":
            lines += ["", f"## {titled(column.replace('_', ' '))}s", ""]
            lines += [f"- **{titled(name(column, key))}**: {kinds[key]}" for key in kinds]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")
