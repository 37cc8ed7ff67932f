// Fetch a model's two files and expand its codes once: model.json says what lies where in model.bin.
import {GPT2, Reading} from "./gpt2.js";
import {openTokenizer} from "./tokenizer.js";

/** Load the model of a folder; `tell(done, total)` hears of the bytes as they come. */
export async function loadModel(folder, tell = () => {}) {
  const about = await (await get(new URL("model.json", folder))).json();
  const bytes = await readAll(await get(new URL("model.bin", folder)), about.bytes, tell);
  const tensors = {};
  for (const tensor of about.tensors) {
    tensors[tensor.name] = expand(bytes, tensor);
    await 0; // lets the page breathe between large ones
  }
  const gpt2 = new GPT2(about.config, tensors);
  const reading = (wishes) => new Reading(gpt2, wishes);
  return {folder, about, gpt2, reading, tokenizer: openTokenizer(about.tokenizer)};
}

/** The same model with four more bits of each weight, from a file of their own: near enough to 16 bits. */
export async function loadFiner(folder, {about, gpt2}) {
  const bytes = new Uint8Array(await (await get(new URL("finer.bin", folder))).arrayBuffer());
  const tensors = {...gpt2.tensors};
  for (const tensor of about.tensors.filter(({group}) => group))
    tensors[tensor.name] = refine(gpt2.tensors, bytes, tensor);
  return new GPT2(gpt2.config, tensors);
}

function refine(tensors, bytes, {name, shape: [rows, columns], group, finer, steps}) {
  const across = Math.ceil(columns / group),
    weight = tensors[name].slice();
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, i++) {
      const pair = bytes[finer + (i >> 1)],
        rest = i & 1 ? pair >> 4 : pair & 15;
      weight[i] += ((rest - 8) / 16) * steps[row * across + Math.floor(column / group)];
    }
  return weight;
}

async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address.pathname} could not be loaded: the server answers ${answer.status}.`);
  return answer;
}

async function readAll(answer, total, tell) {
  const bytes = new Uint8Array(total),
    stream = answer.body.getReader();
  let done = 0;
  for (let part; !(part = await stream.read()).done; tell(done, total)) {
    if (done + part.value.length > total) break;
    bytes.set(part.value, done);
    done += part.value.length;
  }
  if (done !== total) throw new Error(`The model's file ended after ${done} of ${total} bytes. Reload the page.`);
  return bytes.buffer;
}

/** Codes on a symmetric grid become float32: weight = (code − 128) · scale, one scale for each group of a row. */
function expand(buffer, tensor) {
  const {at, shape, group, scales} = tensor;
  if (!group)
    return new Float32Array(
      buffer,
      at,
      shape.reduce((a, b) => a * b),
    );
  const [rows, columns] = shape,
    codes = new Uint8Array(buffer, at, rows * columns);
  const steps = (tensor.steps = Float32Array.from(
    new Uint16Array(buffer, scales, rows * Math.ceil(columns / group)),
    fromHalf,
  ));
  const weight = new Float32Array(rows * columns);
  for (let row = 0, i = 0, g = 0; row < rows; row++)
    for (let start = 0; start < columns; start += group, g++)
      for (const end = i + Math.min(group, columns - start), step = steps[g]; i < end; i++)
        weight[i] = (codes[i] - 128) * step;
  return weight;
}

/** The number behind 16 bits: one for the sign, five for the exponent, ten for the rest. Scales are above 0. */
export function fromHalf(bits) {
  const exponent = (bits >> 10) & 31,
    rest = (bits & 1023) / 1024;
  return exponent ? 2 ** (exponent - 15) * (1 + rest) : 2 ** -14 * rest;
}
