"""Writes the generated pages under docs/reference."""

from __future__ import annotations

from pathlib import Path

from tfreuse.remarks.catalogue import reference_page

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Write the page of remarks."""
    (ROOT / "docs/reference/remarks.md").write_text(reference_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
