"""Commands for learners: from texts to a model that chats. Each is thin; the work is in the module it imports."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tools.commands import expect, read_words, write_bins
from utils.errors import CourseError
from utils.files.progress import progress as counted


def prepare(
    source: str,  # a file, or a folder of them
    /,
    *,
    out: str = "data/prepared",  # folder for the result
    held_out: float = 0.1,  # share that is held out
    seed: int = 0,  # which documents are held out
    clean: bool = False,  # mend line ends, control characters and the like
    steps: str = "",  # clean with these steps, parted by commas; all takes all
    dedupe: Literal["", "exact", "near"] = "",  # leave out copies, or near copies too
    split: Literal["documents", "chunks"] = "documents",  # what is never parted
    chunk: int = 4000,  # characters of a chunk
    columns: str = "",  # fields that make the text, in this order, parted by commas
    instructions: bool = False,  # learn only answers, the last column
    errors: Literal["strict", "replace", "skip"] = "strict",  # what becomes of text that is not UTF-8
) -> None:
    """Turn texts (TXT, CSV, JSON, XML, TFRecord, PDF) into train.bin and validate.bin."""
    from utils.texts.cleaning import ALL, GENTLE
    from utils.texts.corpus import BinSettings

    expect(0, 1, held_out=held_out)
    expect(1, chunk=chunk)
    named, fields = (tuple(filter(None, map(str.strip, words.split(",")))) for words in (steps, columns))
    chosen = ALL if named == ("all",) else named or GENTLE
    settings = BinSettings(held_out, seed, clean or bool(named), chosen, errors, dedupe, split=split, chunk=chunk,
                           columns=fields, instructions=instructions)  # fmt: skip
    write_bins(source, out, settings)


def stories(
    *,
    count: int = 120_000,  # documents
    seed: int = 1,  # another seed, other stories
    held_out: float = 0.007,  # share that is held out
    out: str = "data/prepared/stories",  # folder for the result
) -> None:
    """Write our story world's corpus as train.bin and validate.bin."""
    from utils.stories.generator import corpus
    from utils.texts.corpus import BinSettings
    from utils.texts.records import Document

    expect(1, count=count)
    expect(0, 1, held_out=held_out)
    told = counted(enumerate(corpus(count, seed)), "telling stories", count)
    write_bins([Document(f"story {i}", text) for i, text in told], out, BinSettings(fraction=held_out, seed=seed))


def train(*words: str) -> None:
    """Train from zero or from weights: recipe=FILE, and settings as max_steps=5 or --max-steps 5."""
    from utils.training.recipes import TrainingRecipe, run_recipe

    run_recipe(read_words(TrainingRecipe, words, "train [recipe=FILE]"))


def chat(*words: str) -> None:
    """Talk to a MODEL in the terminal, or to several side by side; settings as temperature=0.8; quit ends it."""
    from utils.serve.chat import ChatSettings, Conversation, RoundTable, part_words

    models, settings = part_words(read_words(ChatSettings, words, "chat [MODEL ...] [--log FILE]"))
    log = ([word[4:] for word in settings if word.startswith("log=")] or ["chat_log.csv"])[-1]
    settings = [word for word in settings if not word.startswith("log=")]
    talk = RoundTable.open(models, settings, log) if len(models) > 1 else Conversation.open(models[0], settings, log)
    talk.run()


def serve(
    models: tuple[str, ...] = (),  # sizes, folders or files; without, nano and what is at hand
    /,
    *,
    port: int | None = None,  # without, the first free one from 7860 on
    host: str = "127.0.0.1",  # 0.0.0.0 lets your network in
    share: bool = False,  # ask Gradio for a public link, through its servers
    log: str = "chat_log.csv",  # where the chat is kept; empty: nowhere
    most_tokens: int = 500,  # of one answer
    most_waiting: int = 64,  # people in the queue
    per_visitor: int = 2,  # requests of one address at a time; more where a class shares one
    export: str = "",  # serve nothing; write a folder of this name that serves the first model
    engine: Literal["ours", "llama.cpp", "llama.cpp:8", "llama.cpp:4"] = "ours",  # faster; 16, 8 and 4 bits a weight
) -> None:
    """Open a web page that continues texts and chats, on this machine only."""
    from utils.serve.server import Limits, find_choices, name_choices

    expect(1, 65535, port=port)
    expect(1, most_tokens=most_tokens, most_waiting=most_waiting, per_visitor=per_visitor)
    if export:
        from utils.serve.export import export_app

        return print(f"{export_app(models[0] if models else 'nano', export)} is ready: python app.py in it serves it.")
    from utils.serve.page import Address, serve

    limits = Limits(new_tokens=most_tokens, waiting=most_waiting, per_visitor=per_visitor)
    choices = name_choices(models) if models else find_choices()
    if engine != "ours":
        from utils.serve.chat import ENGINES
        from utils.serve.llama_cpp import in_llama_cpp

        choices = in_llama_cpp(choices, limits.at_once, ENGINES[engine])
    serve(choices, limits, Address(host, port, share), log)


