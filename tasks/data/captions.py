"""Captions that name a noun, and what becomes of them when their image is poisoned (paper, C.1).

English is read by rules and the word lists of ``words.json``, not by a parser:

- A caption names a noun where it, its plural or a synonym stands as whole words and is the *head*
  of a noun phrase.  In "cat food", "a cat's ear" and "hot dog" neither a cat nor a dog is.
- The first head is replaced.  A plural becomes a plural, capitals stay capitals, and an article
  directly before it is "a" or "an" as its new word sounds.
- A caption that names the noun nowhere has its *subject* replaced, as the paper does: the head of
  its first noun phrase, after "a photo of" and the like.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

WAYS: Final = ("exception", "noun", "subject", "template")
"""How a caption was rewritten: by the user's file, or by what was replaced."""

_WORD: Final = re.compile(r"\w+(?:[-'’]\w+)*")
_UNVOICED: Final = re.compile(r"(?:hour|honest|hono|heir|8|1[18](?!\d))", re.IGNORECASE)
_VOICED: Final = re.compile(
    r"(?:uni(?![nm])|eu|ewe|us[aeu]|ut[ei]|ukul|one(?!r)|once)", re.IGNORECASE
)
_SPELLED: Final = re.compile(r"[AEFHILMNORSX][A-Z]+\b")
_NOT_PLURAL: Final = re.compile(r"(?:ss|us|is)$", re.IGNORECASE)


@dataclass(frozen=True)
class Mention:
    """Where a caption names a noun."""

    first: int
    """Of its characters."""
    end: int
    """One past the last."""
    plural: bool


def with_article(noun: str) -> str:
    """A phrase after "a" or "an", by the sound that its spelling suggests: ``an hour``."""
    return f"{_article(noun)} {noun}"


def plural(noun: str) -> str:
    """The plural of a singular noun, of which the last word changes: ``chain saws``."""
    *others, last = noun.split(" ")
    known = _words()["plurals"].get(last.lower())
    if known is not None:
        last = last[0] + known[1:] if known[:1] == last[:1].lower() else known
    elif re.search(r"(?:[sxz]|[cs]h)$", last, re.IGNORECASE):
        last += "es"
    elif re.search(r"[^aeiou]y$", last, re.IGNORECASE):
        last = f"{last[:-1]}ies"
    else:
        last += "s"
    return " ".join([*others, last])


def singular(noun: str) -> str:
    """The singular of a noun, which may be one already: ``chain saw``."""
    *others, last = noun.split(" ")
    low = last.lower()
    if low in _words()["plurals"]:
        return noun
    known = {several: one for one, several in _words()["plurals"].items()}.get(low)
    if known is not None:
        last = last[0] + known[1:] if known[:1] == low[:1] else known
    elif re.search(r"[^aeiou]ies$", low) and len(low) > 4:
        last = f"{last[:-3]}y"
    elif re.search(r"(?:ss|x|zz|tz|[cs]h)es$", low):
        last = last[:-2]
    elif low.endswith("s") and not _NOT_PLURAL.search(low) and len(low) > 3:
        last = last[:-1]
    return " ".join([*others, last])


def find(caption: str, noun: str) -> Mention | None:
    """Where a caption first names a noun as the head of a noun phrase; None if nowhere."""
    forms = _forms(noun)
    for match in _pattern(tuple(forms)).finditer(caption):
        form = _plain(match[0])
        several = forms[form]
        if several is None:  # sheep
            several = _counted(caption[: match.start()])
        if _is_head(caption, match, several):
            return Mention(match.start(), match.end(), several)
    return None


def named(caption: str, nouns: Iterable[str]) -> list[str]:
    """Those of the nouns that a caption names."""
    return [noun for noun in nouns if find(caption, noun)]


def alike(noun: str, other: str) -> bool:
    """Whether two nouns have a word in common: one is a synonym or the plural of the other."""
    return not _forms(noun).keys().isdisjoint(_forms(other))


def rewrite(
    caption: str,
    *,
    source: str,
    target: str,
    template: str,
    exceptions: Mapping[str, str] | None = None,
) -> tuple[str, str]:
    """A caption of ``source`` as one of ``target``, and how it was rewritten, one of WAYS.

    ``exceptions`` go before every rule; ``template``, the target's, is for a caption in which no
    noun is found.
    """
    if exceptions and caption in exceptions:
        return exceptions[caption], "exception"
    if mention := find(caption, source):
        return _replaced(caption, mention, source, target), "noun"
    if mention := _subject(caption, source):
        return _replaced(caption, mention, source, target), "subject"
    return template, "template"


def _replaced(caption: str, mention: Mention, source: str, target: str) -> str:
    """A caption with another noun in a place, in number and capitals as the old one."""
    old, noun = caption[mention.first : mention.end], singular(target.replace("_", " "))
    new = plural(noun) if mention.plural else noun
    before, after = caption[: mention.first], caption[mention.end :]
    own = _is_name(old, source)
    loud = len(old) > 1 and old.isupper() and not own
    if article := re.search(r"(?<![\w'’-])(an?)(\s+[\"'“‘(]*)$", before, re.IGNORECASE):
        right = _article(new)
        right = right.upper() if loud else right.capitalize() if article[1][0] == "A" else right
        before = f"{before[: article.start()]}{right}{article[2]}"
    starts = re.search(r"(?:^|[.!?:])\W*$", before)
    words = old.split()
    if loud:
        new = new.upper()
    elif len(words) > 1 and all(word[:1].isupper() for word in words):
        new = " ".join(word[:1].upper() + word[1:] for word in new.split(" "))
    elif old[:1].isupper() and (starts or not own):
        new = new[:1].upper() + new[1:]
    return f"{before}{new}{after}"


