import { quote } from "./source.ts";

/** Why a pickle was refused; the caller adds the file's name. */
export class PickleFault extends Error {}

/** The bytes ended before the pickle did. */
export class PickleEnd extends PickleFault {}

export class PyTuple {
  readonly items: readonly PyValue[];
  constructor(items: readonly PyValue[]) {
    this.items = items;
  }
}

export class PyList {
  readonly items: PyValue[] = [];
}

export class PyDict {
  readonly keys: PyValue[] = [];
  readonly values: PyValue[] = [];
}

/** A value that only the host understands: a class, a function, a tensor. */
export abstract class HostValue {
  /** What errors call it. */
  abstract readonly label: string;
}

export type PyValue = null | boolean | number | bigint | string | Uint8Array | PyTuple | PyList | PyDict | HostValue;

/** What a pickle may reach outside itself. Each method throws a `PickleFault` for anything it does not know. */
export interface PickleHost {
  global(module: string, name: string): PyValue;
  persistent(id: PyValue): PyValue;
  call(callee: PyValue, args: readonly PyValue[]): PyValue;
}

/** Rough bytes of memory that one pickle's values may take. */
const MEMORY = 16 * 2 ** 20;
const MAX_STACK = 200_000;
const MAX_INTEGER_BYTES = 32;

/**
 * Reads one pickle (protocols 2 to 5) without executing anything: a stack machine that knows plain containers and
 * asks the host about every global. Any other opcode is a fault, and so is a pickle that builds too much.
 */
export function unpickle(bytes: Uint8Array, at: number, host: PickleHost): { value: PyValue; end: number } {
  const machine = new Machine(bytes, at, host);
  return { value: machine.run(), end: machine.at };
}

class Machine {
  at: number;
  readonly host: PickleHost;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stack: PyValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PyValue>();
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #spent = 0;