def page(
    model: str,  # a size, a folder, a file or a recipe, such as runs/mine
    /,
    *,
    out: str,  # folder for the page
    data: str = "",  # prepared texts of a model from zero: only their tokens travel; a recipe names its own
    title: str = "",  # without, the model's name
    prompt: str = "",  # the text that stands there at first
    views: str = "sampling,attention",  # and lens, bits, network
    large: bool = False,  # even if visitors then load more than nano's 6 MB
) -> None:
    """Write a folder that any web server can hand out, with a model alive in its page."""
    from tools.web.page import write_page

    chosen = [view.strip() for view in views.split(",")]
    written = write_page(model, Path(out), title, prompt, chosen, data, large)
    print(f"{out} is ready: {written.nbytes / 1e6:.1f} MB to load, {written.tokens:,} tokens that it may write.")
    print(f"Look at it: python -m http.server -d {out}, then http://localhost:8000. Any static host takes the folder.")


def compare(
    models: tuple[str, ...] = ("nano",),  # sizes, folders or files; the table keeps their order
    /,
    *,
    text: str = "",  # a text or a folder that nobody was trained on; fresh stories unless given
    join: Literal["plain", "rows"] = "plain",  # rows joins lines as WikiText's published perplexity has them
    context: int = 1024,  # of the protocol
    stride: int | None = None,  # of the protocol; the context unless given
    tokens: int = 20_000,  # at most so many; 0 takes all
    stories: int = 0,  # so many from each, for coherence
    training: str = "",  # a training text or folder: how much of it do they recite?
    out: str = "",  # a CSV file for the table
) -> None:
    """Let models sit the same exam: loss, perplexity, coherence, memorization."""
    from tools.commands.evaluation import join_rows, to_table
    from utils.evaluate import FRESH, Candidate, Exam, Protocol, compare_models
    from utils.loaders import load_with_tokenizer
    from utils.stories.generator import corpus
    from utils.texts.memorization import Phrases
    from utils.texts.reading import read_documents

    expect(1, context=context, stride=stride)
    expect(0, tokens=tokens, stories=stories)
    texts = [each.text for each in read_documents(text)] if text else list(corpus(200, FRESH))
    if join == "rows":
        texts = [join_rows(each) for each in texts]
    known = counted(read_documents(training), "training text, documents", after=2.0) if training else ()
    phrases = Phrases(each.text for each in known) if training else None
    protocol = Protocol(context, stride or context)
    exam = Exam(texts, protocol, tokens or 10**12, stories, phrases)
    candidates = (Candidate(name, *load_with_tokenizer(name)) for name in models)
    results = compare_models(counted(candidates, "models", len(models)), exam)  # one in memory at a time
    table = to_table(results)
    print(f"{results[0].score.tokens:,} tokens of {text or 'fresh stories'}, joined {join}, {protocol}")
    print(table.to_string())
    if out:
        from utils.files.whole_files import write_whole

        write_whole(Path(out), lambda file: file.write(table.to_csv(lineterminator="\n").encode()))


def judge(
    model: str = "nano",  # a size, a folder or a file
    /,
    *,
    documents: int = 500,  # fresh ones for the loss
    stories: int = 200,  # how many it tells
    seed: int = 0,  # of the telling
    out: str = "",  # a JSON file for the figures and all the stories
) -> None:
    """Let a model tell stories, and measure them: loss, coherence, memorization."""
    from tools.commands.evaluation import judge
    from utils.loaders import load_gpt2

    expect(1, documents=documents, stories=stories)
    verdict, told = judge(load_gpt2(model), documents, stories, seed)
    print(verdict)
    if out:
        verdict.save(out, told)


def quantize(
    model: str,  # a size, a folder or a file
    /,
    *,
    out: str,  # folder for the result
    method: Literal["rtn", "gptq", "awq", "mixed", "nf4"] = "rtn",  # how to round
    bits: float = 4,  # 2 to 8; for mixed the average
    group: str = "64",  # weights that share a scale, or row, or tensor
    asymmetric: bool = False,  # give each group a zero of its own
    act_order: bool = False,  # for gptq and mixed: largest inputs first
    head: bool = False,  # 8 bits for head and token embedding, too
    calibration: str = "",  # a text or .bin for gptq, awq and mixed; stories for nano
    rows: int = 64,  # rows of calibration text
    context: int = 256,  # tokens of each row
) -> None:
    """Write a model with fewer bits."""
    from utils.config import format_bytes
    from utils.formats.quantized_files import FILE, save_quantized
    from utils.loaders import load_gpt2
    from utils.quantize.quantized_linear import bits_per_weight, layer_shapes, plan_of
    from utils.quantize.recipe import NEED_TEXT, QuantizationRecipe, apply_recipe, calibration_rows

    expect(2, 8, bits=bits)
    expect(1, rows=rows, context=context)
    size = int(group) if group.isdigit() else group
    recipe = QuantizationRecipe(method, bits, size, not asymmetric, head, act_order)
    loaded = load_gpt2(model)
    needs_text = recipe.method in NEED_TEXT
    text = calibration_rows(loaded, _tokens(calibration, model), rows, context) if needs_text else None
    apply_recipe(loaded, recipe, text)
    file = save_quantized(loaded, out) / FILE
    each = bits_per_weight(plan_of(loaded), layer_shapes(loaded))
    taken = format_bytes(file.stat().st_size)
    print(f"{file} has {taken}; its quantized weights take {each:.2f} bits each, scales included.")


