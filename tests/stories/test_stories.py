"""The story world: what it tells, what its dice are worth, and what its reader catches."""

from __future__ import annotations

import math
import random
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations, product

import pytest

from utils.stories import generator as world_of_stories
from utils.stories.generator import (
    Dice,
    Story,
    collision_probability,
    corpus,
    corpus_sha256,
    exact_entropy,
    generate_stories,
    generate_story,
    log_probability,
    nats_of,
    render,
    steps_with_sizes,
    tokens_of,
)
from utils.stories.parser import parse
from utils.stories.reader import coherence, examine, read_story
from utils.stories.source import FOLDER, Source, read_line, read_source
from utils.stories.units import everybody, sentences, vocabulary
from utils.stories.world import Compiler, Pick, Plot, Sequence, Slot, Step, load_world
from utils.tokenizer import Tokenizer

SAMPLE = list(generate_stories(1500, seed=11))
NAMES = everybody()[:40]
COLOURS = [row.columns[0] for row in load_world()[0].slots["colour"].domain.rows]
PLACES = [row.group for row in load_world()[0].slots["place"].domain.rows]


def plot_of(story: Story) -> Plot:
    return next(plot for plot in load_world() if plot.name == story.plot)


# What it tells


def test_the_same_count_and_seed_give_the_same_corpus_on_every_machine():
    assert corpus_sha256(200, 1) == "0b5a1ded11c905931999796583a14e14f4a3d5b8a56269bb0be339d2feafb88a"


def test_the_committed_sample_is_what_the_generator_says():
    text = (FOLDER / "sample.txt").read_text(encoding="utf-8")
    assert text == "".join(f"{document}\n<|endoftext|>\n" for document in corpus(180, seed=2024))
    assert 180_000 < len(text.encode()) < 220_000


def test_the_readme_states_the_true_figures():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    entropy = exact_entropy()
    assert corpus_sha256(180, 2024) in text
    assert f"{entropy.nats_per_story:.2f} nats" in text
    assert f"{entropy.tokens_per_story:.1f} |" in text
    assert f"{entropy.nats_per_token:.4f} nats" in text


def test_a_story_follows_from_its_seed_and_another_seed_gives_another():
    assert generate_story(5) == generate_story(5) == generate_story(random.Random(5))
    assert generate_story(5) == next(generate_stories(1, seed=5))
    assert generate_story(5).text != generate_story(6).text


def test_a_negative_count_or_seed_is_refused():
    with pytest.raises(ValueError, match="zero or more"):
        next(generate_stories(-1, seed=0))
    with pytest.raises(ValueError, match="zero or more"):
        next(generate_stories(1, seed=-3))


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


def test_the_world_has_more_than_1500_words_and_few_that_are_rare():
    seen = Counter(word for story in SAMPLE for word in set(re.findall(r"[a-z][a-z'-]*", story.document.lower())))
    assert len(seen) > 1500
    assert 1500 < len(vocabulary()) < 2600


def test_no_two_stories_are_alike():
    assert len({story.text for story in generate_stories(5_000, seed=3)}) == 5_000
    pairs_in_100_000 = 100_000 * 99_999 / 2
    assert collision_probability() * pairs_in_100_000 < 1e-20


def test_the_probability_of_a_collision_is_right_for_a_single_step():
    step = next(step for step in load_world()[0].steps if step.name == "sad")
    texts = [1 / len(step.options) * p for option in step.options for _, p in expand(option)]
    squares = sum(p * p for p in texts)
    assert squares == pytest.approx(sum(map(world_of_stories.same, step.options)) / len(step.options) ** 2)


def test_a_question_and_a_summary_follow_half_of_the_stories_each():
    questions = sum(bool(story.question) for story in SAMPLE) / len(SAMPLE)
    summaries = sum(bool(story.summary) for story in SAMPLE) / len(SAMPLE)
    assert abs(questions - 0.5) < 0.06
    assert abs(summaries - 0.5) < 0.06
    assert all(bool(story.question) == bool(story.answer) for story in SAMPLE)
    asked = next(story for story in SAMPLE if story.question and story.summary)
    assert asked.document == (
        f"{asked.text}\nQuestion: {asked.question}\nAnswer: {asked.answer}\nSummary: {asked.summary}"
    )


def test_articles_and_marks_are_right():
    for story in SAMPLE:
        assert not re.search(r"\b[Aa] (?:[aeiou]|hon)", story.document.replace("a one", ""))
        assert not re.search(r"\b[Aa]n [^aeiouh]", story.document)
        assert not re.search(r"  |[^ -~\n]|[,.!?]{2}|\w[.!?]\w| [,.!?]|\n\n|[{}\[\]()|]", story.document)
        assert story.document.count('"') % 2 == 0
        assert all(part[0].isupper() or part[0] == '"' for part in sentences(story.document))


