"""Words and numbers that people type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import choices


@pytest.mark.parametrize(
    ("word", "said"), [("latop", r"did you mean laptop\?"), ("x", r"there are: tiny, laptop\.")]
)
def test_a_near_miss_gets_a_did_you_mean_and_others_all_there_are(word, said):
    with pytest.raises(ValueError, match=rf"^unknown scale '{word}'; {said}$"):
        choices.known(word, ["tiny", "laptop"], "scale")


def test_each_word_and_number_comes_once():
    assert choices.words(" a, b ,a") == ("a", "b")
    assert choices.numbers("1,1.0,2", "--guidance-weight", "number") == (1.0, 2.0)
    assert choices.numbers("0-2,1", "--seed", "count") == (0, 1, 2)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("0.1,nan", "number", "--flag takes finite numbers, got 'nan'"),
        ("1/2", "number", r"^--flag takes numbers, e\.g\. .* got '1/2'"),
        ("1.5", "count", "--flag takes whole numbers"),
        ("4-0", "count", "--flag takes ranges that count up"),
        ("1,,2", "number", "commas between them"),
    ],
)
def test_what_is_no_number_is_named_with_its_flag(text, kind, said):
    with pytest.raises(ValueError, match=said):
        choices.numbers(text, "--flag", kind)


@given(st.integers(0, 999))
def test_percent_is_the_fraction_that_one_would_type(tenths):
    typed, percent = f"0.{tenths:03}", f"{tenths // 10}.{tenths % 10}%"
    assert choices.numbers(percent, "--poison-ratio", "ratio") == (float(typed),)


def test_what_was_understood_is_said_where_it_helps():
    assert choices.understood("5%,10%", (0.05, 0.1)) == "0.05,0.1"
    assert choices.understood("0.05,1e-3", (0.05, 0.001)) is None


def test_a_tilde_is_the_home_folder_and_nothing_is_no_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert choices.path("~/pics", "--images") == tmp_path / "pics"
    for text, said in (("\t", "is empty; give it"), ("~nobody-here/x", "nobody knows")):
        with pytest.raises(ValueError, match=said):
            choices.path(text, "--images")
