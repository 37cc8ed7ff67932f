// From logits to the next token, in the order of utils/sampling.py: temperature, top-k, top-p, min-p, then the draw.
import {softmax} from "./gpt2.js";

export const ALL = {temperature: 1, topK: 0, topP: 1, minP: 0}; // nothing is left out; topK 0 is all tokens

/** Probabilities of all tokens under these settings; 0 for those that are left out. */
export function probabilities(logits, {temperature, topK, topP, minP}) {
  const most = largest(logits),
    x = Float64Array.from(logits);
  if (temperature > 0) for (let i = 0; i < x.length; i++) x[i] = (x[i] - most) / temperature;
  if (topK > 0) keepTopK(x, topK);
  if (topP < 1) keepTopP(x, topP);
  if (minP > 0) keepAbove(x, largest(x) + Math.log(minP));
  return temperature > 0 ? softmax(x) : x.fill(0).fill(1, logits.indexOf(most), logits.indexOf(most) + 1);
}

function largest(x) {
  let most = -Infinity;
  for (const value of x) if (value > most) most = value;
  return most;
}

function keepAbove(x, least) {
  for (let i = 0; i < x.length; i++) if (x[i] < least) x[i] = -Infinity;
}

function keepTopK(x, k) {
  keepAbove(x, x.slice().sort().at(-Math.min(k, x.length)));
}

/** Nucleus sampling: the fewest likeliest tokens that reach p together. */
function keepTopP(x, p) {
  const shares = softmax(x.slice()),
    order = Array.from(x.keys()).sort((a, b) => shares[b] - shares[a]);
  let before = 0; // what the likelier ones hold together
  for (const token of order) {
    if (before >= p) x[token] = -Infinity;
    before += shares[token];
  }
}

/** Inverse transform sampling: `place` from 0 to 1 points at a token on a line of all probabilities, end to end. */
export function draw(shares, place) {
  let end = 0,
    last = 0;
  for (let token = 0; token < shares.length; token++) {
    if (shares[token] > 0) last = token;
    if ((end += shares[token]) > place) return token;
  }
  return last; // rounding left the line a hair short of 1
}

/** The likeliest tokens, as [token, probability]. */
export function likeliest(shares, count) {
  const best = [];
  for (let token = 0; token < shares.length; token++) {
    if (best.length === count && shares[token] <= best[count - 1][1]) continue;
    let at = best.length;
    while (at > 0 && best[at - 1][1] < shares[token]) at--;
    best.splice(at, 0, [token, shares[token]]);
    best.length = Math.min(best.length, count);
  }
  return best;
}

/** Random numbers from 0 to 1 that a seed repeats (a linear congruential generator, its 32 bits mixed). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    let bits = state;
    bits = Math.imul(bits ^ (bits >>> 16), 0x45d9f3b);
    bits = Math.imul(bits ^ (bits >>> 15), 0x45d9f3b);
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  };
}
