"""House rules that can be counted: sizes, signatures, prose, and words that were given up for better ones."""

import re

import pytest

from tests.support.processes import ROOT
from tests.support.source import Module, Prose, modules

MODULES = list(modules())
ROOMS = sorted({module.room for module in MODULES})

LINES_OF_A_MODULE = 400
LINES_OF_A_FUNCTION = 50
POSITIONAL_PARAMETERS = 6
COLUMNS_OF_PROSE = 88
VAGUE = {"what", "whatever", "whoever"}
VAGUE_IN_1000_WORDS = 3.0

# None is to be added, and these are to go.
LONGER_MODULES = {
    "worker/execution.py": 413,  # how a worker ends, and what Celery carries on with, have no module of their own yet
}
LONGER_FUNCTIONS = {
    "workflows/cli/commands/dev.py dev": 51,  # starts four kinds of process, one after another
}

# Words that the code gave up, each with the word in its place. They are looked for in prose and, with their parts set
# apart, in identifiers: `hand_back` and `HandBack` read "hand back".
RETIRED_WORDS = {
    r"aftermath": "follow-up",
    r"attempts before": "uncounted attempts",
    r"blocked": "upstream_failed, or waiting",
    r"came to nothing": "was tolerated",
    r"carriers?|carried": "inline continuation",
    r"certain inputs": "guaranteed inputs",
    r"crash ?points?": "failpoint",
    r"fenced": "superseded",
    r"hand(s|ed|ing)? back": "release",
    r"keepers?": "lease renewer",
    r"landed": "recorded",
    r"losses|is loss": "unhandled failures",
    r"not fillable": "unbound parameter",
    r"patience|patient|patiently": "retry through an outage",
    r"settle[sd]?|settling|settlement": "transition, or watermark",
    r"steer(s|ed|ing)?": "control",
    r"take duty": "acquire the leader lease",
    r"tell verdicts": "record decisions",
    r"undo(es|ing)?|undone": "compensate",
}
# Names that the code gave up, but that prose may use as words.
RETIRED_NAMES = {
    *("Delivery", "Edge", "Look", "Notes", "Overdue", "Part", "Piece", "Reading", "Serves"),
    *("StepBlocked", "StepRetried", "StepReturned"),
    *("BLIND_WAIT", "after_outage", "fresh", "goes_on", "going_on", "held", "of_end", "of_failure"),
    *("observed", "spread", "stretch", "told_of", "watched"),
}
RETIRED_MODULES = {
    *("administration", "again", "attached", "changed", "changes", "choosing", "delivery", "duties", "entry"),
    *("examination", "functions", "hints", "literals", "once", "overdue", "problems", "reading", "retrying"),
    *("shapes", "target", "wakeup", "wording", "words"),
}


def retired_in(text: str) -> list[str]:
    plain = " ".join(text.lower().split())
    found = {standard: re.search(rf"\b({retired})\b", plain) for retired, standard in RETIRED_WORDS.items()}
    return [f"{match[0]!r} (now: {standard})" for standard, match in found.items() if match]


def parts_of(name: str) -> str:
    """An identifier as a text."""
    return re.sub(r"_+|(?<=[a-z])(?=[A-Z])", " ", name)


def lines_of(module: Module, prose: Prose) -> dict[int, str]:
    """The lines of a docstring, or of a comment that stands alone, by number."""
    last = prose.line + prose.text.count("\n")
    return {} if prose.is_trailing else {number: module.lines[number - 1] for number in range(prose.line, last + 1)}


def test_the_rooms_are_those_of_the_library():
    assert {"workflows/engine", "workflows/history", "worker", "beat", "celeriac"} <= set(ROOMS)


# --- sizes


def assert_no_longer_than(known: dict[str, int], longer: dict[str, int]) -> None:
    """Exceptions may shrink, and leave the list when they fit; none may grow or join it."""
    assert longer.keys() == known.keys()
    assert all(longer[name] <= length for name, length in known.items())


