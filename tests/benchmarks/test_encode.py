import pytest

from benchmarks.encode import CASES, compare, make_rows, table


@pytest.mark.parametrize("name", CASES)
def test_both_give_the_same_ids_and_a_table(name: str) -> None:
    result = compare(name, CASES[name](), make_rows(4000, 200), 1)
    assert result["rows"] == 20 and f"| {name} | 1 |" in table({1: [result]})
