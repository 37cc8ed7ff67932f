"""The story world: what it tells, what its dice are worth, and which faults its parser finds."""

from __future__ import annotations

import hashlib
import math
import random
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations, product
from typing import NamedTuple

import pytest

from utils.errors import CourseError
from utils.stories.generator import corpus, draw_story, exact_entropy, log_probability, nats_of, tokens_of
from utils.stories.grammar import FOLDER, Compiler, Pick, Plot, Sequence, Slot, Step, load_world, read_grammar
from utils.stories.parser import coherence, parse, read_story
from utils.tokenizer import Tokenizer


class Story(NamedTuple):
    """A document in pieces, its plot and the log-probability of the dice that made it."""

    pieces: list[str]
    plot: str
    log_probability: float

    @property
    def document(self) -> str:
        return "".join(self.pieces)


def stories(count: int, seed: int) -> Iterator[Story]:
    """Draw what `corpus` draws, and keep account of the dice."""
    rng = random.Random(seed)
    for _ in range(count):
        rolled: list[tuple[int, int]] = []  # what came, among how many options

        def dice(options: int, rolled=rolled) -> int:
            rolled.append((int(rng.random() * options), options))
            return rolled[-1][0]

        pieces = draw_story(dice)
        yield Story(pieces, load_world()[rolled[0][0]].name, -sum(math.log(options) for _, options in rolled))


SAMPLE = list(stories(1500, seed=11))


# What it tells


def written(count: int, seed: int) -> bytes:
    """Return a corpus as bytes, each document with its mark."""
    return "".join(f"{document}\n<|endoftext|>\n" for document in corpus(count, seed)).encode()


def test_the_same_count_and_seed_give_the_same_corpus_on_every_machine():
    expected = "0b5a1ded11c905931999796583a14e14f4a3d5b8a56269bb0be339d2feafb88a"
    assert hashlib.sha256(written(200, 1)).hexdigest() == expected
    assert list(corpus(20, seed=11)) == [story.document for story in SAMPLE[:20]] != list(corpus(20, seed=12))


def test_the_committed_sample_is_what_the_generator_says_and_the_readme_states_the_true_figures():
    sample, text = (FOLDER / "sample.txt").read_bytes(), (FOLDER / "README.md").read_text(encoding="utf-8")
    entropy = exact_entropy()
    assert sample == written(180, 2024) and hashlib.sha256(sample).hexdigest() in text
    assert f"{entropy.nats_per_story:.2f} nats" in text
    assert f"{entropy.tokens_per_story:.1f} |" in text
    assert f"{entropy.nats_per_token:.4f} nats" in text


@pytest.mark.parametrize(("count", "seed"), [(-1, 0), (1, -3)])
def test_a_negative_count_or_seed_is_refused(count, seed):
    with pytest.raises(CourseError, match=f"{count} stories from seed {seed}"):
        next(corpus(count, seed))


def words_between(nodes: Sequence) -> tuple[int, int]:
    """Return the least and the greatest number of spaces and line ends in a sequence."""
    least, most = 0, 0
    for node in nodes:
        if isinstance(node, Pick):
            bounds = [words_between(option) for option in node.options]
        else:
            texts = node.texts if isinstance(node, Slot) else (node,)
            bounds = [(count, count) for count in (len(re.findall(r"\s", text)) for text in texts)]
        least += min(low for low, _ in bounds)
        most += max(high for _, high in bounds)
    return least, most


@pytest.mark.parametrize("plot", load_world(), ids=lambda plot: plot.name)
def test_no_story_can_have_fewer_than_80_words_or_more_than_250(plot: Plot):
    bounds = [(step, [words_between((step.lead, *option)) for option in step.options]) for step in plot.steps[:-1]]
    assert 1 + sum(min(low for low, _ in found) for step, found in bounds if not step.optional) >= 80
    assert 1 + sum(max(high for _, high in found) for _, found in bounds) <= 250


