// The network drawn: the way of one token through GPT-2, part by part, with shapes and the real numbers.
import {softmax} from "./gpt2.js";
import {barList, button, encode, make, percent, promptField, quoted, slider, visible} from "./parts.js";
import {likeliest} from "./sampling.js";

const SVG = "http://www.w3.org/2000/svg";
const NUMBERS = 6; // of a part that are written out
// Parts in the order in which a token meets them: name of the record, title, code of utils/model.py, what it does.
const PARTS = [
  ["token_embedding", "token embedding", "token_embedding(tokens)", "The token's own row of the table of all tokens."],
  [
    "position_embedding",
    "position embedding",
    "position_embedding(positions)",
    "The row of its place in the text, from a table of its own.",
  ],
  [
    "embedding",
    "their sum",
    "token_embedding(tokens) + position_embedding(positions)",
    "Here the residual stream begins: every block adds to it, none replaces it.",
  ],
  [
    "norm1",
    "layer norm",
    "norm1(x)",
    "A copy of the stream with mean 0 and variance 1, then scaled and shifted by what was learned.",
  ],
  [
    "qkv",
    "queries, keys, values",
    "qkv(norm1(x))",
    "One matrix makes all three: what the token looks for, what it can be found by, and what it hands on.",
  ],
  [
    "pattern",
    "attention",
    "softmax(q·kᵀ/√width)",
    "Each head shares its attention out among the tokens so far; each row of shares adds up to 1.",
  ],
  [
    "mixed",
    "values, mixed",
    "pattern·v",
    "The values of the tokens that it looks at, by their shares; the heads lie side by side.",
  ],
  [
    "attention",
    "out of attention",
    "out(y)",
    "One more matrix lets the heads' results meet. This is what attention adds to the stream.",
  ],
  ["middle", "stream after attention", "x + attention(norm1(x))", "The residual stream with attention's part added."],
  ["norm2", "layer norm", "norm2(x)", "A normed copy again, for the MLP to read."],
  ["up", "MLP, up", "mlp.up(norm2(x))", "Four times as wide: room for features of this one token."],
  [
    "gelu",
    "GELU",
    "gelu(up)",
    "What is far below zero becomes almost 0, what is above stays: the bend without which all would be one matrix.",
  ],
  ["down", "MLP, down", "mlp.down(gelu(up))", "Back to the stream's width. This is what the MLP adds."],
  ["out", "stream after the block", "x + mlp(norm2(x))", "The residual stream as the next block reads it."],
  ["final_norm", "final layer norm", "final_norm(x)", "After the last block, one more normed copy."],
  [
    "logits",
    "logits",
    "head(final_norm(x))",
    "One score for each token: how well its row of the table fits. Softmax makes probabilities of them.",
  ],
];
const IN_BLOCK = (which) => which >= 3 && which <= 13;
const BOXES = {
  // where each part is drawn: x, y, width; the stream is the line at x = 34
  token_embedding: [10, 8, 144],
  position_embedding: [160, 8, 180],
  embedding: [10, 52, 330],
  norm1: [90, 104, 250],
  qkv: [90, 140, 250],
  pattern: [90, 176, 250],
  mixed: [90, 212, 250],
  attention: [90, 248, 250],
  middle: [10, 290, 330],
  norm2: [90, 342, 250],
  up: [90, 378, 250],
  gelu: [90, 414, 250],
  down: [90, 450, 250],
  out: [10, 492, 330],
  final_norm: [10, 546, 330],
  logits: [10, 582, 330],
};

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export class NetworkView {
  constructor(place, model, {prompt}) {
    Object.assign(this, {model, tokenizer: model.tokenizer, layer: 0, part: 0, turn: 0});
    const {layers} = model.gpt2.config;
    this.field = promptField(prompt, (text) => this.begin(text));
    this.strange = make("p.strange", {role: "status"});
    this.block = slider("Block", {min: 0, max: layers - 1, step: 1, value: 0}, (layer) => this.go({layer}));
    this.drawing = this.draw();
    this.panel = make("div.panel");
    this.said = make("p.said", {role: "status"});
    const steps = make(
      "p.buttons",
      {},
      button("← Part before", () => this.step(-1)),
      button("Next part →", () => this.step(1)),
    );
    place.append(
      this.field.element,
      this.strange,
      this.block,
      steps,
      make("div.network", {}, this.drawing, make("div", {}, this.said, this.panel)),
    );
  }

  draw() {
    const picture = draw("svg", {
      viewBox: "0 0 350 618",
      role: "group",
      "aria-label": "the parts of GPT-2, from the token to the logits",
    });
    const stream = "M34 35V582 M34 92H62V121H90 M215 274V282H34 M34 330H62V359H90 M215 476V484H34 M265 35V52";
    const inner = [140, 176, 212, 248, 378, 414, 450].map((y) => `M215 ${y - 10}V${y}`).join(" ");
    picture.append(
      draw("path", {d: `${stream} ${inner}`, class: "wire"}),
      draw("rect", {x: 3, y: 86, width: 344, height: 442, rx: 8, class: "frame"}),
    );
    this.boxes = PARTS.map(([name, title], which) => {
      const [x, y, width] = BOXES[name];
      const label = draw("text", {x: x + 8, y: y + 18}, title);
      const shape = draw("text", {x: x + width - 8, y: y + 18, "text-anchor": "end", class: "shape"});
      const box = draw(
        "g",
        {role: "button", tabindex: which ? -1 : 0, class: "part"},
        draw("rect", {x, y, width, height: 27, rx: 5}),
        label,
        shape,
      );
      box.onclick = () => this.go({part: which});
      box.onkeydown = (event) => this.key(event, which);
      picture.append(box);
      return box;
    });
    return picture;
  }

  key(event, which) {
    const step = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
    if (!step && !["Enter", " "].includes(event.key)) return;
    event.preventDefault();
    this.go({part: which});
    if (step) this.step(step);
    this.boxes[this.part].focus();
  }

  /** To the next part; past the end of a block into the next block. */
  step(by) {
    const last = this.model.gpt2.config.layers - 1;
    if (by > 0 && PARTS[this.part][0] === "out" && this.layer < last) return this.go({layer: this.layer + 1, part: 3});
    if (by < 0 && PARTS[this.part][0] === "norm1" && this.layer > 0) return this.go({layer: this.layer - 1, part: 13});
    return this.go({part: Math.min(PARTS.length - 1, Math.max(0, this.part + by))});
  }

  async begin(text) {
    const turn = ++this.turn,
      {ids, rows, strange} = encode(this.model, text);
    this.strange.textContent = strange;
    this.records = {};
    const reading = this.model.reading({keep: true, note: (name, values) => (this.records[name] = values)});
    const logits = await reading.read(rows.slice(-this.model.gpt2.config.context));
    if (!logits || turn !== this.turn) return;
    this.ids = ids.slice(-reading.tokens.length);
    this.patterns = reading.patterns.at(-1);
    this.records.logits = logits;
    this.ready = true;
    this.go({});
  }

  record(which) {
    const [name] = PARTS[which];
    return this.records[IN_BLOCK(which) ? `blocks.${this.layer}.${name}` : name];
  }

  shape(which) {
    const {heads} = this.model.gpt2.config,
      [name] = PARTS[which];
    if (name === "pattern") return `${heads} × ${this.ids.length}`;
    return name === "qkv" ? `3 × ${this.record(which).length / 3}` : `${this.record(which).length}`;
  }

  go(change) {
    Object.assign(this, change);
    if (!this.ready) return;
    const input = this.block.querySelector("input");
    if (+input.value !== this.layer) {
      // the buttons went on to another block
      input.value = this.layer;
      this.block.querySelector("b").textContent = this.layer;
      input.setAttribute("aria-valuetext", this.layer);
    }
    this.boxes.forEach((box, which) => {
      const shape = this.shape(which);
      box.lastChild.textContent = shape;
      box.setAttribute("aria-label", `${PARTS[which][1]}, ${shape} numbers`);
      box.setAttribute("aria-pressed", which === this.part);
      box.setAttribute("tabindex", which === this.part ? 0 : -1);
    });
    this.show();
  }

  show() {
    const [name, title, code, does] = PARTS[this.part],
      token = quoted(this.tokenizer, this.ids.at(-1));
    const where = IN_BLOCK(this.part) ? `Block ${this.layer}, ${title}` : title[0].toUpperCase() + title.slice(1);
    this.said.textContent = `${where}: ${does} Seen here for ${token}, token ${this.ids.length} of the text.`;
    const inside = name === "pattern" ? this.heads() : this.numbers(this.record(this.part));
    if (name === "logits")
      inside.push(barList(this.tokenizer, likeliest(softmax(Float64Array.from(this.records.logits)), 5)));
    const first = make("p", {}, make("code", {}, code), ` → ${this.shape(this.part)} numbers`);
    this.panel.replaceChildren(first, ...inside);
  }

  /** All numbers of a part as a strip, orange above 0 and blue below, and the first of them written out. */
  numbers(values) {
    const strip = make("canvas.strip", {ariaHidden: "true"}),
      most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
    const across = Math.min(values.length, 64),
      pen = Object.assign(strip, {width: across, height: Math.ceil(values.length / across)}).getContext("2d");
    values.forEach((value, i) => {
      pen.fillStyle = `rgb(${value > 0 ? "230 126 0" : "30 144 230"} / ${Math.abs(value) / most})`;
      pen.fillRect(i % across, Math.floor(i / across), 1, 1);
    });
    const first = [...values.slice(0, NUMBERS)].map((value) => value.toFixed(3).replace("-", "−")).join("  ");
    const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    return [
      strip,
      make("p", {}, make("code", {}, `${first} …`)),
      make("p", {}, `Length of the vector: ${norm.toFixed(2)}`),
    ];
  }

  heads() {
    const {heads} = this.model.gpt2.config;
    return Array.from({length: heads}, (_, head) => {
      const pattern = this.patterns[this.layer * heads + head];
      const best = likeliest(pattern, 3).map(
        ([place, share]) => `${visible(this.tokenizer, this.ids[place])} ${percent(share)}`,
      );
      return make("p", {}, make("strong", {}, `Head ${this.layer}.${head} `), best.join(", "));
    });
  }
}

export async function mount(place, model, settings) {
  const view = new NetworkView(place, model, settings);
  await view.begin(settings.prompt);
  return view;
}
