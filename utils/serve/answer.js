// Answers, token by token: each shaded by its probability, with the likeliest in its place, one of which can be taken.
// Gradio runs this with `element`, `props`, `trigger` and `watch`. Rows are those of thoughts.py: text, id, probability,
// and the likeliest as sign, id, probability.
const HOW =
  "The stronger a token's ground, the less likely it was. Point at one to see what else was likely; " +
  "press it to hold it, then press another token to go on from there.";
const MUTE = "What writes here does not tell how likely its tokens were.";
const places = [];

function make(kind, properties = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.classList.add(...classes);
  made.append(...children);
  return made;
}

function percent(share) {
  if (share > 0.9995) return "100 %";
  return share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

const signs = (text) => text.replace(/\n/g, "↵").replace(/\t/g, "⇥").trim() || "a space";
const isSame = (row, other) => row[0] === other[0] && row[1] === other[1] && row[2] === other[2];

/** Let the arrow keys walk over a list of elements. */
function walk(list) {
  return (event) => {
    const here = list().indexOf(document.activeElement);
    const next = {ArrowLeft: here - 1, ArrowUp: here - 1, ArrowRight: here + 1, ArrowDown: here + 1};
    const aim = list()[{Home: 0, End: list().length - 1, ...next}[event.key]];
    if (here < 0 || !aim) return;
    event.preventDefault();
    aim.focus();
  };
}

/** One answer: whose it is, its text, how it went, and what was likely where a reader points. */
class Answer {
  constructor(number) {
    Object.assign(this, {number, rows: [], held: null, seen: null});
    this.name = make("h3");
    this.paper = make("p.paper", {role: "group", "aria-label": "The text, token by token"});
    this.own = make("span.own");
    this.paper.append(this.own);
    this.paper.onkeydown = walk(() => this.tokens());
    this.line = make("span");
    this.seed = make("span.seed");
    const keep = make("button.keep", {type: "button", onclick: () => trigger("keep", {seed: this.answer.seed})});
    keep.textContent = "Keep this seed";
    this.caption = make("p.caption", {}, this.line, this.seed, keep);
    this.said = make("p.said", {role: "status"}, HOW);
    this.bars = make("ol.bars");
    this.bars.onkeydown = (event) => {
      if (event.key === "Escape") this.tokens()[this.seen]?.focus();
      walk(() => [...this.bars.querySelectorAll("button:enabled")])(event);
    };
    this.place = make("section.answer", {}, this.name, this.paper, this.caption, this.said, this.bars);
  }

  tokens() {
    return [...this.paper.querySelectorAll("[role=button]")];
  }

  show(answer, prompt) {
    const isAtEnd = this.paper.scrollTop + this.paper.clientHeight > this.paper.scrollHeight - 40;
    this.answer = answer;
    this.name.textContent = answer.model;
    this.place.setAttribute("aria-label", `What ${answer.model} writes`);
    this.own.textContent = prompt;
    this.line.textContent = answer.line;
    this.seed.textContent = `seed ${answer.seed}`;
    this.showTokens(answer.tokens);
    if (isAtEnd) this.paper.scrollTop = this.paper.scrollHeight;
  }

  /** Draw the tokens that are new or others than before; those in front of them stay. */
  showTokens(rows) {
    let same = 0;
    while (same < Math.min(rows.length, this.rows.length) && isSame(rows[same], this.rows[same])) same++;
    if (same < this.rows.length && this.seen !== null && this.seen >= same) this.forget();
    while (this.paper.childNodes.length > same + 1) this.paper.lastChild.remove();
    this.paper.append(...rows.slice(same).map((row, i) => this.token(row, same + i)));
    this.rows = rows;
    const list = this.tokens();
    if (rows.length && !list.length) this.said.textContent = MUTE;
    if (list.length && !list.some((token) => token.tabIndex === 0)) list[0].tabIndex = 0; // one stop for the tab key
  }

  /** A token that the model wrote: no <button>, since that would not wrap as text does. */
  token([piece, , share], place) {
    if (share === null) return make("span.token.plain", {}, piece);
    const token = make("span.token", {role: "button", tabIndex: -1, "aria-pressed": "false"}, piece);
    token.title = percent(share);
    token.style.setProperty("--share", share.toFixed(3));
    token.onmouseenter = () => this.held === null && this.look(place);
    token.onfocus = () => this.held === null && this.look(place);
    token.onclick = () => this.hold(place);
    token.onkeydown = (event) => {
      if (!["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      this.hold(place);
      this.bars.querySelector("button:enabled")?.focus();
    };
    return token;
  }

  /** Hold a token, so that others in the pointer's way change nothing; press it again to let go. */
  hold(place) {
    this.held = this.held === place ? null : place;
    this.look(place);
  }

  look(place) {
    const [piece, id, share, likeliest] = this.rows[place];
    this.seen = place;
    [...this.paper.children].slice(1).forEach((token, i) => {
      if (token.role !== "button") return;
      token.tabIndex = i === place ? 0 : -1;
      token.setAttribute("aria-pressed", `${i === this.held}`);
    });
    const rank = likeliest.findIndex(([, other]) => other === id);
    const how = rank === 0 ? "the likeliest" : rank > 0 ? `number ${rank + 1}` : "none of the five likeliest";
    this.said.textContent = `“${signs(piece)}” had ${percent(share)}, ${how}. Press another to go on with it:`;
    this.bars.replaceChildren(...likeliest.map((choice) => this.bar(choice, id, likeliest[0][2])));
  }

  bar([sign, id, share], written, most) {
    const fill = make("i");
    fill.style.width = `${(100 * share) / most}%`;
    const parts = [make("code", {}, sign), make("span.meter", {"aria-hidden": "true"}, fill)];
    const press = make("button", {type: "button"}, ...parts, make("span.share", {}, percent(share)));
    press.disabled = id === null;
    press.setAttribute("aria-label", `${id === written ? "written here: " : ""}${sign}, ${percent(share)}`);
    press.onclick = () => trigger("take", {answer: this.number, place: this.seen, token: id});
    return make(id === written ? "li.written" : "li", {}, press);
  }

  forget() {
    Object.assign(this, {held: null, seen: null});
    this.said.textContent = HOW;
    this.bars.replaceChildren();
  }
}

function show() {
  const {prompt = "", answers = []} = props.value ?? {};
  while (places.length > answers.length) places.pop().place.remove();
  for (const [number, answer] of answers.entries()) {
    if (!places[number]) element.append((places[number] = new Answer(number)).place);
    places[number].show(answer, prompt);
  }
  element.querySelector(".empty").hidden = answers.length > 0;
}

watch("value", show);
show();
