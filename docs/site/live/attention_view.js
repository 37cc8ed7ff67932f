// Attention: which tokens each head of each block looks at, and what the text becomes without some of them.
import {button, encode, make, percent, promptField, quoted, visible, walk, writeGreedily} from "./parts.js";
import {likeliest} from "./sampling.js";

const MOST = 48; // tokens whose maps are drawn
const WRITTEN = 24; // tokens of the texts below
const ORANGE = "rgb(230 159 0 / 0.4)";
const EXPLAIN =
  "Each small map is one head: a row for each token of the text, from top to bottom, and in it, in blue, the tokens " +
  "before it that this token looks at. Choose a map; then point at a token, or press it to hold it.";

export class AttentionView {
  constructor(place, model, {prompt}) {
    Object.assign(this, {model, tokenizer: model.tokenizer, muted: new Set(), turn: 0});
    this.field = promptField(prompt, (text) => this.begin(text));
    this.tokens = make("p.tokens", {onmouseleave: () => this.point(this.held)});
    this.tokens.onkeydown = walk(() => [...this.tokens.children], 1);
    this.strange = make("p.strange", {role: "status"});
    this.said = make("p.said", {role: "status"});
    this.knock = button("", () => this.toggle());
    this.restore = button("All heads back", () => this.mute(new Set()));
    this.maps = make("div.maps", {role: "group", ariaLabel: "attention heads, a row for each block"});
    this.texts = make("div.texts");
    const {layers, heads} = model.gpt2.config;
    this.maps.style.setProperty("--heads", heads);
    this.maps.onkeydown = walk(() => [...this.maps.children], heads);
    this.maps.append(...Array.from({length: layers * heads}, (_, head) => this.map(head, heads)));
    place.append(
      this.field.element,
      this.strange,
      make("p.explain", {}, EXPLAIN),
      this.tokens,
      this.said,
      this.maps,
      make("p.buttons", {}, this.knock, this.restore),
      this.texts,
    );
  }

  map(head, heads) {
    const name = `${Math.floor(head / heads)}.${head % heads}`;
    const press = button("", () => this.choose(head), {ariaLabel: `block ${name.replace(".", ", head ")}`});
    press.append(make("canvas", {ariaHidden: "true"}), make("span", {}, name));
    press.dataset.name = name;
    return press;
  }

  async begin(text) {
    const {ids, strange} = encode(this.model, text);
    const cut = ids.length > MOST ? ` Only the last ${MOST} of its ${ids.length} tokens are read here.` : "";
    this.strange.textContent = strange + cut;
    this.ids = ids.slice(-MOST);
    this.held = this.at = this.ids.length - 1;
    await this.read();
  }

  /** Read the text with the heads that are left, draw, and write on with and without those knocked out. */
  async read() {
    const turn = ++this.turn,
      rows = this.ids.map((id) => this.tokenizer.row(id));
    const reading = this.model.reading({muted: this.muted, keep: true});
    const logits = await reading.read(rows);
    if (!logits || turn !== this.turn) return;
    this.patterns = reading.patterns.slice(); // writing on adds to the reading's own
    this.head ??= this.mostTelling();
    this.showTokens();
    this.show();
    await this.write(reading, rows, turn);
  }

  /** The head that looks most at one earlier token which is not the first: a good one to begin with. */
  mostTelling() {
    const peaks = this.patterns.at(-1).map((pattern) => Math.max(0, ...pattern.slice(1, -1)));
    return peaks.indexOf(Math.max(...peaks));
  }

  showTokens() {
    this.tokens.replaceChildren(
      ...this.ids.map((id, place) => {
        const token = make("span.token", {role: "button"}, visible(this.tokenizer, id).replace(/^·/, " "));
        const hold = () => this.point((this.held = place));
        token.tabIndex = place === this.held ? 0 : -1;
        Object.assign(token, {onmouseenter: () => this.point(place), onfocus: hold, onclick: hold});
        token.addEventListener("keydown", (event) => event.key === "Enter" && hold());
        return token;
      }),
    );
  }

  point(place) {
    this.at = place;
    this.show();
  }

  choose(head) {
    this.head = head;
    this.show();
  }

  toggle() {
    const muted = new Set(this.muted),
      name = this.maps.children[this.head].dataset.name;
    if (!muted.delete(name)) muted.add(name);
    return this.mute(muted);
  }

  mute(muted) {
    this.muted = muted;
    return this.read();
  }

  show() {
    const row = this.patterns[this.at][this.head],
      name = this.maps.children[this.head].dataset.name;
    [...this.tokens.children].forEach((token, place) => {
      token.style.setProperty("--share", place <= this.at ? row[place].toFixed(3) : 0);
      token.classList.toggle("later", place > this.at);
      token.setAttribute("aria-pressed", place === this.at);
    });
    this.blue = getComputedStyle(this.maps).getPropertyValue("--tint"); // the theme's
    [...this.maps.children].forEach((map, head) => {
      map.setAttribute("aria-pressed", head === this.head);
      map.classList.toggle("muted", this.muted.has(map.dataset.name));
      this.paint(map.firstChild, head);
    });
    const best = likeliest(row, 4).filter(([, share]) => share >= 0.05);
    const looks = best
      .map(([place, share]) => `${quoted(this.tokenizer, this.ids[place])} ${percent(share)}`)
      .join(", ");
    const token = quoted(this.tokenizer, this.ids[this.at]);
    this.said.textContent = `Head ${name}: ${token} looks at ${looks || "all a little, none with 5 %"}.`;
    this.knock.textContent = this.muted.has(name) ? `Bring head ${name} back` : `Knock head ${name} out`;
    this.restore.disabled = this.muted.size === 0;
  }

  paint(canvas, head) {
    const time = this.patterns.length,
      pen = canvas.getContext("2d");
    canvas.width = canvas.height = time; // which also wipes it
    pen.fillStyle = ORANGE;
    pen.fillRect(0, this.at, time, 1);
    this.patterns.forEach((heads, row) =>
      heads[head].forEach((share, column) => {
        pen.fillStyle = `rgb(${this.blue} / ${share})`;
        pen.fillRect(column, row, 1, 1);
      }),
    );
  }

  async write(reading, rows, turn) {
    const whole = this.model.reading(),
      isStale = () => turn !== this.turn;
    const end = this.tokenizer.row(this.tokenizer.endOfText),
      names = [...this.muted].sort().join(", ");
    const texts = [["With all heads", await writeGreedily(whole, rows, WRITTEN, end, isStale)]];
    if (names) texts.push([`Without ${names}`, await writeGreedily(reading, rows, WRITTEN, end, isStale)]);
    if (isStale()) return;
    this.texts.replaceChildren(
      ...texts.map(([title, written]) => {
        const text = this.tokenizer.decode(written.map((row) => this.tokenizer.id(row)));
        return make("p", {}, make("strong", {}, `${title}, it goes on: `), make("span.written", {}, `…${text} …`));
      }),
    );
    if (names && texts[0][1].join() === texts[1][1].join())
      this.texts.append(
        make("p.said", {}, "No difference here: other heads do the same work. Knock out more of them."),
      );
  }
}

export async function mount(place, model, settings) {
  const view = new AttentionView(place, model, settings);
  await view.begin(settings.prompt);
  return view;
}
