"""Web page (Gradio): a form that continues a text, and a chat; on this machine only, unless sharing is asked for.

The two tabs are Blocks and no ChatInterface, which shows what a visitor typed as HTML before we could escape it.
Lesson 15 starts it.
"""

from __future__ import annotations

import asyncio
import html
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from utils.errors import CourseError
from utils.run_log import log_chat
from utils.serve.answer_view import NOTHING, Shown, Taken, answer_view
from utils.serve.door import Door, Listeners, one_line, visitor_of
from utils.serve.server import Answer, Choice, Limits, Request, Server, seed_of, whole

EXAMPLES = (
    "Once upon a time, there lived a hedgehog named",
    "The old bear found a letter. It said",
    "One morning the duck and the mole",
)
# Fonts that every system has: a theme's own would be asked for at a font server.
FONTS: dict[str, Any] = dict(
    font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
# Colors that are legible in light and dark: the theme's own orange and grey have a contrast of less than 4.5.
BLUE, DEEP, GREY = "#0b6fb4", "#095a92", "*neutral_600"
COLORS = {
    f"button_primary_{part}{dark}": BLUE for part in ("background_fill", "border_color") for dark in ("", "_dark")
}
COLORS |= {f"button_primary_background_fill_hover{dark}": DEEP for dark in ("", "_dark")}
COLORS |= {"body_text_color_subdued": GREY, "body_text_color_subdued_dark": "*neutral_400"}
COLORS |= {"block_info_text_color": GREY, "block_label_text_color": GREY, "block_title_text_color": GREY}
LAUNCH: dict[str, Any] = dict(
    prevent_thread_lock=True,
    inline=False,
    quiet=True,
    ssr_mode=False,
    mcp_server=False,
    enable_monitoring=False,
    run_history=False,
    footer_links=[],
    state_session_capacity=100,
    theme=gr.themes.Default(primary_hue="blue", **FONTS).set(**COLORS),
    css="footer {display: none !important} [role=tab][aria-selected=true] {color: var(--body-text-color) !important}",
)
NO_OTHER = "no other model"  # what stands in the field for a second model until one is chosen
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
TOUCHED = re.compile(r"^\s+|[\n\r\t]")  # what Gradio would change in a message


@dataclass(frozen=True)
class Address:
    """Where the page is to be found: on this machine, until another host or a public link is asked for."""

    host: str = "127.0.0.1"
    port: int | None = None  # the first free one from 7860 on
    share: bool = False  # a public link through Gradio's tunnel


@dataclass
class RunningApp:
    """A page that is being served from this process."""

    page: gr.Blocks
    url: str

    def close(self) -> None:
        """Stop serving."""
        self.page.close(verbose=False)


def serve(
    choices: Mapping[str, Choice],
    limits: Limits | None = None,
    address: Address = Address(),
    chat_log: str | Path | None = "chat_log.csv",
    system_log: AbstractContextManager | None = None,
) -> None:
    """Serve the page until Ctrl-C; a system log that is handed in runs as long."""
    with system_log or nullcontext():
        app = start_app(choices, limits, address, chat_log)
        print(f"The page is at {app.url}\nStop it with Ctrl-C.", flush=True)
        try:
            threading.Event().wait()
        finally:
            app.close()


class Page(gr.Blocks):
    """Blocks whose failures are a line on stderr and a message on the page, never a traceback."""

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return await super().process_api(block_fn, *args, **kwargs)
        except gr.Error as error:
            error.print_exception = False
            raise
        except Exception as error:  # arguments of another number or kind, most likely
            one_line("A call of the page", error)
            said = "The server could not answer this: check the number and the kinds of the values."
            raise gr.Error(said, print_exception=False) from error


@dataclass(frozen=True)
class Site:
    """What every answer on the page needs: the models, who listens, and where the chat is kept."""

    server: Server
    listeners: Listeners
    chat_log: Path | None


def start_app(
    choices: Mapping[str, Choice],
    limits: Limits | None = None,
    address: Address = Address(),
    chat_log: str | Path | None = None,
) -> RunningApp:
    """Start serving in the background and return the page with its address."""
    if pyplot := sys.modules.get("matplotlib.pyplot"):  # Gradio changes the backend while it answers: settle it now
        pyplot.switch_backend(pyplot.get_backend())
    server, listeners = Server(choices, limits), Listeners()
    page = build_page(Site(server, listeners, Path(chat_log) if chat_log else None))
    # the scheduler has the queue: Gradio's own lets everybody through to it
    page.queue(default_concurrency_limit=None)
    hosts = LOCAL_NAMES if address.host in LOCAL_NAMES and not address.share else ()
    door = Middleware(Door, listeners=listeners, session_of=sessions_of(page), hosts=hosts)
    try:
        place: dict[str, Any] = dict(server_name=address.host, server_port=address.port, share=address.share)
        room = 2 * listeners.most + server.limits.waiting + server.limits.at_once  # of requests that Gradio holds
        _, local, public = page.launch(**place, **LAUNCH, max_threads=room, app_kwargs={"middleware": [door]})
    except OSError as error:
        raise CourseError(f"The page could not be served: {error} Choose another port.") from error
    if page.server:  # an open page listens for ever: Ctrl-C waits a second for it, and ends it then
        page.server.config.timeout_graceful_shutdown = 1
    return RunningApp(page, public or local)


def sessions_of(page: gr.Blocks) -> Callable[[str], str]:
    """Return what finds the session of an event: by default, Gradio names it as the event."""

    def session_of(event: str) -> str:
        found = page._queue.event_ids_to_events.get(event)
        return found.session_hash if found else event

    return session_of


def build_page(site: Site) -> gr.Blocks:
    """Return the page with its two tabs; both share the server's limit on answers at once."""
    names, most = list(site.server.models.choices), site.server.limits.new_tokens
    with Page(title="Hands-On GPT-2", analytics_enabled=False) as page:
        gr.Markdown("# Hands-On GPT-2\nWrite the beginning of a text; the model goes on.")
        with gr.Row():
            model = gr.Dropdown(names, value=names[0], label="Model", info="loaded when first asked", scale=2)
            # no minimum or maximum: the server checks, in its own words
            max_tokens = gr.Number(100, label="Max tokens", info=f"1 to {most:,}")
            temperature = gr.Slider(0, 1, value=0.7, step=0.05, label="Temperature", info="0: the likeliest")
            top_n = gr.Number(0, label="Top N", info="0: all tokens")
        settings = [max_tokens, temperature, top_n, model]
        with gr.Tab("Continue a text"):
            add_form(site, settings)
        with gr.Tab("Chat"):
            add_chat(site, settings)
    return page


def add_form(site: Site, settings: list) -> None:
    """Add the form: a text, the button, and what one model makes of it, or two side by side."""
    keys = "Shift and Enter continue it"
    text = gr.Textbox(label="Your text", info=keys, lines=3, placeholder="Once upon a time", elem_id="seed-text")
    names = list(site.server.models.choices)
    with gr.Row():
        seed = gr.Number(0, label="Seed", info="0: another one each time; the same one: the same text")
        others: dict[str, Any] = dict(choices=[("none", NO_OTHER), *names], value=NO_OTHER, visible=len(names) > 1)
        beside = gr.Dropdown(label="Beside it", info="a second model, the same seed", **others)
    with gr.Row():
        go = gr.Button("Continue", variant="primary", elem_id="continue")
        stop = gr.Button("Stop", elem_id="stop")
    view = answer_view()
    with gr.Accordion("As plain text", open=False):
        output = gr.Textbox(label="Continuation", lines=8, buttons=["copy"], interactive=False, elem_id="continuation")
    line = gr.Textbox(label="How it went", visible="hidden", interactive=False, elem_id="how-it-went")
    examples = site.server.models.beginnings() or EXAMPLES
    gr.Examples([[example] for example in examples], [text], cache_examples=False)
    shown, asked = [output, line, view], [text, *settings, seed, beside]
    parts: dict[str, Any] = dict(fn=continuing(site), inputs=asked, outputs=shown, show_progress="hidden")
    running = [go.click(api_name="generate", **parts), text.submit(api_visibility="private", **parts)]
    private: dict[str, Any] = dict(api_visibility="private", show_progress="hidden")
    taking = view.take(taking_from(site), [view, *settings[:3]], shown, cancels=running, **private)
    gr.on([go.click, text.submit], None, cancels=[taking], **private)
    stop.click(None, cancels=[*running, taking], **private)
    view.keep(kept_seed, None, seed, **private)


def continuing(site: Site) -> Callable[..., AsyncIterator[tuple]]:
    """Return what continues a text, step by step."""

    async def generate(
        text: str,
        max_tokens: float,
        temperature: float,
        top_n: float | None,
        model: str,
        seed: float | None,
        beside: str,
        visit: gr.Request,
    ) -> AsyncIterator[tuple[str, str, dict]]:
        """Yield the continuation so far, a line that says how it went, and both token by token; at first nothing."""
        yield "", "", NOTHING
        first = Request(text or "", max_tokens, temperature, top_n, model, seed, think=True)
        with refusals():
            first = replace(first, seed=seed_of(first))  # the one seed of all
        others = [replace(first, model=beside)] if beside not in (None, NO_OTHER, model) else []
        shown = [Shown(request.model) for request in (first, *others)]
        async for answers in responses(site, [first, *others], visit):
            seen = [each.update(answer) for each, answer in zip(shown, answers, strict=True)]
            yield answers[0].text, answers[0].response().line(), {"prompt": first.text, "answers": seen}

    return generate


def taking_from(site: Site) -> Callable[..., AsyncIterator[tuple]]:
    """Return what goes on from a token that a visitor has pressed, step by step."""

    async def take(
        shown: dict, max_tokens: float, temperature: float, top_n: float | None, event: gr.EventData, visit: gr.Request
    ) -> AsyncIterator[tuple[str, str, dict]]:
        """Yield the text that goes on from there; what other models wrote stays."""
        with refusals():
            taken = Taken.of(shown, event)
            request = taken.request(max_tokens, temperature, top_n)
        own = Shown(request.model, taken.rows)
        async for (answer,) in responses(site, [request], visit):
            yield answer.text, answer.response().line(), taken.beside_others(own.update(answer))

    return take


def kept_seed(event: gr.EventData) -> int:
    """Return the seed that a visitor wants to keep."""
    with refusals():
        return whole(event.seed, "seed")


def add_chat(site: Site, settings: list) -> None:
    """Add the chat: the model goes on where the conversation ends; what is said is shown as text and kept."""
    kept = f"What is said is kept in {site.chat_log.name}, beside this server." if site.chat_log else "Nothing is kept."
    plain: dict[str, Any] = dict(render_markdown=False, feedback_options=None, buttons=[])
    talk = gr.Chatbot(label="Conversation", height=380, elem_id="conversation", **plain)
    query = gr.Textbox(label="You", info=kept, lines=1, submit_btn=True, elem_id="query")
    with gr.Row():
        together = gr.Checkbox(True, label="Write one text together: the model reads the whole conversation")
        seed = gr.Number(0, label="Seed", info="0: another one each time; the same one: the same answer")
        stop = gr.Button("Stop", size="sm")
        gr.ClearButton([talk, query], value="Begin anew", size="sm", api_visibility="private")
    asked, shown = [query, talk, together, *settings, seed], [query, talk]
    running = query.submit(chat_turns(site), asked, shown, api_name="chat")
    stop.click(None, cancels=[running], api_visibility="private")


def chat_turns(site: Site) -> Callable[..., AsyncIterator[tuple]]:
    """Return what answers one query, step by step, and keeps what was said in the log."""

    async def chat(
        query: str,
        history: list | None,
        together: bool,
        max_tokens: float,
        temperature: float,
        top_n: float | None,
        model: str,
        seed: float | None,
        visit: gr.Request,
    ) -> AsyncIterator[tuple[str, list]]:  # these names are those of the page's API
        """Yield the emptied field and the conversation so far."""
        text = read_together(history or [], query, site.server.limits.prompt) if together else query
        turn, said = [*(history or []), as_message("user", query)], ""
        try:
            request = Request(text, max_tokens, temperature, top_n, model, seed)
            async for (answer,) in responses(site, [request], visit):
                said = answer.text
                yield "", [*turn, as_message("assistant", said)]
        finally:  # a stopped answer was said as well
            if said and site.chat_log:
                log_chat(site.chat_log, query, said, model)

    return chat


async def responses(
    site: Site, requests: list[Request], visit: gr.Request, every: float = 0.05
) -> AsyncIterator[list[Answer]]:
    """Yield the answers, as far as they are written, as long as somebody listens; a refusal becomes a message.

    What is shown anew costs the model's own time: the more answers are being written, the less often each is shown.
    """
    session, answers = visit.session_hash or "", list[Answer]()
    try:
        with refusals():
            if not await site.listeners.wait_for(session):
                raise CourseError(f"Nobody asked for this answer within {site.listeners.patience:g} seconds.")
            for request in requests:
                prepared = await asyncio.to_thread(site.server.prepare, request)
                answers.append(site.server.submit(prepared, visitor_of(visit.client.host, session), request.begun))
        while not all(answer.ended for answer in answers) and not await site.listeners.have_left(session):
            await asyncio.sleep(every * max(1, len(site.server.scheduler.seated) / 2))
            news = [answer.take_all() for answer in answers]
            if any(news):
                yield answers
    finally:
        for answer in answers:
            answer.cancel()


@contextmanager
def refusals() -> Iterator[None]:
    """Turn a refusal into a message on the page."""
    try:
        yield
    except CourseError as error:
        raise gr.Error(str(error), title="Not possible", print_exception=False) from error


def as_message(role: str, text: str) -> dict[str, str]:
    """Return one turn of a chat as text that Gradio leaves alone.

    It would take tags for HTML and fetch their pictures, and it would cut spaces at the start and expand tabs.

    >>> as_message("user", " <b>")
    {'role': 'user', 'content': '&#32;&lt;b&gt;'}
    """
    escaped = html.escape(text, quote=False)
    return {"role": role, "content": TOUCHED.sub(lambda found: "".join(f"&#{ord(c)};" for c in found[0]), escaped)}


def read_together(history: list, query: str, most: int) -> str:
    """Return the conversation as one text, of what was said before only as much as makes `most` characters.

    >>> said = [{"role": "user", "content": [{"type": "text", "text": "One day"}]}]
    >>> read_together(said, "Then", 99), read_together(said, "Then", 8)
    ('One day Then', 'day Then')
    """
    parts: list[str] = []
    for turn in history:
        said = html.unescape("".join(part.get("text", "") for part in turn["content"]))
        parts.append(f" {said}" if turn["role"] == "user" and parts else said)
    before = "".join(parts)
    kept = before[max(0, len(before) + 1 + len(query) - most) :]
    return f"{kept} {query}" if kept else query
