"""The mutants of `./dev mutate` fit the product as it is, and the table of safeties is theirs."""

import pytest
from mutation.mutants import ROOT, Mutant, missing_tests, read_all, table

MUTANTS = read_all()


def test_each_safety_has_a_name_of_its_own() -> None:
    assert len({each.name for each in MUTANTS}) == len({each.safety for each in MUTANTS}) == len(MUTANTS) > 0


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_what_is_there_and_names_tests_that_there_are(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()
    assert mutant.mutated(source) != source
    assert list(missing_tests(mutant)) == []


def test_a_mutant_of_what_is_not_there_any_more_is_refused() -> None:
    with pytest.raises(ValueError, match="stands 0 times"):
        MUTANTS[0].mutated("")


def test_the_table_of_safeties_is_that_of_the_mutants() -> None:
    assert table(MUTANTS) in (ROOT / "docs/reference/safeties.md").read_text(), "./dev mutate --table"
