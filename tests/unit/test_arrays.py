"""Arrays are written so that Postgres reads what was meant."""

from celeriac.workflows.history.arrays import array_of


def test_numbers_texts_and_nothing_are_written_as_postgres_does():
    assert array_of([1, None, 3]) == "{1,NULL,3}"
    assert array_of([]) == "{}"
    assert array_of(["a", "", 'b"c', "d\\e", "NULL", "x,y"]) == r'{"a","","b\"c","d\\e","NULL","x,y"}'
