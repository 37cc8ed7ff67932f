// Few bits against 16: the same text read by two models side by side, with their next tokens, texts and bytes.
import {Reading, pause, softmax} from "./gpt2.js";
import {loadFiner} from "./load.js";
import {barList, encode, make, promptField, slider, visible, writeGreedily} from "./parts.js";
import {bytesIn16Bits, quantizeModel} from "./quantize.js";
import {likeliest} from "./sampling.js";

const GROUPS = [16, 32, 64, 128, 256],
  WRITTEN = 30,
  SHOWN = 6;
const EXPLAIN =
  "Each weight on the right is rounded to a code of so many bits; a group of neighbors shares one scale of 16 bits. " +
  "Where the two texts part, the token is marked.";

export class BitsView {
  constructor(place, model, {prompt}) {
    Object.assign(this, {model, tokenizer: model.tokenizer, whole: model.gpt2, bits: 4, group: 64, turn: 0});
    this.field = promptField(prompt, (text) => this.begin(text));
    this.strange = make("p.strange", {role: "status"});
    this.said = make("p.said", {role: "status"});
    this.sides = [make("div.side"), make("div.side")];
    const bits = slider("Bits", {min: 2, max: 8, step: 1, value: 4}, (value) => this.squeeze({bits: value}));
    const group = slider(
      "Weights that share a scale",
      {min: 0, max: 4, step: 1, value: 2, say: (i) => `${GROUPS[i]}`},
      (i) => this.squeeze({group: GROUPS[i]}),
    );
    place.append(
      this.field.element,
      this.strange,
      make("div.sliders", {}, bits, group),
      make("p.explain", {}, EXPLAIN),
      make("div.sides", {}, ...this.sides),
      this.said,
    );
  }

  async begin(text) {
    const {rows, strange} = encode(this.model, text);
    this.strange.textContent = strange;
    this.rows = rows.slice(-(this.model.gpt2.config.context - WRITTEN));
    this.small ??= quantizeModel(this.whole, this.bits, this.group);
    await this.compare();
  }

  async squeeze(change) {
    Object.assign(this, change);
    const turn = ++this.turn;
    await pause(); // the slider moves first
    if (turn !== this.turn) return;
    this.small = quantizeModel(this.whole, this.bits, this.group);
    await this.compare();
  }

  async compare() {
    const turn = ++this.turn,
      isStale = () => turn !== this.turn,
      bytes = bytesIn16Bits(this.whole);
    const sides = [
      {title: "16 bits", bytes, reading: new Reading(this.whole)},
      {
        title: `${this.bits} bits, groups of ${this.group}`,
        bytes: this.small.bytes,
        reading: new Reading(this.small.model),
      },
    ];
    for (const side of sides) {
      const logits = await side.reading.read(this.rows);
      if (!logits || isStale()) return;
      side.shares = softmax(Float64Array.from(logits));
    }
    this.show(sides);
    const end = this.tokenizer.row(this.tokenizer.endOfText);
    for (const side of sides) side.text = await writeGreedily(side.reading, this.rows, WRITTEN, end, isStale);
    if (!isStale()) this.show(sides);
  }

  show(sides) {
    const [whole, small] = sides,
      parting = whole.text?.findIndex((row, i) => row !== small.text?.[i]) ?? -1;
    sides.forEach((side, i) => {
      const parts = [
        make("h3", {}, side.title),
        make("p", {}, `${(side.bytes / 1e6).toFixed(2)} MB`),
        barList(this.tokenizer, likeliest(side.shares, SHOWN)),
      ];
      if (side.text) parts.push(make("p.written", {}, "…", ...this.marked(side.text, parting), " …"));
      this.sides[i].replaceChildren(...parts);
    });
    const divergence = whole.shares.reduce((sum, p, i) => sum + (p && p * Math.log(p / small.shares[i])), 0);
    const same = parting < 0 ? `the next ${WRITTEN} tokens are the same` : `the texts part at token ${parting + 1}`;
    this.said.textContent =
      `${(whole.bytes / small.bytes).toFixed(1)} times smaller; ` +
      `KL divergence of the next token ${divergence.toFixed(3)} nats` +
      (whole.text ? `; ${same}.` : " …");
  }

  marked(text, parting) {
    return text.map((row, i) => {
      const id = this.tokenizer.id(row);
      return i === parting
        ? make("mark", {}, visible(this.tokenizer, id).replace(/^·/, " "))
        : this.tokenizer.decode([id]);
    });
  }
}

export async function mount(place, model, settings) {
  const view = new BitsView(place, model, settings);
  view.whole = await loadFiner(model.folder, model); // the page's own 8 bits would make the left side look worse
  await view.begin(settings.prompt);
  return view;
}
