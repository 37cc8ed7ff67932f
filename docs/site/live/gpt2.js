// GPT-2 in plain JavaScript, in the order of utils/model.py and with its names. No library, no server, one thread;
// where the browser can, matrices are multiplied by kernel.js.
// Matrices are (out, in) as in PyTorch: a row makes one output. Numbers of several tokens lie one token after another.
import {makeKernel} from "./kernel.js";

const EPSILON = 1e-5; // of the layer norm
const PART = 16; // tokens that are read at once, before the page may answer its reader again

export const pause = () => globalThis.scheduler?.yield?.() ?? new Promise((resume) => setTimeout(resume));

/**
 * y = W · x for the rows from `first` on, four at a time: each number of x is fetched once for four products.
 * Sums are kept in float64, as JavaScript adds.
 */
function multiplyRows(weight, x, y, first) {
  const columns = x.length;
  let row = first;
  for (; row + 4 <= y.length; row += 4) {
    const [p, q, r, s] = [0, 1, 2, 3].map((i) => (row + i) * columns);
    let [a, b, c, d] = [0, 0, 0, 0];
    for (let i = 0; i < columns; i++) {
      const value = x[i];
      a += weight[p + i] * value;
      b += weight[q + i] * value;
      c += weight[r + i] * value;
      d += weight[s + i] * value;
    }
    y.set([a, b, c, d], row);
  }
  for (; row < y.length; row++) y[row] = dot(weight, row * columns, x, 0, columns);
}

function dot(a, from, b, start, length) {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[from + i] * b[start + i];
  return sum;
}

export function layerNorm(x, count, weight, bias) {
  const width = weight.length,
    y = new Float32Array(count * width);
  for (let start = 0; start < y.length; start += width) {
    let mean = 0,
      variance = 0;
    for (let i = 0; i < width; i++) mean += x[start + i] / width;
    for (let i = 0; i < width; i++) variance += ((x[start + i] - mean) * (x[start + i] - mean)) / width;
    const scale = 1 / Math.sqrt(variance + EPSILON);
    for (let i = 0; i < width; i++) y[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i];
  }
  return y;
}

/** GELU, of which GPT-2 takes the tanh form. */
export function gelu(x) {
  const bend = Math.sqrt(2 / Math.PI);
  return x.map((value) => 0.5 * value * (1 + Math.tanh(bend * (value + 0.044715 * value * value * value))));
}

/** Turn numbers into probabilities, in place. */
export function softmax(x) {
  let most = -Infinity,
    sum = 0;
  for (const value of x) if (value > most) most = value;
  for (let i = 0; i < x.length; i++) sum += x[i] = Math.exp(x[i] - most);
  for (let i = 0; i < x.length; i++) x[i] /= sum;
  return x;
}

/** The weights of one model: `config`, and tensors by the names of utils/model.py. */
export class GPT2 {
  constructor(config, tensors) {
    this.config = config; // layers, heads, width, context, vocab: rows that may be chosen as the next token
    const wide = 4 * config.width,
      rows = tensors["token_embedding.weight"].length / config.width;
    this.kernel = makeKernel(tensors, wide, Math.max(wide, rows));
    this.tensors = this.kernel?.tensors ?? tensors;
  }

  /** y = x · Wᵀ + bias for `count` tokens. */
  linear(x, count, weight, bias, rows) {
    const columns = weight.length / rows,
      y = new Float32Array(count * rows);
    const done = this.kernel && columns % 4 === 0 ? rows - (rows % 4) : 0; // rows that the kernel multiplies
    for (let token = 0; token < count; token++) {
      const from = x.subarray(token * columns, (token + 1) * columns),
        to = y.subarray(token * rows, (token + 1) * rows);
      if (done) to.set(this.kernel.multiply(weight, from, done));
      multiplyRows(weight, from, to, done);
      if (bias) for (let row = 0; row < rows; row++) to[row] += bias[row];
    }
    return y;
  }

  block(layer, name) {
    return this.tensors[`blocks.${layer}.${name}`];
  }

  apply(layer, name, x, count) {
    const bias = this.block(layer, `${name}.bias`);
    return this.linear(x, count, this.block(layer, `${name}.weight`), bias, bias.length);
  }

  norm(name, x, count) {
    return layerNorm(x, count, this.tensors[`${name}.weight`], this.tensors[`${name}.bias`]);
  }

  /** The head: residual streams of `count` tokens, after any block, against every row of the token table. */
  logits(streams, count = 1) {
    const normed = this.norm("final_norm", streams, count);
    const table = this.tensors["token_embedding.weight"].subarray(0, this.config.vocab * this.config.width);
    return this.linear(normed, count, table, null, this.config.vocab);
  }
}

/**
 * One text as a model reads it, with its KV cache: a longer text costs only its new tokens.
 * `muted` names heads ("2.1") that may add nothing; with `keep` the patterns and streams of all tokens stay;
 * `note(name, values)` is told each part's output for the newest token.
 */