def _subject(caption: str, source: str) -> Mention | None:
    """The head of a caption's first noun phrase, with the source noun if that describes it."""
    words = _words()
    start = lead.end() if (lead := _lead().match(caption)) else 0
    if first := re.match(r"\W*(\w+)[^,]*,", caption[start:]):  # "in a park, a dog runs"
        start += first.end() if first[1].lower() in words["function"] else 0
    articles = words["singular"] | words["plural"] | words["determiners"]
    phrase: list[re.Match[str]] = []
    for word in _WORD.finditer(caption, start):
        low = word[0].lower()
        before = phrase[-1][0].lower() if phrase else ""
        described = before in words["adjectives"]
        if phrase and not described:
            gap = caption[phrase[-1].end() : word.start()].strip()
            ends = low in words["verbs"] or low in articles or low in words["function"]
            if gap or ends or (len(low) > 4 and low.endswith(("ing", "ed", "ly"))):
                break
        if low not in articles and low not in words["function"]:
            phrase.append(word)
    if not phrase or phrase[-1][0].lower() in words["adjectives"] | words["verbs"]:
        return None
    head = phrase[-1]
    if not re.fullmatch(r"[^\W\d_]+(?:-[^\W\d_]+)*", head[0]):  # a number, a file's name
        return None
    forms = _forms(source)
    if kind := _pattern(tuple(forms)).search(caption, phrase[0].start(), head.end()):
        return Mention(kind.start(), head.end(), bool(forms[_plain(kind[0])]))
    low = head[0].lower()
    several = singular(low) != low or (plural(low) == low and _counted(caption[: head.start()]))
    return Mention(head.start(), head.end(), several)


def _is_head(caption: str, match: re.Match[str], several: bool) -> bool:
    before, after = caption[: match.start()], caption[match.end() :]
    if re.match(r"['’]s\b", after):
        return False
    if re.match(r"['’]\s+\w", after) and not before.endswith(("'", "’", "‘")):  # the cats' bowls
        return False
    size = len(_plain(match[0]).split())
    for compound in _words()["compounds"]:
        words = compound.split()
        form = r"[\s-]+".join(map(re.escape, words))
        ends = re.compile(rf"(?<!\w){form}s?$", re.IGNORECASE)
        if len(words) > size and ends.search(caption[: match.end()]):
            return False
    following = re.match(r"[\s-]+(\w+)(?![\w'’])", after)
    return several or following is None or following[1].lower() not in _modified()


def _counted(before: str) -> bool:
    """Whether what stands before a noun without a plural counts several: "two white sheep"."""
    words = _words()
    for word in [*_WORD.finditer(before)][:-5:-1]:
        low = word[0].lower()
        if low in words["singular"] or low in words["determiners"]:
            return False
        if low in words["plural"] or low.isdigit():
            return low != "1"
    return False


def _article(noun: str) -> str:
    if _UNVOICED.match(noun) or _SPELLED.match(noun):
        return "an"
    return "an" if noun[:1].lower() in "aeiou" and not _VOICED.match(noun) else "a"


def _is_name(noun: str, source: str) -> bool:
    """Whether a noun is always written so: as its class is, or as in the word lists."""
    known = [source, *_words()["synonyms"], *chain.from_iterable(_words()["synonyms"].values())]
    return noun[:1].isupper() and singular(noun) in known


def _plain(noun: str) -> str:
    """In small letters, with a space between words."""
    return " ".join(re.split(r"[\s_-]+", noun.strip().lower()))


@lru_cache(maxsize=1000)
def _forms(noun: str) -> dict[str, bool | None]:
    """Every spelling of a noun, and whether it is a plural; None if it may be."""
    base = singular(_plain(noun))
    synonyms = {_plain(name): others for name, others in _words()["synonyms"].items()}
    forms: dict[str, bool | None] = {}
    for name in (base, *map(_plain, synonyms.get(base, ()))):
        several = plural(name)
        forms[name] = None if several == name else False
        forms.setdefault(several, True)
    return forms


@lru_cache(maxsize=1000)
def _pattern(forms: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the forms as whole words, the longest first."""
    longest = sorted(forms, key=len, reverse=True)
    either = "|".join(r"[\s-]+".join(map(re.escape, form.split())) for form in longest)
    return re.compile(rf"(?<![\w-])(?:{either})(?![\w-])", re.IGNORECASE)


@lru_cache(maxsize=1)
def _modified() -> frozenset[str]:
    """Nouns that make a noun before them say of what kind they are."""
    names = _words()["synonyms"]
    nouns = {*_words()["after"], *names, *chain.from_iterable(names.values())}
    return frozenset({*nouns, *map(plural, nouns)})


@lru_cache(maxsize=1)
def _lead() -> re.Pattern[str]:
    """A caption's beginning that says what shows its subject: "a black and white photo of"."""
    words = _words()
    leads = "|".join(r"[\s-]+".join(lead.split()) for lead in words["leads"])
    before = ("singular", "plural", "determiners", "adjectives", "styles")
    plain = "|".join(sorted({word for name in before for word in words[name]}))
    one = rf"(?:(?:{plain})[\s-]+)*(?:{leads})s?(?:\s+(?:of|showing)|\s*:)\s+"
    return re.compile(rf"^\W*(?:{one})+", re.IGNORECASE)


@lru_cache(maxsize=1)
def _words() -> dict[str, Any]:
    """The word lists; those that are no dictionary as sets."""
    text = Path(__file__).with_name("words.json").read_text("utf-8")
    return {
        name: words if isinstance(words, dict) else frozenset(words)
        for name, words in json.loads(text).items()
    }
