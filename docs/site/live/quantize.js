// Rounding weights to few bits, as utils/quantize/grids.py does it on a symmetric grid: one scale for each group.
import {GPT2} from "./gpt2.js";

/** The smallest 16-bit float that is not below a value above 0. */
function halfUpwards(value) {
  const step = 2 ** (Math.max(-14, Math.floor(Math.log2(value))) - 10);
  return Math.max(2 ** -24, Math.ceil(value / step) * step);
}

function roundHalfToEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

/** Codes and scales of a matrix with rows of `columns` numbers. Divisions are rounded to float32, as in PyTorch. */
export function quantize(weight, columns, bits, group) {
  const top = 2 ** bits - 1,
    middle = 2 ** (bits - 1),
    across = Math.ceil(columns / group);
  const codes = new Uint8Array(weight.length),
    scales = new Float32Array((weight.length / columns) * across);
  for (let start = 0, g = 0; start < weight.length; start += columns)
    for (let from = 0; from < columns; from += group, g++) {
      const begin = start + from,
        end = start + Math.min(columns, from + group);
      let reach = 0;
      for (let i = begin; i < end; i++) reach = Math.max(reach, Math.abs(weight[i]));
      const scale = (scales[g] = halfUpwards(Math.fround((2 * reach) / top)));
      for (let i = begin; i < end; i++)
        codes[i] = Math.min(top, Math.max(0, roundHalfToEven(Math.fround(weight[i] / scale)) + middle));
    }
  return {codes, scales, bytes: (weight.length / columns) * Math.ceil(columns / 8) * bits + 2 * scales.length};
}

export function dequantize({codes, scales}, columns, bits, group) {
  const weight = new Float32Array(codes.length),
    middle = 2 ** (bits - 1),
    across = Math.ceil(columns / group);
  for (let i = 0; i < codes.length; i++) {
    const row = Math.floor(i / columns),
      column = i - row * columns;
    weight[i] = (codes[i] - middle) * scales[row * across + Math.floor(column / group)];
  }
  return weight;
}

/** A model with all its matrices in so many bits, and the bytes that they then take; vectors stay in 16 bits. */
export function quantizeModel(model, bits, group) {
  const tensors = {...model.tensors};
  let bytes = 0;
  for (const [name, weight] of Object.entries(tensors)) {
    const columns = columnsOf(model, name);
    if (!columns) {
      bytes += 2 * weight.length;
      continue;
    }
    const small = quantize(weight, columns, bits, group);
    tensors[name] = dequantize(small, columns, bits, group);
    bytes += small.bytes;
  }
  return {model: new GPT2(model.config, tensors), bytes};
}

/** The length of a matrix' rows; 0 for vectors. */
function columnsOf({config: {width}}, name) {
  if (!name.endsWith(".weight") || name.includes("norm")) return 0;
  return name.endsWith("mlp.down.weight") ? 4 * width : width;
}

export const bytesIn16Bits = (model) =>
  Object.values(model.tensors).reduce((sum, weight) => sum + 2 * weight.length, 0);