def test_there_are_sixteen_plots_and_every_step_can_be_told_in_many_ways():
    def ways(nodes: Sequence) -> int:
        return math.prod(sum(map(ways, node.options)) for node in nodes if isinstance(node, Pick))

    assert len(load_world()) == 16
    counts = [sum(map(ways, step.options)) for plot in load_world() for step in plot.steps[:-1]]
    assert (len(counts), round(statistics.mean(counts))) == (226, 99)  # as the README says
    assert min(counts) >= 8
    assert statistics.median(counts) > 50
    assert {story.plot for story in SAMPLE} == {plot.name for plot in load_world()}


def test_the_world_has_more_than_1500_words():
    seen = {word for story in SAMPLE for word in re.findall(r"[a-z][a-z'-]*", story.document.lower())}
    assert 1500 < len(seen) < 2600


def same(nodes: Sequence) -> float:
    """Return the probability that two draws of a sequence choose alike."""
    picks = [node.options for node in nodes if isinstance(node, Pick)]
    return math.prod(sum(map(same, options)) / len(options) ** 2 for options in picks)


def test_no_two_stories_are_alike_and_their_chance_is_what_the_readme_says():
    assert len(set(corpus(5_000, seed=3))) == 5_000
    total = 0.0
    for plot in load_world():
        chance = 1.0
        for step in plot.steps:
            inner = [same(option) / math.prod(ks) for option, ks in zip(step.options, step.sizes, strict=True)]
            here = sum(inner) / len(inner) ** 2
            chance *= (1 + here) / 4 if step.optional else here
        total += chance / len(load_world()) ** 2
    assert total == pytest.approx(1.1e-35, rel=0.05)


def test_a_question_and_a_summary_follow_half_of_the_stories_each():
    for mark in ("\nQuestion: ", "\nAnswer: ", "\nSummary: "):
        share = sum(mark in story.document for story in SAMPLE) / len(SAMPLE)
        assert abs(share - 0.5) < 0.06, mark


def test_articles_and_marks_are_right():
    for story in SAMPLE:
        assert not re.search(r"\b[Aa] (?:[aeiou]|hon)", story.document.replace("a one", ""))
        assert not re.search(r"\b[Aa]n [^aeiouh]", story.document)
        assert not re.search(r"  |[^ -~\n]|[,.!?]{2}|\w[.!?]\w| [,.!?]|\n\n|[{}\[\]()|]", story.document)
        assert story.document.count('"') % 2 == 0


