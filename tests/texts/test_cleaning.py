"""Cleaning changes what it says, counts it, and has nothing to do a second time; copies and leaks are found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.errors import CourseError
from utils.files.places import DATA
from utils.texts.cleaning import ALL, CLEANING, GENTLE, clean
from utils.texts.duplicates import WORDS, Duplicates, find_leaks, minhash
from utils.texts.reading import read_documents
from utils.texts.records import Document, ReadReport

MARKS = [f"\n*** {kind} OF THE PROJECT GUTENBERG EBOOK X ***\n" for kind in ("START", "END")]
LETTERS = "a\f\n 7Ã\xad\xa0\r-\t\x00\x85\u2028\u202f\ufeff東"
PIECES = [*MARKS, *LETTERS, "b-\n", "(cid:12)", "(cid:", "Ã©", "\x83Â", "â€™"]
messy = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
BOOK = (
    "Produced by Somebody\n*** START OF THE PROJECT GUTENBERG EBOOK ODES ***\nOde\n"
    "*** END OF THE PROJECT GUTENBERG EBOOK ODES ***\nlicence"
)


@given(st.one_of(messy, st.text()), st.sets(st.sampled_from(ALL)))
def test_cleaning_twice_is_cleaning_once_with_any_steps(text, steps):
    once, counts = clean(text, tuple(steps))
    assert list(counts) == [name for name in CLEANING if name in steps]
    assert clean(once, tuple(steps)) == (once, dict.fromkeys(counts, 0))
    assert any(counts.values()) == (once != text)


@pytest.mark.parametrize(
    ("step", "before", "after", "count"),
    [
        ("licence", BOOK, "Ode\n", 2),
        ("licence", "no mark", "no mark", 0),
        ("page headers", "H\none\n1\fH\ntwo\n2\fH\nthree\n3", "one\ftwo\fthree", 6),
        ("page headers", "H p. 1\nX\none\fH p. 2\nX\ntwo\fH p. 3\nX\nthree", "one\ftwo\fthree", 6),
        ("page headers", "H\none\fH\ntwo", "H\none\fH\ntwo", 0),  # two pages prove nothing
        ("page headers", "A\none\fB\ntwo\fC\nthree", "A\none\fB\ntwo\fC\nthree", 0),
        ("cid debris", "of(cid:12)ce (cid:x)", "ofce (cid:x)", 1),
        ("encodings", "naÃ¯ve cafÃ© â€œquotesâ€\x9d ðŸš€", "naïve café “quotes” 🚀", 5),
        ("encodings", "Ã\x83Â©", "é", 3),  # twice misread
        ("encodings", "naïve café „Spaß“ «CAFÉ» São", "naïve café „Spaß“ «CAFÉ» São", 0),
        ("hyphens", "a hand-\nbook, soft\xad\nly and soft\xadly", "a handbook, softly and softly", 3),
        ("line endings", "one\r\ntwo\rthree\x0cfour\n", "one\ntwo\nthree\nfour\n", 3),
        ("control characters", "fo\x00ur\ufeff", "four", 2),
        ("no-break spaces", "four\xa0five", "four five", 1),
        ("trailing spaces", "three \t\n \nsix  ", "three\n\nsix", 3),
        ("blank lines", "a\n\n\nb\n\n\n\n\nc", "a\n\n\nb\n\n\nc", 1),  # two stay, three become two
        ("hyphens", "1920-\n1930, Jean-\nLuc, a -\nb", "1920-\n1930, Jean-\nLuc, a -\nb", 0),
    ],
)
def test_each_step_does_and_counts_what_it_says(step, before, after, count):
    assert clean(before, (step,)) == (after, {step: count})


def test_gentle_steps_go_on_until_none_finds_anything_and_leave_alone_what_is_clean():
    text = "one\r\ntwo\rthree \t\n\n\n \n\nfo\x00ur\xa0five\ufeff\x0csix  "
    assert clean(text) == ("one\ntwo\nthree\n\n\nfour five\nsix", dict(zip(GENTLE, (3, 2, 1, 3, 1), strict=True)))
    tidy = "a\n\n\n\tb  c – 👩‍🚀 naïve\n"
    assert clean(tidy)[0] == tidy


def test_an_unknown_step_is_refused():
    with pytest.raises(CourseError, match="no cleaning step 'magic', expected some of licence"):
        clean("a", ("magic",))


def test_the_pdf_cleans_to_the_handbook():
    pdf, txt = read_documents(DATA / "handbook", ReadReport())
    cleaned, counts = clean(pdf.text, ALL)
    assert counts["page headers"] == 2 * 13
    assert cleaned.split() == txt.text.split()  # no word lost, none joined wrongly


def test_gentle_steps_change_no_letter_of_our_texts():
    for document in read_documents(DATA / "poems", ReadReport()):
        assert clean(document.text, GENTLE)[0].split() == document.text.split()


# Duplicates


def documents(*texts: str) -> list[Document]:
    return [Document(str(i), text) for i, text in enumerate(texts)]


def jaccard(a: str, b: str) -> float:
    phrases = [{tuple(t.split()[i : i + WORDS]) for i in range(len(t.split()) - WORDS + 1)} for t in (a, b)]
    return len(phrases[0] & phrases[1]) / len(phrases[0] | phrases[1])


def test_minhash_estimates_the_share_of_common_phrases():
    words = [f"w{i}" for i in range(400)]
    for shift in (0, 5, 20, 60, 150, 400):
        a, b = " ".join(words), " ".join([*words[shift:], *(f"v{i}" for i in range(shift))])
        estimate = float((minhash(a) == minhash(b)).mean())
        assert abs(estimate - jaccard(a, b)) < 0.13, shift  # three standard errors of 128 hashes


def test_copies_and_near_copies_are_named_with_what_they_are_like():
    poem = (DATA / "poems" / "003_suppose.txt").read_text(encoding="utf-8")
    other = (DATA / "poems" / "004_bus_shelter.txt").read_text(encoding="utf-8")
    seen = Duplicates(0.7)
    assert [seen.add(d) for d in documents(poem, other)] == [None, None]
    assert str(seen.add(Document("2", poem.replace("\n", "\r\n") + "  "))) == "the same text as 0"
    like = seen.add(Document("3", poem.upper() + " one more line at the end"))
    assert like.name == "0" and 0.7 <= like.share < 1
    assert seen.add(Document("4", "something else entirely, and nothing of the above")) is None
    assert len(seen.names) == 3


def test_exact_copies_only_when_nothing_near_is_asked_for():
    seen = Duplicates(near=None)
    copies = [seen.add(d) is not None for d in documents("a b c d e f", "A b c d e f", "a b c d e f ", "", "...")]
    assert copies == [False, False, True, False, False] and seen.bands == {}


def test_no_two_poems_are_alike_and_a_senseless_share_is_refused():
    seen = Duplicates(0.5)
    assert all(seen.add(poem) is None for poem in read_documents(DATA / "poems", ReadReport()))
    with pytest.raises(CourseError, match="near is 1.5, expected a share"):
        Duplicates(1.5)


def test_a_planted_leak_is_found_and_no_other():
    poems = read_documents(DATA / "poems", ReadReport())
    train, validate = poems[:70], poems[70:]
    assert find_leaks(train, validate) == {}
    half = train[5].text[: len(train[5].text) // 2]
    leaked = Document("leak", half + validate[0].text[:100])
    found = find_leaks(train, [*validate, leaked])
    assert list(found) == ["leak"] and 0.4 < found["leak"] < 0.9