def test_importing_reads_no_file_and_needs_no_torch():
    code = (
        "import sys, utils.stories.generator as s; "
        "assert s.load_world.cache_info().currsize == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parent.parent)


# What its dice are worth


def test_a_text_tells_every_choice_that_made_it():
    for story in SAMPLE[:800]:
        (derivation,) = parse(story.document)
        assert derivation.plot == story.plot
        assert derivation.choices == story.choices
        assert derivation.log_probability == pytest.approx(story.log_probability, abs=1e-9)


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
    first = Step("one", (("a fi",), ("a fir",)), ((), ()), False, "")  # a fi-red, a fir-ed
    second = Step("two", tuple((end,) for end in ends), ((), ()), False, "")
    assert is_ambiguous((Plot("p", "", {}, (first, second)),)) == ambiguous


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
        for step, sizes in steps_with_sizes(plot):
            if step.optional:
                continue
            for slot, size in zip(step.new_slots[0], sizes[0], strict=True):
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
    for seed in range(150):
        pieces: list[str] = []
        story = generate_story(seed)
        replay(story, pieces)
        assert "".join(pieces) == story.document
        count, space = tokens_of(tuple(pieces), "", lambda text: len(encode(text)))
        assert (count, space) == (len(encode(story.document)), "")


def replay(story: Story, pieces: list[str]) -> None:
    """Write a story again from its choices, piece by piece."""
    dice, left = Dice(random.Random(0)), iter(story.choices)
    dice.random = lambda: 0.0
    draw = lambda options: next(left)  # noqa: E731
    plot, rows = load_world()[draw(16)], {}
    for step in plot.steps:
        if step.optional and draw(2) == 0:
            continue
        choice = draw(len(step.options))
        for slot in step.new_slots[choice]:
            allowed = plot.allowed(slot, rows)
            rows[slot] = allowed[draw(len(allowed))]
        pieces.append(step.lead)
        render(step.options[choice], rows, draw, pieces)


def test_the_log_probability_of_a_text_is_that_of_its_choices():
    for story in SAMPLE[:50]:
        assert log_probability(story.document) == pytest.approx(story.log_probability, abs=1e-9)
    story = next(story for story in SAMPLE if not story.tail)
    assert log_probability(story.text) == pytest.approx(story.log_probability, abs=1e-9)
    with pytest.raises(ValueError, match="read_story"):
        log_probability(story.text.replace("the", "teh"))


# What its reader catches


def test_the_reader_passes_every_story_by_the_grammar():
    for story in SAMPLE[:200]:
        reading = read_story(story.document)
        assert (reading.score, reading.faults, reading.plot) == (1.0, (), story.plot)


def test_the_reader_passes_stories_sentence_by_sentence_too():
    for story in SAMPLE[200:280]:
        reading = examine(story.document)
        assert (reading.score, reading.faults, reading.plot) == (1.0, (), story.plot)


Plant = Callable[[Story, random.Random], str | None]


def swap_word(text: str, old: str, new: str, rng: random.Random) -> str | None:
    """Replace one of several places of a word."""
    places = list(re.finditer(rf"\b{re.escape(old)}\b", text))
    if len(places) < 2:
        return None
    place = rng.choice(places)
    return text[: place.start()] + new + text[place.end() :]


def like(word: str, words: list[str], rng: random.Random) -> str:
    """Choose another word that takes the same article."""
    same = [other for other in words if other != word and (other[0] in "aeiou") == (word[0] in "aeiou")]
    return rng.choice(same or ["ugly"])


def rows_of(story: Story, *slots: str) -> list[str]:
    """List the values of the first of these slots that the story's plot has."""
    plot = plot_of(story)
    return next(([row.columns[0] for row in plot.slots[s].domain.rows] for s in slots if s in plot.slots), [])


def change(values: list[str], text: str, rng: random.Random) -> str | None:
    """Replace a value that the text mentions by another, in one place."""
    for value in values:
        changed = swap_word(text, value, like(value, values, rng), rng)
        if changed:
            return changed
    return None


def paragraphs(story: Story) -> list[list[str]]:
    return [sentences(paragraph) for paragraph in story.text.split("\n")]


def write(parts: list[list[str]]) -> str:
    return "\n".join(" ".join(part) for part in parts)


def another(story: Story, rng: random.Random) -> Story:
    return rng.choice([other for other in SAMPLE if other.plot != story.plot])


def wrong_pronoun(story, rng):
    return swap_word(story.text, "she", "he", rng) or swap_word(story.text, "he", "she", rng)


def changed_name(story, rng):
    hero = next(name for name in NAMES if re.search(rf"\b{name}\b", story.text))
    return swap_word(story.text, hero, rng.choice([name for name in NAMES if name not in story.text]), rng)


def hero_and_friend_mixed_up(story, rng):
    one, two = sorted((name for name in NAMES if name in story.text), key=story.text.index)[:2]
    parts = paragraphs(story)
    both = [i for i, sentence in enumerate(parts[1]) if one in sentence and two in sentence]
    if not both:
        return None
    swapped = {one: two, two: one}
    parts[1][both[0]] = re.sub(rf"\b({one}|{two})\b", lambda name: swapped[name[0]], parts[1][both[0]])
    return write(parts)


def another_helper(story, rng):
    return change([name for name in everybody()[40:] if name in story.text][:1] + ["Granny Nobody"], story.text, rng)


def swapped_thing(story, rng):
    slots = ("thing", "toy", "craft", "roof", "event", "fruit", "cake", "flower", "baby", "instrument", "remedy")
    return change(rows_of(story, *slots), story.text, rng)


def wrong_colour(story, rng):
    return change([colour for colour in COLOURS if colour != "golden"], story.text, rng)


def wrong_count(story, rng):
    numbers = rows_of(story, "number", "sum")
    told = next((number for number in numbers if len(re.findall(rf"\b{number}\b", story.text)) > 1), None)
    other = rng.choice([number for number in numbers if number != told] or [""])
    return swap_word(story.text, told, other, rng) if told else None


def other_place(story, rng):
    found = [match for place in PLACES for match in re.finditer(rf"\bthe {place}\b", story.text)]
    if not found:
        return None
    place = found[-1]
    return story.text[: place.start()] + "the " + like(place[0][4:], PLACES, rng) + story.text[place.end() :]


def hiding_place_of_another_place(story, rng):
    if "spot_a" not in plot_of(story).steps[5].new_slots[0]:
        return None
    domain = plot_of(story).slots["spot_a"].domain
    here = next(row for row in domain.rows if row.columns[0] in story.text)
    there = rng.choice([row for row in domain.rows if row.group != here.group])
    return story.text.replace(here.columns[0], there.columns[0])


def misspelt_word(story, rng):
    words = list(re.finditer(r"\b[a-z]{5,}\b", story.text))
    word = rng.choice([word for word in words if word[0][:2] != word[0][1::-1]])
    wrong = word[0][1] + word[0][0] + word[0][2:]
    return None if wrong in vocabulary() else story.text[: word.start()] + wrong + story.text[word.end() :]


def wrong_article(story, rng):
    article = re.search(r"\ba (?=[b-df-hj-np-tv-z])", story.text)
    return story.text[: article.start()] + "an " + story.text[article.end() :]


def missing_step(story, rng):
    parts, steps = paragraphs(story), [step for step in plot_of(story).steps if step.name == "lesson"]
    parts[2] = parts[2][-1:] if steps else parts[2]
    parts[-2] = parts[-2][:-1]
    return write(parts)


def missing_opening(story, rng):
    parts = paragraphs(story)
    return write([parts[0][1:], *parts[1:]])


def missing_end(story, rng):
    return write(paragraphs(story)[:-1])


def swapped_sentences(story, rng):
    parts = paragraphs(story)
    parts[1][1], parts[1][-1] = parts[1][-1], parts[1][1]
    return write(parts)


def repeated_sentence(story, rng):
    parts = paragraphs(story)
    place = rng.randrange(len(parts[1]))
    parts[1].insert(place, parts[1][place])
    return write(parts)


def sentence_of_another_plot(story, rng):
    parts, others = paragraphs(story), paragraphs(another(story, rng))
    parts[1][1] = others[1][1]
    return write(parts)


def sentence_from_nowhere(story, rng):
    parts = paragraphs(story)
    parts[1].insert(2, "The next day it was all about the same.")
    return write(parts)


def ending_of_another_plot(story, rng):
    return write([*paragraphs(story)[:-1], paragraphs(another(story, rng))[-1]])


def cut_off(story, rng):
    words = story.text.split(" ")
    return " ".join(words[: rng.randrange(60, len(words) - 8)]).rstrip('.!?,"')


def words_in_disorder(story, rng):
    parts = paragraphs(story)
    words = parts[1][0].rstrip('."!?').split()
    parts[1][0] = " ".join(words[::-1]).capitalize() + "."
    return write(parts)


def wrong_answer(story, rng):
    answers = {other.answer for other in SAMPLE if other.question.split()[:2] == story.question.split()[:2]}
    wrong = sorted(answers - {story.answer, ""})
    return f"{story.text}\nQuestion: {story.question}\nAnswer: {rng.choice(wrong)}" if story.answer and wrong else None


def no_answer(story, rng):
    return f"{story.text}\nQuestion: {story.question}" if story.question else None


def wrong_summary(story, rng):
    if not story.summary:
        return None
    hero = next((name for name in NAMES if name in story.summary), None)
    other = rng.choice([name for name in NAMES if name not in story.text])
    return f"{story.text}\nSummary: {story.summary.replace(hero, other)}" if hero else None


PLANTS: list[tuple[Plant, str]] = [
    (wrong_pronoun, "pronoun"),
    (changed_name, "name"),
    (hero_and_friend_mixed_up, "name"),
    (another_helper, "name|spelling"),
    (swapped_thing, "thing|spelling"),
    (wrong_colour, "colour|spelling|sentence"),
    (wrong_count, "count|sentence"),
    (other_place, "place"),
    (hiding_place_of_another_place, "place"),
    (misspelt_word, "spelling"),
    (wrong_article, "sentence|kind|place|trait"),
    (missing_step, "missing"),
    (missing_opening, "missing"),
    (missing_end, "ending"),
    (swapped_sentences, "order|missing"),
    (repeated_sentence, "repeated"),
    (sentence_of_another_plot, "plot|order"),
    (sentence_from_nowhere, "sentence"),
    (ending_of_another_plot, "ending"),
    (cut_off, "cut off|ending"),
    (words_in_disorder, "sentence|missing|spelling"),
    (wrong_answer, "answer"),
    (no_answer, "answer"),
    (wrong_summary, "name"),
]


@pytest.mark.parametrize(("plant", "kinds"), PLANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_reader_catches_each_planted_mistake(plant: Plant, kinds: str):
    rng, planted = random.Random(1), 0
    for story in SAMPLE[400:900]:
        text = plant(story, rng)
        if text is None or planted == 12:
            continue
        planted += 1
        reading = read_story(text)
        found = {fault.kind for fault in reading.faults}
        assert found & set(kinds.split("|")), (found, text)
        assert reading.score < 1
        assert all(fault.why and (not fault.number or fault.sentence) for fault in reading.faults)
    assert planted == 12


def test_a_fault_names_its_sentence_and_the_reason():
    story = next(story for story in SAMPLE if story.plot == "lost")
    told = sentences(story.text)
    text = story.text.replace(told[4], told[4].replace("a", "qu", 1))
    (fault,) = read_story(text).faults
    assert fault.number == 5
    assert fault.sentence == told[4].replace("a", "qu", 1)
    assert fault.kind == "spelling"
    assert "no word" in fault.why or "elsewhere" in fault.why


def test_the_score_is_the_share_of_sentences_in_order():
    story = next(story for story in SAMPLE if not story.tail)
    told = len(sentences(story.text))
    worse = story.text.replace(sentences(story.text)[5], "This is not a sentence of the world.")
    assert read_story(worse).score == pytest.approx(1 - 1 / told)
    assert read_story("Hello there. " * 300).score == 0
    assert coherence([story.text, "Hello there. " * 300]) == 0.5


def test_the_reader_survives_any_text():
    texts = ["", " \n", "Zoë läuft 😀", '"', ". . .", "a" * 5000, "Question: Why?\nAnswer: No.", "{}[]()|\\"]
    assert [read_story(text).score for text in texts] == [0.0] * len(texts)
    glued = "\n".join(story.text for story in SAMPLE[:4])
    assert 0 < read_story(glued).score < 0.5
    with pytest.raises(ValueError, match="no texts"):
        coherence([])


# What the grammar's files may not say


def compile_lines(*lines: str) -> Compiler:
    source, section = Source(), None
    for line in lines:
        section = read_line(source, section, line)
    return Compiler(source)


def test_a_row_with_too_few_columns_is_refused():
    with pytest.raises(ValueError, match="has 1 columns"):
        compile_lines("places: first; at", "  forest = in a forest")


def test_groups_of_unequal_size_are_refused_where_the_group_matters():
    lines = ("names: name", "  she = Mia", "  he = Tom", "kinds: kind", "  she = girl | fox", "  he = boy")
    with pytest.raises(ValueError, match="should be equal"):
        compile_lines(*lines, "slots:", "  hero = names", "  hkind = kinds by hero")


def test_a_reference_and_a_bracket_out_of_place_are_refused():
    compiler = compile_lines("names: name", "  she = Mia", "slots:", "  hero = names")
    assert compiler.sequence("[hero] sat.")[1] == " sat."
    with pytest.raises(KeyError):
        compiler.sequence("[nobody] sat.")
    with pytest.raises(ValueError, match="no reference"):
        compiler.sequence("[the big hero] sat.")
    with pytest.raises(ValueError, match="Unexpected"):
        compiler.sequence("[hero] sat) down.")


def test_a_missing_file_says_where_the_world_lives(tmp_path):
    with pytest.raises(FileNotFoundError, match="data/stories"):
        read_source(tmp_path / "world.txt")
