/** Why a text was refused, and where; the caller adds the file's name. */
export class JsonFault extends Error {}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;

/** The value of one string literal, quotes included. Of a lone literal `JSON.parse` hides only lone surrogates. */
function unescape(literal: string): string | undefined {
  if (!literal.includes("\\") && !/[\u0000-\u001f]/.test(literal)) return literal.slice(1, -1);
  try {
    return JSON.parse(literal) as string;
  } catch {
    return undefined;
  }
}

/**
 * Reads JSON (RFC 8259) token by token, because `JSON.parse` hides what a strict reader must see: duplicate keys,
 * the source text of numbers, lone surrogates. The caller says what it expects next; anything else is a `JsonFault`.
 */
export class JsonScanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Calls `value` after each key, which must read that key's value. Keys may not repeat, also after unescaping. */
  object(what: string, value: (key: string) => void): void {
    this.#expect("{", what, "an object");
    const seen = new Set<string>();
    if (this.#accept("}")) return;
    do {
      const key = this.string(`a key of ${what}`);
      if (seen.has(key)) throw new JsonFault(`${what} has the key ${JSON.stringify(key.slice(0, 100))} twice`);
      seen.add(key);
      this.#expect(":", `what follows a key of ${what}`, "a colon");
      value(key);
    } while (this.#accept(","));
    this.#expect("}", `what follows a value of ${what}`, "a comma or a closing brace");
  }

  /** Calls `value` for each item, which must read it. */
  array(what: string, value: (index: number) => void): void {
    this.#expect("[", what, "an array");
    if (this.#accept("]")) return;
    let index = 0;
    do value(index++);
    while (this.#accept(","));
    this.#expect("]", `what follows an item of ${what}`, "a comma or a closing bracket");
  }

  string(what: string): string {
    this.#expect('"', what, "a string");
    const start = this.#at - 1;
    let end = start;
    let escapes: number;
    do {
      end = this.#text.indexOf('"', end + 1);
      if (end < 0) throw new JsonFault(`the text ends inside ${what}`);
      for (escapes = 0; this.#text[end - 1 - escapes] === "\\";) escapes++;
    } while (escapes % 2);
    this.#at = end + 1;
    const text = unescape(this.#text.slice(start, end + 1));
    if (text === undefined)
      throw new JsonFault(`${what} holds a raw control character or a broken escape, at ${start}`);
    if (/\p{Cs}/u.test(text)) throw new JsonFault(`${what} holds a lone surrogate`);
    return text;
  }

  /** An integer from 0 to 2^53 - 1, written in digits alone. */
  integer(what: string): number {
    this.#match(SPACE);
    const start = this.#at;
    const source = this.#match(NUMBER);
    if (source === undefined) throw new JsonFault(`${what} is not a number, at ${start}`);
    const value = Number(source);
    if (!/^[0-9]+$/.test(source) || /[0-9]/.test(this.#text[this.#at] ?? ""))
      throw new JsonFault(`${what} is not a plain non-negative integer: ${this.#text.slice(start, start + 30)}`);
    if (!Number.isSafeInteger(value)) throw new JsonFault(`${what} is above 2^53 - 1: ${source.slice(0, 30)}`);
    return value;
  }

  /** Reads past any value, as strictly. */
  skip(what: string, depth = 0): void {
    if (depth > 32) throw new JsonFault(`${what} is nested more than 32 deep`);
    this.#match(SPACE);
    const next = this.#text[this.#at];
    if (next === "{") this.object(what, () => this.skip(what, depth + 1));
    else if (next === "[") this.array(what, () => this.skip(what, depth + 1));
    else if (next === '"') this.string(what);
    else if (this.#match(LITERAL) === undefined && this.#match(NUMBER) === undefined)
      throw new JsonFault(`${what} is not a value, at ${this.#at}`);
  }

  /** The text that is left. */
  rest(): string {
    return this.#text.slice(this.#at);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #accept(character: string): boolean {
    this.#match(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string, what: string, kind: string): void {
    if (this.#accept(character)) return;
    const found =
      this.#at < this.#text.length
        ? `character ${this.#at} is ${JSON.stringify(this.#text[this.#at])}`
        : "the text ends";
    throw new JsonFault(`${what} is not ${kind}: ${found}`);
  }
}
