// Next tokens and sampling: what may come next, how sliders bend it, and the text that the draw writes.
import {pause} from "./gpt2.js";
import {button, encode, fitting, make, percent, promptField, quoted, slider, visible, walk} from "./parts.js";
import {ALL, draw, likeliest, probabilities, random} from "./sampling.js";

const SHOWN = 10; // tokens in the list
const FRAME = 50; // milliseconds between two pictures while it writes: drawing each token takes longer than writing it
const SETTINGS = {
  temperature: [
    "Temperature",
    {min: 0, max: 2, step: 0.05, value: 0.8, say: (t) => (t ? t.toFixed(2) : "0, the likeliest")},
  ],
  topK: ["Top-k", {min: 0, max: 40, step: 1, value: 0, say: (k) => (k ? `${k}` : "all")}],
  topP: ["Top-p", {min: 0.05, max: 1, step: 0.01, value: 1, say: (p) => (p < 1 ? p.toFixed(2) : "all")}],
  minP: ["Min-p", {min: 0, max: 0.5, step: 0.01, value: 0, say: (p) => (p ? p.toFixed(2) : "all")}],
};
const EXPLAIN =
  "What may come next: the outline is the model's own probability, the bar what the sliders make of it. Press a " +
  "token to take it. In the text, the darker a token's ground, the less likely it was; press one to go back to it.";

export class SamplingView {
  constructor(place, model, {prompt}) {
    Object.assign(this, {model, tokenizer: model.tokenizer, reading: model.reading(), running: false, drawn: 0});
    this.settings = Object.fromEntries(Object.entries(SETTINGS).map(([name, [, {value}]]) => [name, value]));
    this.number = random(1);
    this.field = promptField(prompt, (text) => this.begin(text), "Your text: change it");
    this.go = button("Continue", () => (this.running ? this.stop() : this.run()));
    this.paper = make("p.paper");
    this.paper.onkeydown = walk(() => [...this.paper.querySelectorAll(".token")], 1);
    this.list = make("ol.bars");
    this.list.onkeydown = walk(() => [...this.list.querySelectorAll("button")], 1);
    this.said = make("p.said", {role: "status"});
    this.strange = make("p.strange", {role: "status"});
    const sliders = Object.entries(SETTINGS).map(([name, [label, range]]) =>
      slider(label, range, (value) => ((this.settings[name] = value), this.show())),
    );
    place.append(
      this.field.element,
      make(
        "p.buttons",
        {},
        this.go,
        button("One token", () => this.step()),
        button("Back to your text", () => this.cut(this.own)),
      ),
      this.strange,
      this.paper,
      make("div.sliders", {}, ...sliders),
      make("p.explain", {}, EXPLAIN),
      this.list,
      this.said,
    );
  }

  /** Read a text anew: all of it is the reader's own. */
  async begin(text) {
    this.stop();
    const {ids, strange} = encode(this.model, text);
    this.strange.textContent = strange;
    this.ids = ids;
    this.shares = ids.map(() => null); // of the tokens that were drawn or pressed: how likely each was
    this.own = ids.length;
    await this.read();
  }

  /** Ask the model about the text as it is; false if another text came meanwhile. */
  async read() {
    const rows = fitting(
      this.ids.map((id) => this.tokenizer.row(id)),
      this.model.gpt2.config,
    );
    const logits = await this.reading.read(rows);
    if (!logits) return false;
    this.logits = logits;
    this.plain = probabilities(logits, ALL);
    this.show();
    return true;
  }

  show() {
    if (!this.logits) return;
    this.bent = probabilities(this.logits, this.settings);
    if (this.running && performance.now() - this.drawn < FRAME) return;
    this.showBars();
    this.showText();
    if (!this.running) this.said.textContent = this.inWords();
    this.drawn = performance.now();
  }

  showBars() {
    const best = likeliest(this.plain, SHOWN);
    const held = [...this.list.children].findIndex((item) => item.contains(document.activeElement));
    const most = Math.max(...best.map(([row, share]) => Math.max(share, this.bent[row]))); // its bar fills the line
    this.list.replaceChildren(...best.map(([row, share]) => this.bar(row, share, this.bent[row], most)));
    this.list.children[held]?.firstChild.focus({preventScroll: true}); // the keyboard stays where it was
  }