export class Reading {
  constructor(model, {muted = new Set(), keep = false, note = null} = {}) {
    Object.assign(this, {model, muted, keep, note, turn: 0});
    this.forget(0);
  }

  forget(length) {
    if (length === 0) {
      this.tokens = [];
      this.keys = Array.from({length: this.model.config.layers}, () => []); // a row of numbers for each token
      this.values = Array.from({length: this.model.config.layers}, () => []);
      this.patterns = []; // by token, then layer · heads + head: how much it looks at each token so far
      this.streams = []; // by token: the residual stream before the first block and after each
    }
    for (const list of [this.tokens, this.patterns, this.streams, ...this.keys, ...this.values]) list.length = length;
  }

  /** Read these tokens and return the logits after the last; null if another text was asked for meanwhile. */
  async read(tokens) {
    const turn = ++this.turn;
    let same = 0;
    while (same < tokens.length - 1 && tokens[same] === this.tokens[same]) same++;
    if (same < this.tokens.length) this.forget(same);
    for (let from = same; from < tokens.length; from += PART) {
      this.advance(tokens.slice(from, from + PART));
      if (from + PART < tokens.length) await pause();
      if (turn !== this.turn) return null;
    }
    this.note?.("final_norm", this.model.norm("final_norm", this.stream, 1));
    return this.model.logits(this.stream);
  }

  /** One pass over new tokens, all of them at once. */
  advance(tokens) {
    const {model} = this,
      count = tokens.length,
      past = this.tokens.length;
    const {layers, width} = model.config;
    let x = this.embed(tokens, past);
    const streams = [x];
    const patterns = tokens.map(() => []);
    for (let layer = 0; layer < layers; layer++) {
      x = x.slice();
      add(x, this.attend(layer, model.norm(`blocks.${layer}.norm1`, x, count), count, patterns));
      this.tell(`blocks.${layer}.middle`, x, count);
      const normed = model.norm(`blocks.${layer}.norm2`, x, count);
      const up = model.apply(layer, "mlp.up", normed, count),
        bent = gelu(up);
      const down = model.apply(layer, "mlp.down", bent, count);
      add(x, down);
      for (const [name, values] of Object.entries({norm2: normed, up, gelu: bent, down, out: x}))
        this.tell(`blocks.${layer}.${name}`, values, count);
      streams.push(x);
    }
    this.tokens.push(...tokens);
    this.stream = x.slice((count - 1) * width);
    for (let i = 0; this.keep && i < count; i++) {
      this.patterns.push(patterns[i]);
      this.streams.push(streams.map((all) => all.slice(i * width, (i + 1) * width)));
    }
  }

  embed(tokens, past) {
    const {
        tensors,
        config: {width},
      } = this.model,
      x = new Float32Array(tokens.length * width);
    const table = tensors["token_embedding.weight"],
      places = tensors["position_embedding.weight"];
    tokens.forEach((token, i) => {
      for (let j = 0; j < width; j++) x[i * width + j] = table[token * width + j] + places[(past + i) * width + j];
    });
    this.tell("token_embedding", table.subarray(tokens.at(-1) * width, (tokens.at(-1) + 1) * width), 1);
    const last = past + tokens.length - 1;
    this.tell("position_embedding", places.subarray(last * width, (last + 1) * width), 1);
    this.tell("embedding", x, tokens.length);
    return x;
  }

  /** Multi-head causal attention: softmax(q·kᵀ/√width)·v, each head on its own part of the numbers. */
  attend(layer, normed, count, patterns) {
    const {model} = this,
      {heads, width} = model.config,
      size = width / heads;
    const qkv = model.apply(layer, "attention.qkv", normed, count); // queries, keys, values of each token
    const keys = this.keys[layer],
      values = this.values[layer],
      mixed = new Float32Array(count * width);
    for (let i = 0; i < count; i++) {
      const start = 3 * i * width,
        q = qkv.subarray(start, start + width);
      keys.push(qkv.slice(start + width, start + 2 * width));
      values.push(qkv.slice(start + 2 * width, start + 3 * width));
      for (let head = 0; head < heads; head++) {
        const from = head * size,
          pattern = new Float32Array(keys.length);
        for (let j = 0; j < keys.length; j++) pattern[j] = dot(q, from, keys[j], from, size) / Math.sqrt(size);
        softmax(pattern);
        if (this.keep) patterns[i].push(pattern);
        if (this.muted.has(`${layer}.${head}`)) continue;
        for (let seen = 0; seen < keys.length; seen++) {
          const share = pattern[seen],
            value = values[seen];
          for (let j = from; j < from + size; j++) mixed[i * width + j] += share * value[j];
        }
      }
    }
    const out = model.apply(layer, "attention.out", mixed, count);
    for (const [name, values] of Object.entries({norm1: normed, qkv, mixed, attention: out}))
      this.tell(`blocks.${layer}.${name}`, values, count);
    return out;
  }

  tell(name, values, count) {
    this.note?.(name, values.slice((values.length / count) * (count - 1)));
  }
}

function add(x, change) {
  for (let i = 0; i < x.length; i++) x[i] += change[i];
}
