import io

import click
import pytest

from celeriac.workflows.cli.inputs import read_input, read_tags

NO_STDIN = io.StringIO()


def test_input_may_be_json_a_file_standard_input_or_nothing(tmp_path):
    file = tmp_path / "order.json"
    file.write_text('\ufeff{"id": 2}', encoding="utf-8")
    assert read_input('{"id": 1}', NO_STDIN) == {"id": 1}
    assert read_input(f"@{file}", NO_STDIN) == {"id": 2}
    assert read_input("-", io.StringIO("[3]")) == [3]
    assert read_input(None, NO_STDIN) is None


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("{id: 1}", "--input is not JSON: Expecting property name enclosed in double quotes at line 1, column 2."),
        ("", "--input is not JSON: Expecting value at line 1, column 1. It is empty."),
        ("[NaN]", "--input is not JSON: NaN is not a JSON number."),
        ("[" * 200_000, "--input is not JSON: "),
        ("@missing.json", "Cannot read the file missing.json for --input: No such file or directory."),
        ("@.", "Cannot read the file . for --input: Is a directory."),
    ],
)
def test_input_that_is_not_json_is_refused_with_its_place(argument, message):
    with pytest.raises(click.ClickException) as refused:
        read_input(argument, NO_STDIN)
    assert refused.value.message.startswith(message)


def test_input_that_is_not_text_is_refused(tmp_path):
    file = tmp_path / "order.json"
    file.write_bytes(b'"\xff"')
    with pytest.raises(click.ClickException, match=r"not UTF-8 text \(byte 1\)"):
        read_input(f"@{file}", NO_STDIN)


def test_tags_are_pairs_and_a_value_may_hold_an_equals_sign():
    assert read_tags(["tenant=acme", "query=a=b", "empty="]) == {"tenant": "acme", "query": "a=b", "empty": ""}


@pytest.mark.parametrize("tag", ["tenant", "=acme", ""])
def test_a_tag_without_key_or_value_is_refused(tag):
    with pytest.raises(click.BadParameter, match="is not of the form key=value"):
        read_tags([tag])
