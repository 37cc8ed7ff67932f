// A view in a notebook, as anywidget wants it: the same modules, and a model that is asked in Python.

/** Import a module from the sources that Python sent: each import becomes the address of a blob. */
function open(sources, name, addresses = new Map()) {
  const address = (wanted) => {
    if (!addresses.has(wanted)) {
      const code = sources[wanted].replace(/from "\.\/([\w.]+)"/g, (_, other) => `from "${address(other)}"`);
      addresses.set(wanted, URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
    }
    return addresses.get(wanted);
  };
  return import(address(name));
}

/** Questions to Python, each answered by a message with its number. */
class Questions {
  constructor(model) {
    Object.assign(this, {model, count: 0, waiting: new Map()});
    this.hear = (message, buffers) => {
      const [resolve, reject] = this.waiting.get(message.number) ?? [];
      this.waiting.delete(message.number);
      if (message.error) return reject?.(new Error(message.error));
      resolve?.(message.arrays?.map(({shape}, i) => ({shape, values: floats(buffers[i])})) ?? []);
    };
    model.on("msg:custom", this.hear);
  }

  ask(kind, wishes, buffers = []) {
    const number = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, [resolve, reject]);
      this.model.send({number, kind, ...wishes}, undefined, buffers);
    });
  }

  end() {
    this.model.off("msg:custom", this.hear);
  }
}

/** The numbers of a buffer, copied: what comes over the wire need not begin where float32 may. */
function floats(buffer) {
  const bytes = new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);
  return new Float32Array(bytes.slice().buffer);
}

/** Reading in Python what docs/site/live/gpt2.js reads in the page; the views see no difference. */
class RemoteReading {
  constructor(gpt2, questions, {muted = new Set(), keep = false, note = null} = {}) {
    Object.assign(this, {model: gpt2, questions, muted, keep, note, turn: 0});
  }

  async read(tokens) {
    const turn = ++this.turn, wishes = {tokens, muted: [...this.muted], keep: this.keep, note: Boolean(this.note)};
    const [logits, patterns, streams, ...notes] = await this.questions.ask("read", wishes);
    if (turn !== this.turn) return null;
    this.tokens = tokens;
    if (this.keep) this.take(patterns, streams, tokens.length);
    if (this.note) this.questions.names.forEach((name, i) => this.note(name, notes[i].values));
    return logits.values;
  }

  /** By token: for each head how much it looks at each token so far; and the stream at each stage. */
  take({values, shape: [heads]}, {values: all, shape: [stages, , width]}, time) {
    const row = (head, token) => (head * time + token) * time, at = (stage, token) => (stage * time + token) * width;
    const count = (length, each) => Array.from({length}, (_, i) => each(i));
    this.patterns = count(time, (token) =>
      count(heads, (head) => values.slice(row(head, token), row(head, token) + token + 1)));
    this.streams = count(time, (token) =>
      count(stages, (stage) => all.slice(at(stage, token), at(stage, token) + width)));
  }
}

async function render({model, el}) {
  const sources = model.get("sources"), about = model.get("about"), questions = new Questions(model);
  questions.names = about.names;
  const {openTokenizer} = await open(sources, "tokenizer.js");
  const view = await open(sources, `${model.get("view")}_view.js`);
  const gpt2 = {config: about.config};
  gpt2.logits = async (streams, count) => (await questions.ask("logits", {count}, [streams.buffer]))[0].values;
  const ready = {about, gpt2, tokenizer: openTokenizer(about.tokenizer)};
  ready.reading = (wishes) => new RemoteReading(gpt2, questions, wishes);
  const place = document.createElement("div");
  place.className = "live";
  el.append(place);
  await view.mount(place, ready, {prompt: model.get("prompt"), write: 0});
  place.dataset.ready = "yes";
  return () => questions.end();
}

export default {render};
