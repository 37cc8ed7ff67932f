"""GPT-2 in web pages: the page computes what our model computes, and each view answers mouse, keys and words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.browsers import IN_BROWSER, serious, served
from tools.__main__ import main
from tools.web.model_file import GRID, known_tokens, page_weights
from tools.web.page import VIEWS, write_page
from utils.config import GPT2Config
from utils.errors import CourseError
from utils.loaders import load_with_tokenizer, save_gpt2
from utils.model import GPT2
from utils.quantize.grids import Grid, quantize
from utils.quantize.quantized_linear import quantize_model
from utils.sampling import Sampling, generate, shape_logits
from utils.texts.bins import tokenize_to_bin
from utils.texts.records import Document
from utils.tokenizer import CharTokenizer, Tokenizer

PROMPT = "Once upon a time, there lived a hedgehog named"
LOGITS = "return [...await new gpt2.Reading(model.gpt2).read(parts.encode(model, value).rows)]"
STORY = "Zoe was a clever little piglet who lived by the sea. Zoe liked Jack most"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A page of nano with every view."""
    out = tmp_path_factory.mktemp("page")
    write_page("nano", out, prompt=PROMPT, views=tuple(VIEWS))
    return out


@pytest.fixture(scope="module")
def nano():
    """Nano with the weights that its page has, and its tokenizer."""
    model, tokenizer = load_with_tokenizer("nano")
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.data = quantize(weight.data, GRID).dequantize()
    return model, tokenizer


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    with served(folder) as address:
        yield address


# What is written


def test_a_page_holds_the_tokens_that_nano_knows_and_one_row_for_all_others(folder):
    about = json.loads((folder / "live" / "model" / "model.json").read_text(encoding="utf-8"))
    table = next(tensor for tensor in about["tensors"] if tensor["name"] == "token_embedding.weight")
    assert about["config"]["vocab"] == 2925 and table["shape"] == [2926, 256]
    matrices = [tensor["shape"] for tensor in about["tensors"] if tensor["group"]]
    assert (folder / "live" / "model" / "finer.bin").stat().st_size == sum(a * b for a, b in matrices) // 2
    assert (folder / "live" / "model" / "model.bin").stat().st_size == about["bytes"] < 6_100_000


def test_a_model_that_knows_every_token_keeps_them_all():
    table = torch.randn(300, 16, generator=torch.manual_seed(0))
    assert known_tokens(table, 300) is None
    table[50:] = table[50] + 0.002 * torch.randn(250, 16)
    assert known_tokens(table, 300).tolist() == list(range(50))


def test_a_packed_model_is_written_with_the_weights_that_its_codes_stand_for():
    torch.manual_seed(0)
    plain = GPT2(GPT2Config(2, 2, 16, vocab_size=40, context=32))
    packed = quantize_model(GPT2(plain.config), Grid(4, group=16))
    packed.load_state_dict(quantize_model(plain, Grid(4, group=16)).state_dict())
    weights = dict(page_weights(packed, None, 40))
    assert torch.equal(weights["blocks.1.mlp.up.weight"], packed.blocks[1].mlp.up.weight)
    assert "head.weight" not in weights


def test_a_large_model_is_refused_with_its_megabytes(tmp_path):
    save_gpt2(GPT2(GPT2Config(1, 2, 64, vocab_size=300_000, context=8)), tmp_path / "wide")
    with pytest.raises(CourseError, match=r"would load 20 MB.*--large"):
        write_page(tmp_path / "wide", tmp_path / "page")
    assert not (tmp_path / "page").exists()
    written = write_page(tmp_path / "wide", tmp_path / "page", large=True)
    assert written.tokens == 50_257, "rows beyond the tokenizer's tokens may never be written"


def test_the_command_writes_a_page_and_says_how_to_look_at_it(tmp_path, capsys):
    save_gpt2(GPT2(GPT2Config(1, 2, 16, vocab_size=50_257, context=8)), tmp_path / "run")
    assert main(["page", str(tmp_path / "run"), "--out", str(tmp_path / "page"), "--title", "Mine"]) == 0
    assert "python -m http.server -d" in capsys.readouterr().out
    assert "<h1>Mine</h1>" in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert main(["page", str(tmp_path / "run"), "--out", str(tmp_path / "page"), "--views", "telescope"]) == 1
    assert "'telescope' is no view" in capsys.readouterr().err