def test_no_module_is_longer_than_400_lines():
    longer = {module.name: len(module.lines) for module in MODULES if len(module.lines) > LINES_OF_A_MODULE}
    assert_no_longer_than(LONGER_MODULES, longer)


def test_no_function_is_longer_than_50_lines():
    longer = {}
    for module in MODULES:
        for function in module.functions:
            length = function.end_lineno - function.lineno + 1
            if length > LINES_OF_A_FUNCTION:
                longer[f"{module.name} {function.name}"] = length
    assert_no_longer_than(LONGER_FUNCTIONS, longer)


def test_no_function_takes_more_than_6_parameters_by_position():
    """Beyond that nobody knows at the call which is which."""
    longer = []
    for module in MODULES:
        for function in module.functions:
            names = [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]
            if len([name for name in names if name not in ("self", "cls")]) > POSITIONAL_PARAMETERS:
                longer.append(f"{module.name}:{function.lineno} {function.name}")
    assert longer == []


def test_no_line_is_kept_from_the_formatter():
    """Where the formatter's layout is ugly, the expression is too long."""
    folders = ("workflows", "worker", "beat", "celeriac", "tests", "benchmarks", "examples")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    marks = re.compile(r"#\s*fmt:\s*(skip|off)")
    assert [str(path.relative_to(ROOT)) for path in files if marks.search(path.read_text())] == []


# --- prose


@pytest.mark.parametrize("room", ROOMS)
def test_prose_names_the_thing(room):
    """Not "what is ready" but "the ready steps"."""
    words = [word for module in MODULES if module.room == room for word in module.words]
    vague = [word for word in words if word in VAGUE]
    assert 1_000 * len(vague) <= VAGUE_IN_1000_WORDS * len(words), f"{len(vague)} in {len(words)} words"


@pytest.mark.parametrize("room", ROOMS)
def test_no_sentence_begins_with_of(room):
    found = [
        f"{module.name}:{prose.line}"
        for module in MODULES
        if module.room == room
        for prose in module.prose
        if re.search(r"(^|[.!?]\s+)(# )?Of ", prose.text)
    ]
    assert found == []


@pytest.mark.parametrize("room", ROOMS)
def test_prose_wraps_at_88_columns(room):
    """Code may go on to 120, with the comment behind it; a line of text that long is hard to read."""
    found = [
        f"{module.name}:{number}"
        for module in MODULES
        if module.room == room
        for prose in module.prose
        for number, line in lines_of(module, prose).items()
        if len(line) > COLUMNS_OF_PROSE
    ]
    assert found == []


# --- words


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_words_that_were_given_up_do_not_come_back(module):
    prose = [f"line {prose.line}: {word}" for prose in module.prose for word in retired_in(prose.text)]
    names = [f"{name}: {word}" for name in sorted(module.names) for word in retired_in(parts_of(name))]
    assert prose + names + sorted(module.names & RETIRED_NAMES) == []
    assert module.path.stem not in RETIRED_MODULES


@pytest.mark.parametrize("file", sorted((ROOT / "workflows").rglob("*.sql")), ids=lambda path: path.stem)
def test_words_that_were_given_up_do_not_come_back_in_sql(file):
    names = set(re.findall(r"\w+", file.read_text()))
    assert retired_in(" ".join(map(parts_of, re.findall(r"\w+", file.read_text())))) == []
    assert names & RETIRED_NAMES == set()


def test_a_retired_word_is_found_in_prose_and_in_names():
    assert retired_in("Hands the step\n    back.") == []
    assert retired_in("The step is handed\n    back.") == ["'handed back' (now: release)"]
    for name in ("hand_back", "HandBack", "_hand_back"):
        assert retired_in(parts_of(name)) == ["'hand back' (now: release)"]
    assert retired_in("A patiently settled run, undone.") == [
        "'patiently' (now: retry through an outage)",
        "'settled' (now: transition, or watermark)",
        "'undone' (now: compensate)",
    ]
