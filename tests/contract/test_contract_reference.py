"""The reference page of the contract is what the protos say of themselves."""

from scripts.contract_reference import PAGE, fresh_page


def test_the_page_is_what_the_protos_say() -> None:
    """docs/contract.md was written from these protos."""
    assert PAGE.read_text(encoding="utf-8") == fresh_page(), "run: python -m scripts.contract_reference write"