def test_of_a_model_from_zero_only_the_tokens_of_its_texts_travel(tmp_path):
    tokenizer = Tokenizer.gpt2()
    texts = [Document("one", "the owl sat on the gate"), Document("two", "an owl on a gate")]
    tokenize_to_bin(texts, tmp_path / "bins", tokenizer)
    save_gpt2(GPT2(GPT2Config(1, 2, 16, vocab_size=50_257, context=16)), tmp_path / "run")
    recipe = tmp_path / "own.yaml"
    recipe.write_text(f"out: {tmp_path / 'run'}\ndata: {tmp_path / 'bins'}\n", encoding="utf-8")
    written = write_page(recipe, tmp_path / "page")
    about = json.loads((tmp_path / "page/live/model/model.json").read_text(encoding="utf-8"))
    used = {token for text in texts for token in tokenizer.encode(text.text)} | {tokenizer.end_of_text}
    assert about["tokenizer"]["known"] == sorted(used) and written.tokens == len(used)
    with pytest.raises(CourseError, match=r"train.bin was not found"):
        write_page(tmp_path / "run", tmp_path / "page", data=tmp_path / "nowhere")


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(CourseError, match="holds something else"):
        write_page("nano", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_page_names_no_other_host(folder):
    text = "".join(
        file.read_text(encoding="utf-8") for file in folder.rglob("*.*") if file.suffix in (".html", ".js", ".css")
    )
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}


# In a browser


@pytest.fixture
def opened(visit, address):
    """The page in a browser, with all views alive; it must not fail or ask another host."""
    visit.page.goto(address)
    for view in VIEWS:
        place = visit.page.locator(f"[data-live={view}]")
        place.scroll_into_view_if_needed()
        place.and_(visit.page.locator("[data-ready]")).wait_for()
    yield visit.page
    assert visit.outside == set() and visit.errors == []


def in_page(page, body: str, value: object = None) -> object:
    """Run JavaScript with the page's own modules and the loaded model."""
    modules = (
        "const [load, gpt2, sampling, quantize, parts] = await Promise.all("
        + str([f"./live/{name}.js" for name in ("load", "gpt2", "sampling", "quantize", "parts")])
        + ".map((name) => import(new URL(name, document.baseURI))));"
    )
    model = "const model = (window.model ??= await load.loadModel(new URL('live/model/', document.baseURI)));"
    return page.evaluate(f"async (value) => {{ {modules} {model} {body} }}", value)


@pytest.fixture(scope="module")
def page(browser, address):
    """A page whose modules tests call directly."""
    page = browser.new_page()
    page.goto(address)
    yield page
    page.close()


