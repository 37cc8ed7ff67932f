// Small parts that the views share: elements, sliders, texts of tokens.
import {pause} from "./gpt2.js";

/** Make an element: `make("button.token", {type: "button", onclick}, "text", other)`. */
export function make(kind, properties = {}, ...children) {
  const [tag, ...classes] = kind.split("."),
    element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria")) element.setAttribute(`aria-${name.slice(4).toLowerCase()}`, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.classList.add(...classes);
  element.append(...children);
  return element;
}

/** A labelled slider that answers while it moves; `say` puts its value into words. */
export function slider(label, {min, max, step, value, say = String}, answer) {
  const output = make("b", {}, say(value));
  const input = make("input", {type: "range", min, max, step, ariaLabel: label});
  input.value = value;
  input.setAttribute("aria-valuetext", say(value));
  input.oninput = () => {
    output.textContent = say(+input.value);
    input.setAttribute("aria-valuetext", say(+input.value));
    answer(+input.value);
  };
  return make("label.slider", {}, make("span", {}, label, " ", output), input);
}

export const button = (text, onclick, more = {}) =>
  make("button", {type: "button", onclick, ...more}, ...(text ? [text] : []));

/** The text that a view reads, in a field that answers while it is typed into. */
export function promptField(value, answer, label = "Text") {
  const field = make("textarea", {rows: 2, value, spellcheck: false, autocomplete: "off"});
  field.oninput = () => answer(field.value);
  return {field, element: make("label.prompt", {}, make("span", {}, label), field)};
}

/** A token as it is shown on a page: spaces and line ends made visible. */
export function visible(tokenizer, id) {
  if (id === tokenizer.endOfText) return "end of text";
  return tokenizer.decode([id]).replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/ /g, "·");
}

export const quoted = (tokenizer, id) =>
  `“${tokenizer.decode([id]).replace(/\n/g, "↵").trim() || visible(tokenizer, id)}”`;

export function percent(share) {
  if (share > 0.9995) return "100 %";
  return share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** Encode a text for a model: ids, rows of its table, and what must be said about unknown parts of the text. */
export function encode({tokenizer}, text) {
  const {ids: found, lost} = tokenizer.encode(text);
  const ids = found.length ? found : [tokenizer.endOfText]; // an empty prompt starts a new text
  const strange = [...new Set(ids.filter((id) => !tokenizer.knows(id)))];
  const names = strange
    .slice(0, 5)
    .map((id) => `“${visible(tokenizer, id)}”`)
    .join(", ");
  const told = [];
  if (strange.length)
    told.push(`This model never saw ${names}${strange.length > 5 ? " and others" : ""} in training: unknown to it.`);
  if (lost.length) told.push(`It has no token for “${[...new Set(lost)].slice(0, 5).join("")}”: left out.`);
  return {ids, rows: ids.map((id) => tokenizer.row(id)), strange: told.join(" ")};
}

/** Cut what is longer than the model's positions, from the left, with room for `more` tokens. */
export function fitting(rows, config, more = 0) {
  return rows.slice(-Math.max(1, config.context - more));
}

/** Let arrow keys walk over a list of buttons that lies in rows of `across`. */
export function walk(list, across) {
  return (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across}[event.key];
    const next = step && list()[list().indexOf(document.activeElement) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  };
}

/** Likeliest next tokens as a list of bars, for a look: `shares` are the probabilities of the rows of the table. */
export function barList(tokenizer, best) {
  const bar = ([row, share]) => {
    const meter = make("span.meter", {ariaHidden: "true"}, make("i.after"));
    meter.firstChild.style.width = `${(100 * share) / best[0][1]}%`;
    const parts = [
      make("code", {}, visible(tokenizer, tokenizer.id(row))),
      meter,
      make("span.share", {}, percent(share)),
    ];
    return make("li", {}, make("span.bar", {}, ...parts));
  };
  return make("ol.bars", {}, ...best.map(bar));
}

/** Let a model write on at temperature 0; `isStale()` ends it early, and then null is returned. */
export async function writeGreedily(reading, rows, count, end, isStale) {
  const text = [...rows],
    {context} = reading.model.config;
  while (text.length < rows.length + count && text.length < context) {
    const logits = await reading.read(text);
    if (!logits || isStale()) return null;
    const best = logits.indexOf(Math.max(...logits));
    if (best === end) break;
    text.push(best);
    await pause();
  }
  return text.slice(rows.length);
}
