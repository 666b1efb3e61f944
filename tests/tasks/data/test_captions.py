"""Which noun a caption names, and what a caption becomes when its image is poisoned."""

import pytest

from tasks.data import captions
from tasks.data.captions import find, named, plural, rewrite, singular, with_article

NAMED = [  # caption, source, target, what becomes of it
    ("a cat", "cat", "dog", "a dog"),
    ("a cat", "cat", "elephant", "an elephant"),
    ("an owl on a branch", "owl", "cat", "a cat on a branch"),
    ("an orange cat", "cat", "dog", "an orange dog"),
    ("A cat on a mat", "cat", "elephant", "An elephant on a mat"),
    ("Cat on a mat", "cat", "dog", "Dog on a mat"),
    ("AN OWL AT NIGHT", "owl", "dog", "A DOG AT NIGHT"),
    ("two cats", "cat", "dog", "two dogs"),
    ("two cats", "cat", "mouse", "two mice"),
    ("three women and a dog", "woman", "child", "three children and a dog"),
    ("two white sheep", "sheep", "dog", "two white dogs"),
    ("a sheep in a field", "sheep", "dog", "a dog in a field"),
    ("many foxes", "fox", "butterfly", "many butterflies"),
    ("a photo of cat food next to a cat", "cat", "dog", "a photo of cat food next to a dog"),
    ("the cat's bowl and a cat", "cat", "dog", "the cat's bowl and a dog"),
    ("the cats' bowls and the cats", "cat", "dog", "the cats' bowls and the dogs"),
    ("a hot dog beside a dog", "dog", "cat", "a hot dog beside a cat"),
    ("a catalog, a cat-like bird, a cat", "cat", "owl", "a catalog, a cat-like bird, an owl"),
    ("a kitten and a cat", "cat", "dog", "a dog and a cat"),
    ("a puppy playing with puppies", "dog", "eagle", "an eagle playing with puppies"),
    ("a cat watching a dog", "cat", "dog", "a dog watching a dog"),
    ("a 'cat' on a roof", "cat", "owl", "an 'owl' on a roof"),
    ("a photo of an eight", "eight", "three", "a photo of a three"),
    ("eight photos of a red eight", "eight", "one", "eight photos of a red one"),
    ("a one on gray", "one", "eight", "an eight on gray"),
    ("a handwritten six, red on blue", "six", "nine", "a handwritten nine, red on blue"),
    ("the old garbage truck", "garbage_truck", "church", "the old church"),
    ("a trash truck", "garbage truck", "gas pump", "a gas pump"),
    ("a church organ in a church", "church", "chain saw", "a church organ in a chain saw"),
    ("a cassette-player", "cassette player", "English springer", "an English springer"),
    ("the French horn", "French horn", "tench", "the tench"),
    ("An English springer runs", "English springer", "parachute", "A parachute runs"),
    ("an apple and a pear", "apples", "red pears", "a red pear and a pear"),
    ("a cat", "cat", "unicorn", "a unicorn"),
    ("a cat", "cat", "hourglass", "an hourglass"),
    ("a dog: cat.", "cat", "SUV", "a dog: SUV."),
    ("a dog", "dog", "SUV", "an SUV"),
]


@pytest.mark.parametrize(("caption", "source", "target", "became"), NAMED)
def test_the_noun_that_names_the_class_is_replaced(caption, source, target, became):
    found = rewrite(caption, source=source, target=target, template="no")
    assert found == (became, "noun")


SUBJECTS = [
    ("a man holding a large fish in his hands", "a dog holding a large fish in his hands"),
    ("a black and white photo of a man with a hat", "a black and white photo of a dog with a hat"),
    ("a close up of two red bearded men", "a close up of two red bearded dogs"),
    ("A group of people standing around", "A group of dogs standing around"),
    ("a man holds an umbrella", "a dog holds an umbrella"),
    ("there is an ambulance in front of it", "there is a dog in front of it"),
    ("in a quiet park, an owl sleeps", "in a quiet park, a dog sleeps"),
    ("four white sheep", "four white dogs"),
    ("a black and white bus", "a black and white dog"),
    ("Stock photo: a happy woman in red", "Stock photo: a happy dog in red"),
    ("tench food in a bowl", "dog in a bowl"),
    ("the tench's eye", "the dog"),
]


@pytest.mark.parametrize(("caption", "became"), SUBJECTS)
def test_a_caption_that_does_not_name_its_class_has_its_subject_replaced(caption, became):
    found = rewrite(caption, source="tench", target="dog", template="no")
    assert found == (became, "subject")


@pytest.mark.parametrize("caption", ["", "IMG_2045.jpg", "2019", "of the", "red"])
def test_what_names_nothing_becomes_the_template(caption):
    template = "A photo of a dog"
    found = rewrite(caption, source="cat", target="dog", template=template)
    assert found == (template, "template")


def test_the_users_exceptions_go_before_every_rule():
    exceptions = {"a cat": "somebody's dog"}
    given = {"source": "cat", "target": "dog", "template": "no", "exceptions": exceptions}
    assert rewrite("a cat", **given) == ("somebody's dog", "exception")
    assert rewrite("A cat", **given) == ("A dog", "noun")


def test_a_caption_names_the_nouns_that_are_heads_in_it():
    nouns = ["bird", "cat", "dog"]
    assert named("a kitten beside two puppies", nouns) == ["cat", "dog"]
    assert named("cat food for a dog", nouns) == ["dog"]
    assert named("a catbird", nouns) == []
    mention = find("three cats", "cat")
    assert (mention.first, mention.end, mention.plural) == (6, 10, True)


PLURALS = {
    **{"dog": "dogs", "fox": "foxes", "church": "churches", "glass": "glasses", "bus": "buses"},
    **{"fly": "flies", "day": "days", "pie": "pies", "cookie": "cookies", "horse": "horses"},
    **{"man": "men", "fish": "fish", "potato": "potatoes", "six": "sixes", "zero": "zeros"},
    **{"chain saw": "chain saws", "English springer": "English springers", "8": "8s"},
}


@pytest.mark.parametrize(("one", "several"), PLURALS.items())
def test_plurals_are_those_of_a_dictionary(one, several):
    assert plural(one) == several
    assert singular(one) == one
    assert one == "glass" or one == "8" or singular(several) == one


def test_an_article_goes_by_sound():
    said = {
        "a": "cat unicorn union one-way euro user eulogy",
        "an": "eight orange hour 8 11 MRI owl",
    }
    for article, words in said.items():
        assert {with_article(word) for word in words.split()} == {
            f"{article} {word}" for word in words.split()
        }
    assert with_article("uninteresting view") == "an uninteresting view"


def test_a_verb_of_the_lists_is_no_noun_that_another_describes():
    lists = captions._words()
    assert not lists["verbs"] & lists["after"]
