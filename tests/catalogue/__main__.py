"""Writes CATALOGUE.md: `make catalogue`."""

from __future__ import annotations

from tests.catalogue.marks import marked
from tests.catalogue.page import PAGE, page
from tests.catalogue.papers import papers


def main() -> None:
    """Write the page and say what stands in it."""
    rows = papers()
    PAGE.write_text(page(rows, marked()), encoding="utf-8")
    print(f"{PAGE.name}: {len(rows)} papers")


if __name__ == "__main__":
    main()