class TestTheEngine:
    pytestmark = IN_BROWSER

    def test_logits_are_ours(self, page, nano):
        model, tokenizer = nano
        for text in (PROMPT, STORY, "A"):
            own = in_page(page, LOGITS, text)
            with torch.inference_mode():
                ours = model(torch.tensor([tokenizer.encode(text)]))[0, -1]
            known = torch.from_numpy(
                known_tokens(load_with_tokenizer("nano")[0].token_embedding.weight.detach(), 50257)
            )
            torch.testing.assert_close(torch.tensor(own), ours[known], atol=1e-4, rtol=1e-4)

    def test_without_webassembly_the_same_is_computed(self, page):
        body = """const {rows} = parts.encode(model, value), {kernel} = model.gpt2;
            const fast = [...await new gpt2.Reading(model.gpt2).read(rows)];
            model.gpt2.kernel = null;
            const plain = [...await new gpt2.Reading(model.gpt2).read(rows)];
            model.gpt2.kernel = kernel;
            return [kernel !== null, fast, plain]"""
        is_fast, fast, plain = in_page(page, body, STORY)
        assert is_fast
        torch.testing.assert_close(torch.tensor(fast), torch.tensor(plain), atol=1e-4, rtol=1e-4)

    def test_eight_bits_move_no_probability_by_two_hundredths(self, nano):
        whole, tokenizer = load_with_tokenizer("nano")
        for text in (PROMPT, STORY):
            ids = torch.tensor([tokenizer.encode(text)])
            with torch.inference_mode():
                assert float((whole(ids).softmax(-1) - nano[0](ids).softmax(-1)).abs().max()) < 0.02

    def test_four_finer_bits_are_near_enough_to_16(self, page):
        whole, tokenizer = load_with_tokenizer("nano")
        body = """const {rows} = parts.encode(model, value), finer = await load.loadFiner(model.folder, model);
            return [...gpt2.softmax(await new gpt2.Reading(finer).read(rows))]"""
        known = in_page(page, "return model.tokenizer.known")
        for text in (PROMPT, STORY):
            with torch.inference_mode():
                ours = whole(torch.tensor([tokenizer.encode(text)]))[0, -1].softmax(-1)[known]
            torch.testing.assert_close(torch.tensor(in_page(page, body, text)), ours, atol=0.002, rtol=0)

    def test_greedy_text_is_ours(self, page, nano):
        model, tokenizer = nano
        ids = tokenizer.encode(PROMPT)
        (ours,) = generate(model, [ids], Sampling(max_new=60, temperature=0))
        body = """const {rows} = parts.encode(model, value), reading = new gpt2.Reading(model.gpt2);
            const written = await parts.writeGreedily(reading, rows, 60, -1, () => false);
            return model.tokenizer.decode(written.map((row) => model.tokenizer.id(row)))"""
        assert in_page(page, body, PROMPT) == tokenizer.decode(ours)

    def test_a_head_that_is_knocked_out_adds_nothing(self, page, nano):
        model, tokenizer = nano
        ids = tokenizer.encode(STORY)
        body = """const muted = new Set(["1.2", "3.0"]), reading = new gpt2.Reading(model.gpt2, {muted, keep: true});
            await reading.read(parts.encode(model, value).rows);
            return [...reading.stream]"""

        def mute(layer: int, head: int):
            def cut(module, inputs):
                (mixed,) = inputs
                mixed = mixed.clone()
                mixed[..., 64 * head : 64 * (head + 1)] = 0
                return (mixed,)

            return model.blocks[layer].attention.out.register_forward_pre_hook(cut)

        seen = []
        hooks = [mute(1, 2), mute(3, 0), model.blocks[-1].register_forward_hook(lambda *all: seen.append(all[2]))]
        with torch.inference_mode():
            model(torch.tensor([ids]))
        for hook in hooks:
            hook.remove()
        torch.testing.assert_close(torch.tensor(in_page(page, body, STORY)), seen[0][0, -1], atol=1e-4, rtol=1e-4)

    def test_text_is_encoded_and_decoded_as_ours(self, page, nano):
        tokenizer = nano[1]
        texts: list[str] = ["", " a  b\n\n c", "It's 10 o'clock, 世界 🙂!\u0085\ufeff\u00a0x", "naïve Ⅷ ½ e\u0301"]

        @given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cn"])), min_size=5, max_size=5))
        def collect(more):
            texts.extend(more)

        collect()
        body = "return value.map((text) => model.tokenizer.encode(text).ids)"
        assert in_page(page, body, texts) == tokenizer.encode_batch(texts)
        body = "return value.map((ids) => model.tokenizer.decode(ids))"
        assert in_page(page, body, tokenizer.encode_batch(texts)) == texts

    @pytest.mark.parametrize(
        "settings",
        [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1}, {"temperature": 0},
         {"temperature": 1.4, "top_k": 20, "top_p": 0.9, "min_p": 0.02}],
    )  # fmt: skip
    def test_the_draw_is_shaped_as_ours(self, page, settings):
        logits = 3 * torch.randn(500, generator=torch.manual_seed(1))
        names = {"temperature": "temperature", "top_k": "topK", "top_p": "topP", "min_p": "minP"}
        given = {names[name]: value for name, value in settings.items()}
        body = "return [...sampling.probabilities(Float32Array.from(value[0]), {...sampling.ALL, ...value[1]})]"
        own = torch.tensor(in_page(page, body, [logits.tolist(), given]), dtype=torch.float32)
        shaped = shape_logits(logits[None], Sampling(**settings))[0]
        ours = shaped.softmax(-1) if settings.get("temperature", 1) else (shaped == shaped.max()).float()
        assert torch.equal(own > 0, ours > 0)
        torch.testing.assert_close(own, ours, atol=1e-6, rtol=1e-4)

    @pytest.mark.parametrize(("bits", "group"), [(4, 64), (2, 16), (3, 32), (8, 256)])
    def test_weights_are_rounded_to_our_codes(self, page, bits, group):
        weight = torch.randn(24, 256, generator=torch.manual_seed(bits)) * 0.1
        weight[3] = 0
        body = """const [weight, bits, group] = [Float32Array.from(value[0]), value[1], value[2]];
            const small = quantize.quantize(weight, 256, bits, group);
            const values = quantize.dequantize(small, 256, bits, group);
            return [[...small.codes], [...small.scales], [...values], small.bytes]"""
        codes, scales, values, size = in_page(page, body, [weight.flatten().tolist(), bits, group])
        ours = quantize(weight, Grid(bits, group))
        assert codes == ours.codes.flatten().tolist() and size == ours.nbytes
        assert scales == ours.scales.float().flatten().tolist()
        assert torch.equal(torch.tensor(values), ours.dequantize().flatten())

    def test_a_seed_repeats_its_draws_and_they_follow_the_probabilities(self, page):
        body = """const draws = (seed) => { const next = sampling.random(seed), counts = [0, 0, 0];
              for (let i = 0; i < 6000; i++) counts[sampling.draw([0.5, 0.3, 0.2], next())]++;
              return counts };
            return [draws(7), draws(7), draws(8)]"""
        first, again, other = in_page(page, body)
        assert first == again != other
        for counts in (first, other):
            assert [count / 6000 for count in counts] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