  bar(row, share, left, most) {
    const id = this.tokenizer.id(row);
    const meter = make("span.meter", {ariaHidden: "true"}, make("i.before"), make("i.after"));
    meter.children[0].style.width = `${(100 * share) / most}%`;
    meter.children[1].style.width = `${(100 * left) / most}%`;
    const told = left > 0 ? percent(left) : "out";
    const press = button("", () => this.take(row), {ariaLabel: `take ${quoted(this.tokenizer, id)}, ${told}`});
    press.append(make("code", {}, visible(this.tokenizer, id)), meter, make("span.share", {}, told));
    return make("li", {}, press);
  }

  /** Draw the tokens that are new or others than before; those in front of them stay. */
  showText() {
    const shown = (this.shown ??= []),
      key = (id, place) => `${id} ${place < this.own}`;
    let same = 0;
    while (same < this.ids.length && shown[same] === key(this.ids[same], same)) same++;
    while (this.paper.childNodes.length > same) this.paper.lastChild.remove();
    if (same && this.paper.lastChild.tabIndex === 0) this.paper.lastChild.tabIndex = -1;
    const added = this.ids.slice(same).map((id, i) => this.shownToken(id, same + i));
    this.paper.append(...added);
    if (this.ids.length > this.own) this.paper.lastChild.tabIndex = 0; // one stop for the tab key, then arrows
    this.shown = this.ids.map(key);
    this.paper.scrollTop = this.paper.scrollHeight;
  }

  shownToken(id, place) {
    if (place >= this.own) return this.token(id, place);
    return make("span.own", {}, id === this.tokenizer.endOfText ? "" : this.tokenizer.decode([id]));
  }

  /** A token that the model wrote: no <button>, since that would not wrap as text does. */
  token(id, place) {
    const back = () => this.cut(place),
      share = this.shares[place];
    const token = make(
      "span.token",
      {role: "button", title: `${percent(share)}; press to go back to it`},
      this.tokenizer.decode([id]),
    );
    token.tabIndex = -1;
    token.style.setProperty("--share", share.toFixed(3));
    token.onclick = back;
    token.onkeydown = (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), back());
    return token;
  }

  inWords() {
    const left = this.bent.reduce((count, share) => count + (share > 0), 0);
    const [[row, share]] = likeliest(this.bent, 1),
      best = quoted(this.tokenizer, this.tokenizer.id(row));
    const many =
      left === 1 ? "One token is left in the draw" : `${left.toLocaleString("en")} tokens are left in the draw`;
    if (this.ids.length >= this.model.gpt2.config.context) return "All positions of the model are taken.";
    return this.ended() ? "The text ends here." : `${many}; the likeliest is ${best} with ${percent(share)}.`;
  }

  ended() {
    return this.ids.length > this.own && this.ids.at(-1) === this.tokenizer.endOfText;
  }

  async take(row) {
    if (this.ended()) return false;
    this.ids.push(this.tokenizer.id(row));
    this.shares.push(this.plain[row]);
    return this.read();
  }

  step() {
    return this.take(draw(this.bent, this.number()));
  }

  async cut(place) {
    this.stop();
    this.ids.length = this.shares.length = place;
    await this.read();
  }

  stop() {
    this.running = false;
    this.go.textContent = "Continue";
  }

  async run(most = Infinity) {
    if (this.ended()) await this.cut(this.own); // a finished text is followed by another one
    this.running = true;
    this.go.textContent = "Stop";
    const start = performance.now(),
      first = this.ids.length,
      end = Math.min(first + most, this.model.gpt2.config.context);
    let yielded = start;
    while (this.running && this.ids.length < end && (await this.step())) {
      if (this.ended()) break;
      if (performance.now() - yielded < FRAME / 3) continue;
      await pause(); // the reader may stop it, or move a slider
      yielded = performance.now();
    }
    const count = this.ids.length - first,
      rate = count / ((performance.now() - start) / 1000);
    this.stop();
    this.show(); // with the tokens since the last picture
    this.said.textContent = `${count} tokens, ${rate.toFixed(0)} a second. ${this.inWords()}`;
  }
}

export async function mount(place, model, settings) {
  const view = new SamplingView(place, model, settings);
  await view.begin(settings.prompt);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (settings.write && !calm) view.run(settings.write); // a front page shows at once that it is alive
  return view;
}