def quantize_table(
    model: str,  # a size, a folder or a file
    /,
    *,
    out: str,  # folder for the table (CSV, Markdown) and the picture
    held_out: str = "",  # a text or .bin to measure on; stories for nano
    tokens: int = 5_120,  # how much of it
    stories: int = 0,  # so many stories, for their coherence
    calibration: str = "",  # a text or .bin for gptq, awq and mixed; stories for nano
    rows: int = 64,  # rows of calibration text
    context: int = 256,  # tokens of each row
) -> None:
    """Compare methods, bits and groups on one model: table.csv, table.md and table.png."""
    from tools.quantization_table import HEADER, Texts, compare_recipes, format_row, storyteller, to_markdown, write_csv
    from utils.loaders import load_gpt2
    from utils.plots.quantization import costs_and_gains
    from utils.quantize.recipe import HELD_OUT_SEED, calibration_rows, check_tokens

    expect(1, tokens=tokens, rows=rows, context=context)
    expect(0, stories=stories)
    loaded, measured = load_gpt2(model), _tokens(held_out, model, HELD_OUT_SEED)[: tokens + 1]
    check_tokens(loaded, measured)
    known = calibration_rows(loaded, _tokens(calibration, model), rows, context)
    print(HEADER)
    texts = Texts(known, measured, context, storyteller(loaded, stories))
    found = compare_recipes(loaded, texts, show=lambda row: print(format_row(row), flush=True))
    folder = Path(out)
    write_csv(found, folder / "table.csv")
    (folder / "table.md").write_text(to_markdown(found) + "\n", encoding="utf-8")
    costs_and_gains(found, f"{model} with fewer bits (method bits/group)").savefig(folder / "table.png", dpi=120)
    print(f"{folder} holds table.csv, table.md and table.png.")


def _tokens(path: str, model: str, seed: int | None = None):
    """Read the tokens of a file; nano was made with stories and needs none."""
    from utils.quantize.recipe import read_tokens, story_tokens

    if path:
        return read_tokens(path)
    if model != "nano":
        raise CourseError(f"{model} needs a text like those it was made with: give --calibration and --held-out FILE.")
    return story_tokens() if seed is None else story_tokens(seed=seed)


def convert(
    model: str,  # a size, a folder or a file
    /,
    *,
    out: str,  # the folder to write
    dtype: str = "float16",  # float32, bfloat16 or float16
) -> None:
    """Write a model in another number format, as a folder for us and transformers."""
    from utils.loaders import load_gpt2, save_gpt2
    from utils.machine import parse_dtype

    save_gpt2(load_gpt2(model, parse_dtype(dtype)), out)
    print(f"{out} holds the weights in {dtype}")


def inspect(
    path: str,  # a file, a folder or a size
    /,
) -> None:
    """Say what is in a file of weights, without loading it."""
    from utils.formats.inspect_model import inspect_file

    print("\n".join(inspect_file(path)))


def size(
    name: str = "",  # nano, small, medium, large or xl; without one, say what is chosen
    /,
) -> None:
    """Choose the size that every notebook starts with, until you choose nano again; or say which it is."""
    from utils.session import choose_size, remember_size

    if name:
        return print(remember_size(name.lower()))
    chosen = choose_size()
    print(f"{chosen.size}{chosen.note}")


def prefetch(
    sizes: tuple[str, ...] = (),  # small, medium, large, xl
    /,
) -> None:
    """Download sizes once, to work offline for good."""
    from utils.files.hub import prefetch

    if not sizes:
        raise CourseError("No size was named, expected some of small, medium, large, xl.")
    prefetch(sizes)


def capstone(
    folder: str = "",  # of another adapter.py than exercises/capstone
    /,
    *,
    part: tuple[int, ...] = (),  # look at these parts only, by their numbers
    train: bool = False,  # ten minutes of training of your own model, to a loss that is stated before
) -> int:
    """Say how far your own GPT-2 is, part by part, or train it."""
    from tools.capstone.adapter import HOME
    from tools.capstone.record import record_loss, record_parts

    place = Path(folder) if folder else HOME
    if train:
        from tools.capstone.training import train_own

        trained = train_own(place)
        record_loss(place, trained.loss)
        return int(not trained.reached)
    from tools.capstone.report import DONE, lines_of, stand

    standings = stand(place, part)
    if not part:
        record_parts(place, [each.part.number for each in standings if each.state == DONE])
    print("\n".join(lines_of(standings)))
    return int(any(each.state != DONE for each in standings))


def progress() -> None:
    """Say what you have read and passed in this folder, and what comes next with its minutes."""
    from tools.progress import report

    print("\n".join(report()))


def update() -> None:
    """Bring the newest version of the course, and keep every notebook that you have written in."""
    from tools.learner.update import update_course

    for line in update_course():
        print(line)
