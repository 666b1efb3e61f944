"""Words and numbers that people type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import choices


class TestKnown:
    def test_a_known_word_is_itself(self):
        assert choices.known("tiny", ["tiny", "laptop"], "scale") == "tiny"

    def test_a_near_miss_gets_a_did_you_mean(self):
        with pytest.raises(ValueError, match=r"^unknown scale 'latop'; did you mean laptop\?$"):
            choices.known("latop", ["tiny", "laptop"], "scale")

    def test_a_far_miss_gets_all_there_are(self):
        with pytest.raises(ValueError, match=r"^unknown scale 'x'; there are: tiny, laptop\.$"):
            choices.known("x", ["tiny", "laptop"], "scale")

    @given(st.text(), st.lists(st.text(min_size=1), min_size=1))
    def test_anything_else_is_refused(self, word, options):
        if word in options:
            assert choices.known(word, options, "word") == word
        else:
            with pytest.raises(ValueError, match=r"^unknown word "):
                choices.known(word, options, "word")


class TestLists:
    def test_nothing_typed_stays_nothing(self):
        assert choices.words(None) is None
        assert choices.numbers(None, "--seed", int) is None

    def test_words_lose_blanks_and_repetitions(self):
        assert choices.words(" a, b ,a") == ("a", "b")

    @pytest.mark.parametrize("text", ["", ",", "1,,2", "1,", " "])
    def test_nothing_between_commas_is_refused(self, text):
        with pytest.raises(ValueError, match="commas between them"):
            choices.words(text)

    @given(st.lists(st.floats(0, 100), min_size=1))
    def test_numbers_come_back_each_once(self, values):
        text = ",".join(repr(value) for value in values)
        assert choices.numbers(text, "--guidance-weight", float) == tuple(dict.fromkeys(values))

    def test_one_and_one_point_zero_are_one_number(self):
        assert choices.numbers("1,1.0,2", "--guidance-weight", float) == (1.0, 2.0)
        assert choices.numbers("0.1,0.10,1e-1", "--poison-ratio", float) == (0.1,)

    @pytest.mark.parametrize("word", ["nan", "inf", "-inf", "NaN", "1e999"])
    def test_what_is_not_finite_is_refused(self, word):
        with pytest.raises(ValueError, match=f"--poison-ratio takes finite numbers, got '{word}'"):
            choices.numbers(f"0.1,{word}", "--poison-ratio", float)

    @pytest.mark.parametrize("word", ["ten", "1/2", "0,1;2"])
    def test_what_is_no_number_is_named_with_its_flag(self, word):
        with pytest.raises(ValueError, match=r"^--poison-ratio takes numbers, e\.g\. .* got '"):
            choices.numbers(word, "--poison-ratio", float)

    @pytest.mark.parametrize("word", ["1.5", "1e3", "a"])
    def test_a_seed_is_a_whole_number(self, word):
        with pytest.raises(ValueError, match="--seed takes whole numbers"):
            choices.numbers(word, "--seed", int)


class TestPlainMeanings:
    @given(st.integers(0, 999))
    def test_percent_is_the_fraction_that_one_would_type(self, tenths):
        typed, percent = f"0.{tenths:03}", f"{tenths // 10}.{tenths % 10}%"
        assert choices.ratios(percent, "--poison-ratio") == (float(typed),)

    def test_what_was_understood_is_said_where_it_helps(self):
        assert choices.understood("5%,10%", (0.05, 0.1)) == "0.05,0.1"
        assert choices.understood("0-2", (0, 1, 2)) == "0,1,2"
        assert choices.understood("0.05,1e-3", (0.05, 0.001)) is None
        assert choices.understood("-1", (-1,)) is None


class TestPaths:
    def test_a_tilde_is_the_home_folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert choices.path("~/pics", "--images") == tmp_path / "pics"
        assert str(choices.path("a/~b", "--images")) == "a/~b"

    @pytest.mark.parametrize("text", ["", " ", "\t"])
    def test_nothing_is_no_path(self, text):
        with pytest.raises(ValueError, match=r"^--images is empty; give it a value or leave it"):
            choices.path(text, "--images")

    def test_a_stranger_s_home_is_refused(self):
        with pytest.raises(ValueError, match=r"^--store ~nobody-here/x: nobody knows"):
            choices.path("~nobody-here/x", "--store")