class TestViews:
    pytestmark = IN_BROWSER

    def test_sliders_bend_the_draw_while_they_move(self, opened):
        view = opened.locator("[data-live=sampling]")
        shares = view.locator(".bars .share")
        before = shares.all_inner_texts()
        view.get_by_role("slider", name="Temperature", exact=True).fill("1.5")
        assert shares.all_inner_texts() != before
        view.get_by_role("slider", name="Top-k", exact=True).fill("3")
        assert shares.all_inner_texts()[3:] == ["out"] * 7
        assert "3 tokens are left in the draw" in view.locator(".said").inner_text()

    def test_a_token_is_taken_by_mouse_and_keys_and_given_back(self, opened):
        view, token = opened.locator("[data-live=sampling]"), ".paper .token"
        first = view.locator(".bars button").first
        name = first.locator("code").inner_text()
        first.click()
        view.locator(token).wait_for()
        assert view.locator(token).inner_text().replace(" ", "·") == name
        opened.keyboard.press("ArrowDown")
        opened.keyboard.press("Enter")
        view.locator(token).nth(1).wait_for()
        view.locator(token).nth(1).focus()
        opened.keyboard.press("ArrowLeft")
        opened.keyboard.press("Enter")
        view.locator(token).first.wait_for(state="detached")

    def test_it_writes_until_it_is_stopped(self, opened):
        view = opened.locator("[data-live=sampling]")
        stop_after_five = """async (view) => {
            const go = view.querySelector(".buttons button"), frame = () => new Promise(requestAnimationFrame);
            go.click();
            while (view.querySelectorAll(".paper .token").length < 5) await frame();
            const during = go.textContent;
            go.click();
            return [during, go.textContent]}"""
        assert view.evaluate(stop_after_five) == ["Stop", "Continue"]
        view.locator(".said", has_text=re.compile(r"^\d+ tokens, \d+ a second")).wait_for()
        count = view.locator(".paper .token").count()
        view.get_by_role("button", name="One token", exact=True).click()
        view.locator(".paper .token").nth(count).wait_for()

    def test_an_unknown_word_is_said_to_be_unknown(self, opened):
        view = opened.locator("[data-live=sampling]")
        view.locator("textarea").fill("Quantum chromodynamics")
        view.locator(".strange", has_text="never saw").wait_for()
        assert "unknown to it" in view.locator(".strange").inner_text()
        view.locator("textarea").fill(PROMPT)
        view.locator(".strange:empty").wait_for(state="attached")

    def test_attention_follows_the_pointer_and_a_head_can_be_knocked_out(self, opened):
        view = opened.locator("[data-live=attention]")
        said, maps = view.locator(".said").first, view.locator(".maps button")
        assert maps.count() == 24
        maps.nth(0).click()
        last = said.inner_text()
        view.locator(".tokens .token").nth(3).hover()
        assert said.inner_text() != last and said.inner_text().startswith("Head 0.0")
        maps.nth(0).focus()
        opened.keyboard.press("ArrowDown")
        assert opened.evaluate("document.activeElement.dataset.name") == "1.0"
        for head in ("3.0", "4.2", "4.3", "5.1", "5.2", "5.3"):
            maps.filter(has_text=head).click()
            view.get_by_role("button", name=f"Knock head {head} out").click()
        view.get_by_text("Without 3.0, 4.2, 4.3, 5.1, 5.2, 5.3").wait_for()
        whole, without = view.locator(".written").all_inner_texts()
        assert whole != without
        view.get_by_role("button", name="All heads back").click()
        view.get_by_text("Without").wait_for(state="detached")

    def test_the_lens_ends_at_the_answer_of_the_whole_network(self, opened, nano):
        view = opened.locator("[data-live=lens]")
        assert view.locator("tbody tr").count() == len(nano[1].encode(PROMPT))
        best = opened.locator("[data-live=sampling] .bars code").first.inner_text()
        assert view.locator("td button").last.inner_text() == best
        assert "After block 5" in view.locator(".said").inner_text()
        view.locator("td button").last.focus()
        opened.keyboard.press("ArrowLeft")
        assert "After block 4" in view.locator(".said").inner_text()

    def test_fewer_bits_take_fewer_bytes_and_change_the_text(self, opened, nano):
        view = opened.locator("[data-live=bits]")
        sizes = view.locator(".side > p:nth-of-type(1)")
        rows = {"": 2926 + 1024} | {f"{i}.{part}": n for i in range(6) for part, n in enumerate((768, 256, 1024))}
        matrices = sum(Grid(4, 64).nbytes(n, 256) for n in rows.values()) + 6 * Grid(4, 64).nbytes(256, 1024)
        vectors = 2 * (6 * (768 + 256 + 1024 + 256 + 4 * 256) + 2 * 256)
        assert sizes.nth(1).inner_text() == f"{(matrices + vectors) / 1e6:.2f} MB"
        view.locator("mark").first.wait_for()
        view.get_by_role("slider", name="Bits", exact=True).fill("2")
        view.locator("h3", has_text="2 bits, groups of 64").wait_for()
        view.locator("mark").first.wait_for()
        left, right = view.locator(".written").all_inner_texts()
        assert left != right

    def test_the_drawing_shows_the_real_numbers_of_each_part(self, opened, nano):
        model, tokenizer = nano
        view = opened.locator("[data-live=network]")
        first = model.token_embedding.weight[tokenizer.encode(PROMPT)[-1], :6].tolist()
        shown = "  ".join(f"{value:.3f}".replace("-", "−") for value in first)
        assert view.locator(".panel code").nth(1).inner_text() == f"{shown} …"
        view.get_by_role("button", name="attention, 4 × 11 numbers").click()
        assert "Block 0, attention" in view.locator(".said").inner_text()
        opened.keyboard.press("ArrowDown")
        assert "values, mixed" in view.locator(".said").inner_text()
        view.get_by_role("slider", name="Block", exact=True).fill("5")
        assert view.locator(".said").inner_text().startswith("Block 5")
        view.get_by_role("button", name="logits").click()
        assert view.locator(".panel .bars li").count() == 5

    def test_without_its_model_a_view_stays_a_picture_and_says_why(self, browser, address):
        page = browser.new_page()
        page.route("**/model.bin", lambda route: route.fulfill(status=404))
        page.goto(address)
        state = page.locator("[data-live=sampling] [role=status]")
        state.filter(has_text="stays a picture").wait_for()
        assert "model.bin could not be loaded: the server answers 404" in state.inner_text()
        assert page.locator("[data-live=sampling] .bars li").count() == 8
        page.close()

    @pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
    def test_nothing_hinders_a_reader(self, visit, address, width, scheme):
        visit.page.goto(address)
        for view in VIEWS:
            visit.page.locator(f"[data-live={view}]").scroll_into_view_if_needed()
            visit.page.locator(f"[data-live={view}][data-ready]").wait_for()
        assert serious(visit, address, width, scheme, reload=False) == []


class TestOwnModel:
    pytestmark = IN_BROWSER

    def test_a_learners_model_of_characters_works_in_its_page(self, browser, tmp_path):
        torch.manual_seed(0)
        tokenizer = CharTokenizer("abc né")
        model = GPT2(GPT2Config(2, 2, 16, vocab_size=tokenizer.vocab_size, context=32)).eval()
        save_gpt2(model, tmp_path / "run")
        tokenizer.save(tmp_path / "run")
        write_page(tmp_path / "run", tmp_path / "page", title="My <poet>", prompt="a né")
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.data = quantize(weight.data, GRID).dequantize()
        with served(tmp_path / "page") as address:
            page = browser.new_page()
            page.goto(address)
            assert page.locator("h1").inner_text() == "My <poet>"
            own = in_page(
                page, "return [...await new gpt2.Reading(model.gpt2).read(parts.encode(model, value).rows)]", "a né"
            )
            lost = in_page(page, "return parts.encode(model, value).strange", "a zé")
            page.close()
        torch.testing.assert_close(
            torch.tensor(own), model(torch.tensor([tokenizer.encode("a né")]))[0, -1], atol=1e-5, rtol=1e-4
        )
        assert "no token for “z”" in lost
