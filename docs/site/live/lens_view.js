// Logit lens: the head reads the residual stream after each block, and says what it would have answered there.
import {pause, softmax} from "./gpt2.js";
import {barList, encode, make, percent, promptField, quoted, visible, walk} from "./parts.js";
import {likeliest} from "./sampling.js";

const MOST = 32; // tokens of the text
const EXPLAIN =
  "A line for each token of the text. From left to right: what the head would answer if the network ended before the " +
  "first block, after it, after the next … The darker the ground, the surer; underlined: the whole network's answer.";

export class LensView {
  constructor(place, model, {prompt}) {
    Object.assign(this, {model, tokenizer: model.tokenizer, turn: 0});
    this.layers = model.gpt2.config.layers;
    this.field = promptField(prompt, (text) => this.begin(text));
    this.strange = make("p.strange", {role: "status"});
    const names = ["start", ...Array.from({length: this.layers}, (_, layer) => `block ${layer}`)];
    this.body = make("tbody");
    this.body.onkeydown = walk(() => [...this.body.querySelectorAll("button")], this.layers + 1);
    const heads = ["token", ...names].map((name) => make("th", {scope: "col"}, name));
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), this.body);
    this.wide = make(
      "div.wide",
      {tabIndex: 0, role: "region", ariaLabel: "what the head would answer after each block"},
      table,
    );
    this.said = make("p.said", {role: "status"});
    this.list = make("div");
    place.append(this.field.element, this.strange, make("p.explain", {}, EXPLAIN), this.wide, this.said, this.list);
  }

  async begin(text) {
    const turn = ++this.turn,
      {ids, rows, strange} = encode(this.model, text);
    this.strange.textContent = strange + (ids.length > MOST ? ` Only its last ${MOST} tokens are read here.` : "");
    this.ids = ids.slice(-MOST);
    const reading = this.model.reading({keep: true});
    if (!(await reading.read(rows.slice(-MOST))) || turn !== this.turn) return;
    this.answers = []; // by token: for each stage its likeliest next tokens, [row, share]
    for (const streams of reading.streams) {
      this.answers.push(await this.answersOf(streams));
      await pause();
      if (turn !== this.turn) return;
    }
    this.showTable();
    this.choose(this.ids.length - 1, this.layers);
  }

  async answersOf(streams) {
    const {gpt2} = this.model,
      {vocab, width} = gpt2.config,
      all = new Float32Array(streams.length * width);
    streams.forEach((stream, stage) => all.set(stream, stage * width));
    const logits = await gpt2.logits(all, streams.length);
    return streams.map((_, stage) => likeliest(softmax(logits.slice(stage * vocab, (stage + 1) * vocab)), 5));
  }

  showTable() {
    this.body.replaceChildren(
      ...this.ids.map((id, place) => {
        const cells = this.answers[place].map((answer, stage) => make("td", {}, this.cell(place, stage, answer[0])));
        return make("tr", {}, make("th", {scope: "row"}, visible(this.tokenizer, id)), ...cells);
      }),
    );
  }

  cell(place, stage, [row, share]) {
    const choose = () => this.choose(place, stage),
      name = visible(this.tokenizer, this.tokenizer.id(row));
    const cell = make("button", {type: "button", onclick: choose, onmouseenter: choose, onfocus: choose}, name);
    const [last] = this.answers[place].at(-1)[0];
    cell.classList.toggle("same", row === last);
    cell.style.setProperty("--share", share.toFixed(3));
    cell.tabIndex = place === this.ids.length - 1 && stage === this.layers ? 0 : -1;
    return cell;
  }

  choose(place, stage) {
    const answer = this.answers[place][stage],
      [[row, share]] = answer,
      when = stage ? `After block ${stage - 1}` : "Before the first block";
    const [last] = this.answers[place].at(-1)[0],
      name = (which) => quoted(this.tokenizer, this.tokenizer.id(which));
    const held = this.answers[place].findIndex((_, from) =>
      this.answers[place].slice(from).every(([[best]]) => best === last),
    );
    const since = held ? `after block ${held - 1}` : "from the start";
    this.body
      .querySelectorAll("button")
      .forEach((cell, i) => cell.setAttribute("aria-pressed", i === place * (this.layers + 1) + stage));
    this.said.textContent =
      `${when}, at ${quoted(this.tokenizer, this.ids[place])}, ` +
      `the head would say ${name(row)} with ${percent(share)}. ` +
      `The whole network says ${name(last)}; it holds to that ${since}.`;
    this.list.replaceChildren(barList(this.tokenizer, answer));
  }
}

export async function mount(place, model, settings) {
  const view = new LensView(place, model, settings);
  await view.begin(settings.prompt);
  return view;
}
