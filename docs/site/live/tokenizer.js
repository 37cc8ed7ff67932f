// Text to token ids and back, as utils/tokenizer.py does it: GPT-2's byte-level BPE, or one token for each character.

// GPT-2's pieces, across which nothing is merged. JavaScript's \s is not Unicode's white space, so it is spelled out.
const SPACE = "\\p{White_Space}";
const PIECES = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|${SPACE}+(?!\\P{White_Space})|${SPACE}+`,
  "gu",
);
const END = "<|endoftext|>";
const reader = new TextDecoder(),
  writer = new TextEncoder();

/** A visible character for each byte: printable ones keep theirs, the others start at U+0100. */
function byteSymbols() {
  const printable = (byte) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte < 0xad) || byte > 0xad;
  const order = [...Array(256).keys()].filter(printable),
    symbols = new Map(order.map((b) => [b, String.fromCodePoint(b)]));
  for (let byte = 0, other = 256; byte < 256; byte++)
    if (!symbols.has(byte)) symbols.set(byte, String.fromCodePoint(other++));
  return symbols; // in the order of GPT-2's ids 0 to 255
}

const SYMBOLS = byteSymbols();
const BYTES = new Map([...SYMBOLS].map(([byte, symbol]) => [symbol, byte]));

/** What both tokenizers share. `known` lists the ids that have a row of their own in the model; null: all of them. */
class Codec {
  constructor(symbols, endOfText, known) {
    this.symbols = symbols; // by id
    this.endOfText = endOfText;
    this.known = known;
    this.places = known && new Map(known.map((id, row) => [id, row]));
  }

  knows(id) {
    return !this.places || this.places.has(id);
  }

  /** The model's row of a token; those that it never saw in training share one, behind all others. */
  row(id) {
    return this.places ? (this.places.get(id) ?? this.known.length) : id;
  }

  id(row) {
    return this.known ? this.known[row] : row;
  }

  decode(ids) {
    return reader.decode(Uint8Array.from(ids.flatMap((id) => this.bytes(id))));
  }
}

export class BytePairs extends Codec {
  constructor({merges, vocab, end_of_text: endOfText, known}) {
    const symbols = [];
    if (vocab) for (const [symbol, id] of Object.entries(vocab)) symbols[id] = symbol;
    else symbols.push(...new Set([...SYMBOLS.values(), ...merges.map((merge) => merge.replace(" ", "")), END]));
    super(symbols, endOfText, known);
    this.ids = new Map(symbols.map((symbol, id) => [symbol, id]));
    this.ranks = new Map(merges.map((merge, rank) => [merge, rank]));
    this.cache = new Map(); // pieces that were encoded before
  }

  /** Ids of a text, and those of its parts that no token can stand for: none, since every byte has a token. */
  encode(text) {
    return {ids: (text.match(PIECES) ?? []).flatMap((piece) => this.encodePiece(piece)), lost: []};
  }

  encodePiece(piece) {
    if (!this.cache.has(piece)) {
      const word = Array.from(writer.encode(piece), (byte) => SYMBOLS.get(byte));
      for (let place; (place = this.firstMerge(word)) >= 0;) word.splice(place, 2, word[place] + word[place + 1]);
      this.cache.set(
        piece,
        word.map((symbol) => this.ids.get(symbol)),
      );
    }
    return this.cache.get(piece);
  }

  /** Where the pair stands that was merged first in training; -1 where none can be merged. */
  firstMerge(word) {
    let best = Infinity,
      place = -1;
    for (let i = 0; i + 1 < word.length; i++) {
      const rank = this.ranks.get(`${word[i]} ${word[i + 1]}`);
      if (rank < best) [best, place] = [rank, i];
    }
    return place;
  }

  bytes(id) {
    const symbols = [...this.symbols[id]];
    const plain = symbols.every((symbol) => BYTES.has(symbol)); // an added entry may stand for its own text
    return plain ? symbols.map((symbol) => BYTES.get(symbol)) : [...writer.encode(this.symbols[id])];
  }
}

export class Characters extends Codec {
  constructor({characters, end_of_text: endOfText, known}) {
    super([...characters, END], endOfText, known);
    this.ids = new Map([...characters].map((character, id) => [character, id]));
  }

  encode(text) {
    const parts = [...text],
      lost = parts.filter((character) => !this.ids.has(character));
    return {ids: parts.filter((each) => this.ids.has(each)).map((each) => this.ids.get(each)), lost};
  }

  bytes(id) {
    return [...writer.encode(this.symbols[id])];
  }
}

export const openTokenizer = (about) => (about.kind === "characters" ? new Characters(about) : new BytePairs(about));