def test_importing_reads_no_file_and_needs_no_torch():
    code = (
        "import sys, utils.stories.generator as s; "
        "assert s.load_world.cache_info().currsize == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parent.parent)


# What its dice are worth


def test_a_text_tells_every_choice_that_made_it():
    for story in SAMPLE[:150]:
        (derivation,) = parse(story.document)
        assert derivation.plot == story.plot
        assert derivation.log_probability == pytest.approx(story.log_probability, abs=1e-9)
        assert log_probability(story.document) == pytest.approx(story.log_probability, abs=1e-9)


class Automaton:
    """All texts of the world as a graph: a state reads one letter, or moves on freely to several states."""

    def __init__(self, plots: tuple[Plot, ...]) -> None:
        self.letter: list[str | None] = []
        self.after: list[int] = []
        self.free: list[list[int]] = []
        self.start = self.state()
        ends = []
        known: dict[tuple[str, ...], int] = {}
        for plot in plots:
            path, at = (), self.start
            for step in plot.steps:
                path = (*path, plot.name if step.name == "tail" else f"{step.name} {step.optional}")
                if path not in known:
                    begin = self.move(at)
                    told = self.read(step.lead, begin)
                    known[path] = self.join(self.follow(option, self.move(told)) for option in step.options)
                    if step.optional:
                        self.free[self.move(at)].append(known[path])
                at = known[path]
            ends.append(at)
        self.accept = self.join(ends)

    def state(self) -> int:
        self.letter.append(None)
        self.after.append(-1)
        self.free.append([])
        return len(self.letter) - 1

    def move(self, at: int) -> int:
        self.free[at].append(self.state())
        return self.free[at][-1]

    def join(self, ends) -> int:
        ends, joined = list(ends), self.state()
        for end in ends:
            self.free[end].append(joined)
        return joined

    def read(self, text: str, at: int) -> int:
        for letter in text:
            reader = at if self.letter[at] is None else self.move(at)
            at = self.state()
            self.letter[reader], self.after[reader] = letter, at
        return at

    def follow(self, nodes: Sequence, at: int) -> int:
        for node in nodes:
            if isinstance(node, str):
                at = self.read(node, at)
            elif isinstance(node, Slot):
                end = self.state()
                self.spell(set(node.texts), at, end)
                at = end
            else:
                at = self.join([self.follow(option, self.move(at)) for option in node.options])
        return at

    def spell(self, texts: set[str], at: int, end: int) -> None:
        if "" in texts:
            self.free[at].append(end)
        for letter in sorted({text[0] for text in texts if text}):
            self.spell({text[1:] for text in texts if text[:1] == letter}, self.read(letter, at), end)

    @cache  # noqa: B019
    def reach(self, at: int) -> tuple[int, ...]:
        """Return the states that read a letter, or accept, after free moves: each by one way only."""
        found, stack = [], [at]
        while stack:
            state = stack.pop()
            if self.letter[state] is not None or state == self.accept:
                found.append(state)
            stack += self.free[state]
        assert len(set(found)) == len(found), "two ways lead to the same place without a letter"
        return tuple(sorted(found))


def is_ambiguous(plots: tuple[Plot, ...]) -> bool:
    """Whether two different ways through the plots give the same text."""
    graph = Automaton(plots)
    todo, single, pairs, stack = [graph.start], set(), set(), []
    while todo:  # states that one way reaches, and pairs of states that two ways with the same letters reach
        here = graph.reach(todo.pop())
        fresh = set(combinations(here, 2)) - pairs
        pairs |= fresh
        stack += fresh
        todo += [graph.after[state] for state in here if state not in single and state != graph.accept]
        single.update(here)
    while stack:
        one, other = stack.pop()
        if graph.letter[one] is None or graph.letter[one] != graph.letter[other]:
            continue
        for pair in product(graph.reach(graph.after[one]), graph.reach(graph.after[other])):
            if pair[0] == pair[1]:
                return True
            pair = (min(pair), max(pair))
            if pair not in pairs:
                pairs.add(pair)
                stack.append(pair)
    return False


def test_no_text_of_the_whole_world_can_come_about_in_two_ways():
    assert not is_ambiguous(load_world())


@pytest.mark.parametrize(("ends", "ambiguous"), [(("ed", "red"), True), (("ed", "ring"), False)])
def test_the_proof_sees_two_ways_to_the_same_text(ends: tuple[str, str], ambiguous: bool):
    first = Step("one", (("a fi",), ("a fir",)), [], [], False, "")  # a fi-red, a fir-ed
    second = Step("two", tuple((end,) for end in ends), [], [], False, "")
    assert is_ambiguous((Plot("p", {}, (first, second)),)) == ambiguous


def expand(nodes: Sequence) -> Iterator[tuple[str, float]]:
    """Yield every text of a sequence (a slot shown by its name) with its probability."""
    if not nodes:
        yield "", 1.0
        return
    for rest, p in expand(nodes[1:]):
        if isinstance(nodes[0], Pick):
            for option in nodes[0].options:
                for text, q in expand(option):
                    yield text + rest, p * q / len(nodes[0].options)
        else:
            yield (nodes[0] if isinstance(nodes[0], str) else nodes[0].name) + rest, p


def test_the_entropy_of_a_step_is_that_of_all_its_texts_written_out():
    for step in (step for plot in load_world() for step in plot.steps if step.name in ("sad", "ill", "meet")):
        for option in step.options:
            texts = list(expand(option))
            assert len({text for text, _ in texts}) == len(texts)
            assert -sum(p * math.log(p) for _, p in texts) == pytest.approx(nats_of(option))


def test_entropy_and_tokens_by_hand():
    pick = Pick((("a",), ("b ", Pick((("c",), ("d",))))))
    assert nats_of(("x ", pick)) == pytest.approx(math.log(2) + math.log(2) / 2)
    assert tokens_of(("One ", Pick((("bird",), ("two birds",))), "."), "", len) == (3 + (5 + 10) / 2 + 1, "")


def test_slots_are_drawn_among_the_rows_that_the_formula_counts():
    for plot in load_world():
        rows: dict[str, int] = {}
        for step in plot.steps:
            if step.optional:
                continue
            for slot, size in zip(step.new_slots[0], step.sizes[0], strict=True):
                allowed = plot.allowed(slot, rows)
                assert len(allowed) == size
                rows[slot] = allowed[-1]


def test_the_exact_entropy_agrees_with_a_sample():
    entropy, encode = exact_entropy(), Tokenizer.gpt2().encode
    nats = [-story.log_probability for story in SAMPLE]
    tokens = [len(encode(story.document)) + 1 for story in SAMPLE]
    for exact, values in ((entropy.nats_per_story, nats), (entropy.tokens_per_story, tokens)):
        error = statistics.stdev(values) / math.sqrt(len(values))
        assert abs(statistics.mean(values) - exact) < 4 * error
    assert entropy.nats_per_token == entropy.nats_per_story / entropy.tokens_per_story
    assert sum(nats) / sum(tokens) == pytest.approx(entropy.nats_per_token, rel=0.01)


def test_the_tokens_of_the_parts_of_a_story_add_up_to_the_tokens_of_the_story():
    encode = Tokenizer.gpt2().encode
    for story in SAMPLE[:150]:
        tokens = tokens_of(tuple(story.pieces), "", lambda text: len(encode(text)))
        assert tokens == (len(encode(story.document)), "")


# Which faults its parser finds


def sentences(text: str) -> list[str]:
    """Split a story by its whitespace: each sentence with what stands before it."""
    return re.split(r'(?<=[.!?])(?=\s+[A-Z"])|(?<=[.!?]")(?=\s+[A-Z"])', text)


NAMES = [text for row in load_world()[0].slots["hero"].rows for text in row.columns.values()]
Plant = Callable[[list[str], random.Random], tuple[list[str], str] | None]  # the story, and what must be named


def edit(pattern: str, replacement: str) -> Plant:
    """Change one place somewhere in the middle of a story."""

    def plant(parts: list[str], rng: random.Random) -> tuple[list[str], str] | None:
        places = [index for index, part in enumerate(parts) if index > 2 and re.search(pattern, part)]
        if not places:
            return None
        index = rng.choice(places)
        parts[index] = re.sub(pattern, replacement, parts[index], count=1)
        return parts, parts[index].strip()

    return plant


def another_name(parts: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    hero = min((name for name in NAMES if name in parts[0]), key=parts[0].index)
    return edit(rf"\b{hero}\b", rng.choice([name for name in NAMES if name not in "".join(parts)]))(parts, rng)


def another_summary(parts: list[str], rng: random.Random) -> tuple[list[str], str] | None:
    return edit(r"(?<=Summary: )(.*)", "A wolf eats them all.")(parts, rng)


def inserted(sentence: str) -> Plant:
    return lambda parts, rng: ([*parts[:6], f" {sentence}", *parts[6:]], sentence)


def disorder(parts: list[str], rng: random.Random) -> tuple[list[str], str]:
    parts[4] = " " + " ".join(parts[4].strip('.!?" \n').split()[::-1]).capitalize() + "."
    return parts, parts[4].strip()


PLANTS: dict[str, Plant] = {
    "a pronoun of the other kind": edit(r"\bhe\b", "she"),
    "another name": another_name,
    "a misspelling": edit(r"\bthe\b", "teh"),
    "a wrong article": edit(r"\ba (?=[b-df-hj-np-tv-z])", "an "),
    "words in disorder": disorder,
    "a sentence from nowhere": inserted("The next day it was all about the same."),
    "a sentence of another plot": inserted("The two friends ran and hid."),
    "a sentence told twice": lambda parts, rng: ([*parts[:6], *parts[5:]], parts[5].strip()),
    "two sentences swapped": lambda parts, rng: ([*parts[:5], parts[6], parts[5], *parts[7:]], ""),
    "no beginning": lambda parts, rng: (parts[1:], ""),
    "no end": lambda parts, rng: ([part for part in parts if ": " not in part][:-1], "close"),
    "cut off": lambda parts, rng: (parts[:9] + [parts[9][:9]], parts[9][:9].strip()),
    "a wrong answer": edit(r"(?<=Answer: )(.*)", "Nobody knows."),
    "another summary": another_summary,
}


@pytest.mark.parametrize("name", PLANTS)
def test_each_planted_mistake_is_found_and_named(name: str):
    rng, planted = random.Random(1), 0
    for story in SAMPLE[400:]:
        if found := PLANTS[name](sentences(story.document), rng):
            text, named = "".join(found[0]), found[1]
            reading = read_story(text)
            assert not parse(text.strip()) and reading.faults and reading.coherence < 1, text
            assert any(named in fault for fault in reading.faults) or name == "a wrong answer", (named, reading.faults)
            assert len(reading.faults) <= 3 or name == "cut off", (name, reading.faults)
            planted += 1
        if planted == 4:
            return
    pytest.fail("there was no place for this mistake")


def test_a_story_has_no_fault_and_coherence_is_the_share_of_sentences_in_order():
    for story in SAMPLE[200:240]:
        reading = read_story(story.document)
        assert (reading.plot, reading.faults, reading.coherence) == (story.plot, (), 1.0)
    story = next(story.document for story in SAMPLE if ": " not in story.document)
    parts = sentences(story)
    longer = [parts[0], " This is not a sentence of the world.", *parts[1:]]
    assert read_story("".join(longer)).coherence == len(parts) / len(longer)
    assert coherence([story, "Hello there. " * 30]) == 0.5


def test_any_text_can_be_read():
    for text in ("", " \n", "Zoë läuft 😀", '"', ". . .", "a" * 5000, "Question: Why?\nAnswer: No.", "{}[]()|\\"):
        assert read_story(text).coherence == 0
    with pytest.raises(CourseError, match="no stories"):
        coherence([])


def test_a_text_that_the_generator_cannot_write_has_no_probability_and_the_reason_is_said():
    story = SAMPLE[3].document
    with pytest.raises(CourseError, match="teh"):
        log_probability(story.replace("the ", "teh ", 1))


# What the grammar's files may not say


NAMED = {"names": {"she": ["Mia"], "he": ["Tom"]}, "kinds": {"she": ["girl", "fox"], "he": ["boy"]}}


def test_groups_of_unequal_size_are_refused_where_the_group_matters():
    with pytest.raises(CourseError, match="kinds"):
        Compiler(NAMED, {"hero": "names", "hkind": "kinds by hero"}, {})


@pytest.mark.parametrize(
    ("line", "error", "named"),
    [
        ("[nobody] sat.", KeyError, "nobody"),
        ("[hero.at] sat.", KeyError, "at"),
        ("{then} sat.", KeyError, "then"),
        ("[the big hero] sat.", CourseError, "the big hero"),
        ("[hero sat.", CourseError, re.escape("'['")),
        ("[hero] (sat.", CourseError, r"\(sat"),
        *((f"[hero] sat{bracket} down.", CourseError, re.escape(repr(bracket))) for bracket in "])}|"),
    ],
)
def test_a_reference_and_a_bracket_out_of_place_are_refused(line, error, named):
    compiler = Compiler(NAMED, {"hero": "names"}, {})
    assert compiler.sequence("[hero] sat.")[1] == " sat."
    with pytest.raises(error, match=named):
        compiler.sequence(line)


def test_a_step_may_not_mention_what_a_story_may_not_have_introduced():
    steps = {"open": ["[hero] sat."], "more": ["[friend] came."], "end": ["[friend] left."]}
    compiler = Compiler(NAMED, {"hero": "names", "friend": "names"}, steps)
    assert compiler.step("open", "").sizes == [[2]] and compiler.step("more?", " ").sizes == [[1]]
    with pytest.raises(CourseError, match="end.*friend"):
        compiler.step("end", " ")


def test_a_missing_file_says_where_the_world_lives(tmp_path):
    with pytest.raises(CourseError, match="data/stories"):
        read_grammar(tmp_path / "world.yaml")
