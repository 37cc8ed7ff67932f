"""What stands in the place of a living view until a script brings it to life, or where none runs."""

from __future__ import annotations

from html import escape

import torch

from utils.model import GPT2
from utils.sampling import check_prompt
from utils.tokenizer import CharTokenizer, Tokenizer, visible

PROMPT = "Once upon a time, there lived a"
INSTEAD = "<p>Here a GPT-2 works in the page, once its script runs: with JavaScript, from any web server.</p>"
BAR = """<li><span class="bar"><code>{token}</code><span class="meter" aria-hidden="true">\
<i class="after" style="width:{percent:.1f}%"></i></span><span class="share">{percent:.1f} %</span></span></li>"""


@torch.inference_mode()
def next_tokens(model: GPT2, tokenizer: Tokenizer | CharTokenizer, prompt: str, count: int = 8) -> str:
    """Return the HTML of what the model expects after a prompt: a picture of the sampling view, made of its numbers."""
    ids = check_prompt(tokenizer.encode(prompt), model.config)
    shares = model(torch.tensor([ids], device=model.device))[0, -1, : tokenizer.vocab_size].softmax(-1).cpu()
    best = shares.topk(min(count, len(shares)))
    bars = [
        BAR.format(token=escape(visible(tokenizer.decode_bytes([token]))), percent=100 * share)
        for token, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return f'<p class="paper">{escape(prompt)} …</p><ol class="bars">{"".join(bars)}</ol>'
