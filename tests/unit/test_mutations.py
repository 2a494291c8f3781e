"""The list of mutations still fits the code, so that ``make mutations`` tests what it says."""

import ast
import re

import pytest

from tests.mutations import Mutation, load
from tests.support.processes import ROOT

MUTATIONS = load()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise)
def test_a_mutation_changes_one_place_of_its_file(mutation: Mutation):
    source = (ROOT / mutation.file).read_text()
    mutated = mutation.apply(source)
    assert mutated != source
    if mutation.file.endswith(".py"):
        ast.parse(mutated)


def test_each_test_of_a_mutation_is_there():
    for test in {test for mutation in MUTATIONS for test in mutation.tests}:
        path, _, name = test.partition("::")
        source = (ROOT / path).read_text()
        assert not name or re.search(rf"^def {name}\(", source, re.MULTILINE), test


def test_no_promise_is_made_twice():
    promises = [mutation.promise for mutation in MUTATIONS]
    assert len(promises) == len(set(promises)) >= 30


def test_a_text_that_is_not_there_once_is_refused():
    mutation = Mutation(promise="", file="worker/task.py", old="a", new="b", tests=())
    with pytest.raises(ValueError, match="'a' occurs 0 times in worker/task.py"):
        mutation.apply("bcd")
    with pytest.raises(ValueError, match="'a' occurs 2 times"):
        mutation.apply("aba")
