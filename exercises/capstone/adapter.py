"""The adapter: seventeen functions through which `python course.py capstone` asks what your GPT-2 can do.

Write your GPT-2 in my_gpt2.py as you like it, with classes or without. Then connect it here: replace the line
`raise NotConnected(…)` of a function by a call of your own code. Keep the names and the arguments.

Weights come under the names and in the shapes of GPT-2's own files: a matrix is (inputs, outputs), so a layer
computes y = x · W + b. All numbers are torch tensors, of float32 unless something else is said. No function changes
its arguments, but for the two that say so.
Shapes: batch, time (positions), width, vocab, context (the longest text that the model has positions for).
"""

import my_gpt2  # noqa: F401  what you wrote: my_gpt2.NAME

from tools.capstone import NotConnected

# Part 1


def embed(tokens, token_table, position_table, first=0):
    """Return the residual stream at its beginning, (batch, time, width): each token's row plus its position's row.

    tokens is (batch, time) of int64, token_table (vocab, width), position_table (context, width). `first` is the
    position of the first token: more than 0 when others came before.
    """
    raise NotConnected("embed")


# Part 2


def layer_norm(x, weight, bias):
    """Return x (batch, time, width) normed along its last axis, then times weight (width,) plus bias (width,).

    The variance is the mean of squares (division by width), and 1e-5 is added to it under the root.
    """
    raise NotConnected("layer_norm")


# Part 3


def gelu(x):
    """Return GELU of every number of x, any shape, in the tanh form that GPT-2 uses."""
    raise NotConnected("gelu")


# Part 4


def attention(x, weights, n_head):
    """Return causal self-attention of x (batch, time, width), the last projection included: (batch, time, width).

    weights has "c_attn.weight" (width, 3 · width), whose columns are all queries, then all keys, then all values,
    each of them head after head; "c_attn.bias" (3 · width,), "c_proj.weight" (width, width), "c_proj.bias" (width,).
    """
    raise NotConnected("attention")


# Part 5


def mlp(x, weights):
    """Return the feed-forward layer of x (batch, time, width): up to 4 · width, GELU, and down again.

    weights has "c_fc.weight" (width, 4 · width), "c_fc.bias", "c_proj.weight" (4 · width, width), "c_proj.bias".
    """
    raise NotConnected("mlp")


# Part 6


def block(x, weights, n_head):
    """Return x (batch, time, width) after one block: attention and MLP, each behind a norm, each added to the stream.

    weights has "ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias", those of attention with "attn." before their
    names ("attn.c_attn.weight", …) and those of the MLP with "mlp." ("mlp.c_fc.weight", …).
    """
    raise NotConnected("block")


# Part 7


def load_model(folder):
    """Return your model with the weights of a folder (a pathlib.Path): config.json and model.safetensors.

    What you return is handed to `logits` and `generate` and may be anything. config.json has n_layer, n_head, n_embd
    and more. The file holds "wte.weight" (token table), "wpe.weight" (positions), "h.0.…" to "h.5.…" (the blocks) and
    "ln_f.weight", "ln_f.bias"; its float16 becomes float32. `safetensors.torch.load_file` reads it.
    """
    raise NotConnected("load_model")


def logits(model, tokens):
    """Return the logits (batch, time, vocab) of tokens (batch, time); the head is the token table again."""
    raise NotConnected("logits")


# Part 8


def loss(logits, targets):
    """Return the mean cross-entropy in nats, one number in a tensor, of logits (batch, time, vocab).

    targets are (batch, time); those of -100 don't count, neither in the sum nor in the number. It has a gradient.
    """
    raise NotConnected("loss")


# Part 9


def generate(model, tokens, count):
    """Return tokens (batch, time) with `count` more behind them, (batch, time + count), always the likeliest one.

    With a KV cache: no position goes through the blocks twice. `model` is what `load_model` returned.
    """
    raise NotConnected("generate")


# Part 10


def new_model(n_layer, n_head, width, vocab, context):
    """Return a model to be trained, with GPT-2's starting weights, drawn by torch's global random numbers.

    Matrices and both tables are normal with standard deviation 0.02; the two matrices of a block whose result is added
    to the residual stream (both called c_proj) 0.02/√(2 · n_layer). Biases are 0, the norms' weights 1.
    """
    raise NotConnected("new_model")


def parameters(model):
    """Return the list of all tensors of a model that are trained, each once: leaves that require a gradient."""
    raise NotConnected("parameters")


# Part 11


def adamw_step(parameters, gradients, state, rate, decay):
    """Change a list of tensors in place by one step of AdamW, given a list of their gradients. Return nothing.

    state is a dictionary, empty at the first step; keep in it what the next step needs. The betas are 0.9 and 0.95,
    epsilon is 1e-8; rate is the learning rate and decay the weight decay, which shrinks all of these tensors.
    """
    raise NotConnected("adamw_step")


# Part 12


def clip_gradients(gradients, limit):
    """Scale a list of gradients in place so that their norm together is at most `limit`; return the norm before."""
    raise NotConnected("clip_gradients")


# Part 13


def lora_linear(x, weight, bias, a, b, alpha):
    """Return x (batch, time, inputs) through a frozen layer and the adapter beside it, (batch, time, outputs).

    weight is (inputs, outputs), a (inputs, rank), b (rank, outputs); what the adapter adds is scaled by alpha/rank.
    For few rows of x, never multiply a by b: that product is as large as weight.
    """
    raise NotConnected("lora_linear")


# Part 14


def pack4(weight, group):
    """Return weight (inputs, outputs) in 4 bits, in any form that you like; `group` divides the number of inputs.

    Within each column, `group` inputs in a row share one scale of 16 bits. Two weights share a byte. The values lie
    symmetrically about 0, and none is farther from its weight than 1/14 of the largest weight of its group.
    """
    raise NotConnected("pack4")


def linear4(x, packed, bias):
    """Return x (…, inputs) times the weights that were packed, plus bias (outputs,): (…, outputs)."""
    raise NotConnected("linear4")