  constructor(bytes: Uint8Array, at: number, host: PickleHost) {
    this.at = at;
    this.host = host;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PyValue {
    for (;;) {
      const start = this.at;
      const opcode = this.uint(1);
      if (opcode === STOP) break;
      const act = OPCODES.get(opcode);
      if (!act) throw new PickleFault(`pickle opcode 0x${opcode.toString(16)} at ${start} is not allowed`);
      act(this);
    }
    const value = this.pop();
    if (this.#stack.length || this.#marks.length) throw new PickleFault("the pickle ends with values left over");
    return value;
  }

  /** A little-endian unsigned integer of 1, 2, 4 or 8 bytes. */
  uint(length: 1 | 2 | 4 | 8): number {
    const at = this.skip(length);
    if (length === 1) return this.#bytes[at]!;
    if (length === 2) return this.#view.getUint16(at, true);
    if (length === 4) return this.#view.getUint32(at, true);
    const value = Number(this.#view.getBigUint64(at, true));
    if (!Number.isSafeInteger(value)) throw new PickleFault(`a length of ${value} bytes in the pickle`);
    return value;
  }

  int32 = (): number => this.#view.getInt32(this.skip(4), true);

  float64 = (): number => this.#view.getFloat64(this.skip(8), false);

  /** A two's complement integer of that many bytes. */
  long(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) throw new PickleFault(`an integer of ${length} bytes`);
    const at = this.skip(length);
    this.spend(24 + length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i]!);
    value = BigInt.asIntN(length * 8, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  text(length: number): string {
    const at = this.skip(length);
    this.spend(24 + length);
    try {
      return this.#utf8.decode(this.#bytes.subarray(at, at + length));
    } catch {
      throw new PickleFault(`a string at ${at} is not UTF-8`);
    }
  }

  /** Text up to a line feed. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.at);
    if (end < 0 || end - this.at > 256) {
      if (this.#bytes.length - this.at <= 256) throw new PickleEnd("the pickle breaks off");
      throw new PickleFault(`the name of a global at ${this.at} is too long`);
    }
    const text = this.text(end - this.at);
    this.at = end + 1;
    return text;
  }

  blob(length: number): Uint8Array {
    const at = this.skip(length);
    this.spend(64 + length);
    return this.#bytes.slice(at, at + length);
  }

  skip(length: number): number {
    const at = this.at;
    if (at + length > this.#bytes.length) throw new PickleEnd("the pickle breaks off");
    this.at = at + length;
    return at;
  }

  push(value: PyValue): void {
    if (this.#stack.length >= MAX_STACK) throw new PickleFault(`the pickle's stack passes ${MAX_STACK} values`);
    this.#stack.push(value);
  }

  pop(): PyValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0))
      throw new PickleFault(`the pickle's stack is empty at ${this.at}`);
    return this.#stack.pop()!;
  }

  /** The topmost value, which must be of that class. */
  top<T extends PyValue>(kind: abstract new (...args: never[]) => T): T {
    const value = this.pop();
    this.#stack.push(value);
    if (!(value instanceof kind)) throw new PickleFault(`the pickle's stack holds no ${kind.name} at ${this.at}`);
    return value as T;
  }

  mark(): void {
    if (this.#marks.length >= MAX_STACK) throw new PickleFault(`the pickle's stack passes ${MAX_STACK} marks`);
    this.#marks.push(this.#stack.length);
  }

  popMark(): PyValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new PickleFault(`the pickle has no mark at ${this.at}`);
    return this.#stack.splice(mark);
  }

  remember(index: number): void {
    this.spend(48);
    const value = this.pop();
    this.#stack.push(value);
    this.#memo.set(index, value);
  }

  memoize(): void {
    this.remember(this.#memo.size);
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleFault(`the pickle recalls ${index}, which it never kept`);
    this.push(value);
  }

  spend(bytes: number): void {
    this.#spent += bytes;
    if (this.#spent > MEMORY) throw new PickleFault(`the pickle builds more than ${MEMORY} bytes of values`);
  }

  tuple(items: readonly PyValue[]): void {
    this.spend(48 + 8 * items.length);
    this.push(new PyTuple(items));
  }

  container(value: PyList | PyDict): void {
    this.spend(value instanceof PyDict ? 96 : 64);
    this.push(value);
  }

  append(items: readonly PyValue[]): void {
    this.spend(16 * items.length);
    const list = this.top(PyList);
    for (const item of items) list.items.push(item);
  }

  setItems(items: readonly PyValue[]): void {
    if (items.length % 2) throw new PickleFault(`a key without value at ${this.at}`);
    this.spend(16 * items.length);
    const dict = this.top(PyDict);
    for (const [i, item] of items.entries()) (i % 2 ? dict.values : dict.keys).push(item);
  }
}

const STOP = 0x2e;

/** Values and stack. */
const PLAIN: [number, (m: Machine) => void][] = [
  [0x80, (m) => protocol(m.uint(1))],
  [0x95, (m) => void m.skip(8)], // FRAME
  [0x28, (m) => m.mark()],
  [0x30, (m) => void m.pop()],
  [0x31, (m) => void m.popMark()],
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [0x4a, (m) => m.push(m.int32())],
  [0x4b, (m) => m.push(m.uint(1))],
  [0x4d, (m) => m.push(m.uint(2))],
  [0x8a, (m) => m.push(m.long(m.uint(1)))],
  [0x8b, (m) => m.push(m.long(m.uint(4)))],
  [0x47, (m) => m.push(m.float64())],
  [0x58, (m) => m.push(m.text(m.uint(4)))],
  [0x8c, (m) => m.push(m.text(m.uint(1)))],
  [0x8d, (m) => m.push(m.text(m.uint(8)))],
  [0x54, (m) => m.push(m.text(m.uint(4)))], // str of Python 2
  [0x55, (m) => m.push(m.text(m.uint(1)))],
  [0x42, (m) => m.push(m.blob(m.uint(4)))],
  [0x43, (m) => m.push(m.blob(m.uint(1)))],
  [0x68, (m) => m.recall(m.uint(1))],
  [0x6a, (m) => m.recall(m.uint(4))],
  [0x71, (m) => m.remember(m.uint(1))],
  [0x72, (m) => m.remember(m.uint(4))],
  [0x94, (m) => m.memoize()],
];

const CONTAINERS: [number, (m: Machine) => void][] = [
  [0x7d, (m) => m.container(new PyDict())],
  [0x5d, (m) => m.container(new PyList())],
  [0x29, (m) => m.tuple([])],
  [0x74, (m) => m.tuple(m.popMark())],
  [0x85, (m) => m.tuple([m.pop()])],
  [0x86, (m) => m.tuple([m.pop(), m.pop()].reverse())],
  [0x87, (m) => m.tuple([m.pop(), m.pop(), m.pop()].reverse())],
  [0x61, (m) => m.append([m.pop()])],
  [0x65, (m) => m.append(m.popMark())],
  [0x73, (m) => m.setItems([m.pop(), m.pop()].reverse())],
  [0x75, (m) => m.setItems(m.popMark())],
];

/** What leaves the pickle: each asks the host. */
const OUTSIDE: [number, (m: Machine) => void][] = [
  [0x63, (m) => m.push(m.host.global(m.line(), m.line()))],
  [0x93, (m) => stackGlobal(m)],
  [0x51, (m) => persistent(m)],
  [0x52, (m) => reduce(m)],
  [0x62, (m) => build(m)],
];

const OPCODES: ReadonlyMap<number, (m: Machine) => void> = new Map([...PLAIN, ...CONTAINERS, ...OUTSIDE]);

function protocol(version: number): void {
  if (version < 2 || version > 5) throw new PickleFault(`pickle protocol ${version}; 2 to 5 can be read`);
}

function stackGlobal(m: Machine): void {
  const name = m.pop();
  const module = m.pop();
  if (typeof name !== "string" || typeof module !== "string") throw new PickleFault("a global without a name");
  m.push(m.host.global(module, name));
}

function persistent(m: Machine): void {
  m.spend(96);
  m.push(m.host.persistent(m.pop()));
}

function reduce(m: Machine): void {
  const args = m.pop();
  const callee = m.pop();
  if (!(args instanceof PyTuple)) throw new PickleFault(`a call without arguments at ${m.at}`);
  m.spend(96);
  const result = m.host.call(callee, args.items);
  if (result instanceof PyDict) m.spend(16 * result.keys.length); // the same list may be passed again and again
  m.push(result);
}

/** Attributes of a state dict (`_metadata`: versions of its modules) are dropped; nothing else may have any. */
function build(m: Machine): void {
  if (!(m.pop() instanceof PyDict)) throw new PickleFault(`attributes that are no dict at ${m.at}`);
  m.top(PyDict);
}

const MAX_DEPTH = 64;
const MAX_NODES = 10_000_000;

/** Refuses values that are nested too deep or in a circle, or that unfold to more than they were written with. */
export function checkTree(root: PyValue): void {
  const known = new Map<PyValue, { nodes: number; height: number }>();
  const visit = (value: PyValue, depth: number): { nodes: number; height: number } => {
    if (depth > MAX_DEPTH) throw new PickleFault(`values nested more than ${MAX_DEPTH} deep`);
    const children = childrenOf(value);
    if (!children) return { nodes: 1, height: 0 };
    const seen = known.get(value);
    if (seen) return seen;
    let nodes = 1;
    let height = 0;
    for (const child of children) {
      const below = visit(child, depth + 1);
      nodes += below.nodes;
      height = Math.max(height, below.height + 1);
      if (nodes > MAX_NODES) throw new PickleFault(`shared values that unfold to more than ${MAX_NODES}`);
    }
    if (depth + height > MAX_DEPTH) throw new PickleFault(`values nested more than ${MAX_DEPTH} deep`);
    known.set(value, { nodes, height });
    return { nodes, height };
  };
  visit(root, 0);
}

function childrenOf(value: PyValue): readonly PyValue[] | undefined {
  if (value instanceof PyTuple || value instanceof PyList) return value.items;
  return value instanceof PyDict ? [...value.keys, ...value.values] : undefined;
}

/** A value as an error prints it. */
export function describe(value: PyValue | undefined): string {
  if (typeof value === "string") return quote(value);
  if (value === null || typeof value !== "object") return String(value);
  return value instanceof HostValue ? value.label : value.constructor.name;
}
