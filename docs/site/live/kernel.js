// The one loop that takes the time, in WebAssembly: four rows of a matrix times a vector, four numbers at once (SIMD).
// JavaScript has no SIMD of its own. The program is 34 instructions, so it is assembled here, without a tool.

const PAGE = 2 ** 16; // bytes; WebAssembly's memory grows in these
const I32 = 0x7f, V128 = 0x7b;
const get = (local) => [0x20, local], set = (local) => [0x21, local];
const i32 = {add: [0x6a], sub: [0x6b], below: [0x49], value: (number) => [0x41, number]};
const f32 = {add: [0x92], store: (offset) => [0x38, 2, offset]};
const simd = (...operation) => [0xfd, ...operation];
const f32x4 = {load: simd(0x00, 4, 0), zero: simd(0x0c, ...Array(16).fill(0)), add: simd(0xe4, 1), mul: simd(0xe6, 1)};
const lane = (which) => simd(0x1f, which);
const loop = (...body) => [0x03, 0x40, ...body.flat(), 0x0b];
const again = [0x0d, 0]; // to the start of the loop, if what was computed last is not 0

/** A number in LEB128: seven bits a byte, the lowest first. */
const leb = (number) => (number < 128 ? [number] : [(number & 127) | 128, ...leb(number >> 7)]);
const section = (id, ...content) => [id, ...leb(content.flat().length), ...content.flat()];
const name = (text) => [text.length, ...new TextEncoder().encode(text)];

function program() {
  const [weight, x, y, fours, bytes, at] = [0, 1, 2, 3, 4, 5]; // addresses, groups of four rows, bytes of a row, place
  const rows = [weight, 6, 7, 8], sums = [9, 10, 11, 12], part = 13;
  const product = (i) => [
    get(sums[i]), get(rows[i]), get(at), i32.add, f32x4.load, get(part), f32x4.mul, f32x4.add, set(sums[i]),
  ];
  const others = (i) => [1, 2, 3].flatMap((which) => [get(sums[i]), lane(which), f32.add]);
  const total = (i) => [get(y), get(sums[i]), lane(0), ...others(i), f32.store(4 * i)]; // the four numbers of a sum
  const body = loop(
    ...sums.flatMap((sum) => [f32x4.zero, set(sum)]),
    ...[1, 2, 3].flatMap((i) => [get(rows[i - 1]), get(bytes), i32.add, set(rows[i])]),
    i32.value(0), set(at),
    loop(
      get(x), get(at), i32.add, f32x4.load, set(part),
      ...[0, 1, 2, 3].flatMap(product),
      get(at), i32.value(16), i32.add, set(at),
      get(at), get(bytes), i32.below, again),
    ...[0, 1, 2, 3].flatMap(total),
    get(y), i32.value(16), i32.add, set(y),
    get(rows[3]), get(bytes), i32.add, set(weight),
    get(fours), i32.value(1), i32.sub, set(fours),
    get(fours), again);
  const code = [2, 4, I32, 5, V128, ...body, 0x0b]; // its own locals: four whole numbers, five vectors
  return Uint8Array.from([
    0, ...new TextEncoder().encode("asm"), 1, 0, 0, 0,
    ...section(1, [1, 0x60, 5, I32, I32, I32, I32, I32, 0]), // one type: five whole numbers, no result
    ...section(2, [1], name("page"), name("memory"), [2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1], name("run"), [0, 0]),
    ...section(10, [1, ...leb(code.length)], code),
  ]);
}

/** Memory that holds some tensors, and the program on it; null where the browser can't. */
export function makeKernel(tensors, columns, rows) {
  const room = 4 * (columns + rows + 8), sizes = Object.values(tensors).map(({length}) => 4 * length + 16);
  try {
    const memory = new WebAssembly.Memory({initial: Math.ceil(sizes.reduce((a, b) => a + b, room) / PAGE)});
    const {run} = new WebAssembly.Instance(new WebAssembly.Module(program()), {page: {memory}}).exports;
    let end = aligned(room);
    const place = (numbers) => {
      const own = new Float32Array(memory.buffer, end, numbers.length);
      own.set(numbers);
      end = aligned(end + own.byteLength);
      return own;
    };
    const held = Object.fromEntries(Object.entries(tensors).map(([key, numbers]) => [key, place(numbers)]));
    return {tensors: held, multiply: multiplier(memory.buffer, run, columns)};
  } catch {
    return null; // no WebAssembly, no SIMD, or no room: the same in JavaScript is slower, and works
  }
}

const aligned = (address) => Math.ceil(address / 16) * 16;

/** y = W · x for as many rows as come in fours; x and y pass through the start of the memory. */
function multiplier(buffer, run, columns) {
  const start = aligned(4 * columns), input = new Float32Array(buffer, 0, columns);
  return (weight, x, rows) => {
    input.set(x);
    run(weight.byteOffset, 0, start, rows / 4, 4 * x.length);
    return new Float32Array(buffer, start, rows);
  };
}
