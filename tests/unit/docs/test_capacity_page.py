"""docs/capacity.md says what the budgets say, and what plans made of them come to."""

from planning.budgets import read_budgets
from scripts.capacity_page import PAGE, fresh_page


def test_the_page_has_the_figures_in_force() -> None:
    """Budgets, examples, bottlenecks and prices, each between its markers."""
    text = PAGE.read_text(encoding="utf-8")
    assert fresh_page(text) == text, "run: python -m scripts.capacity_page write"
    budgets = read_budgets()
    for name in budgets.figures:
        assert f"`{name}`" in text
