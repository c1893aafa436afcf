// Writes ONNX models (onnx.proto, IR version 10) straight from JavaScript, so that peers get their networks without a file in
// the repository. A message is a list of byte chunks: weights are copied once, into the finished model.
const TYPES = { f32: 1, i64: 7, f16: 10 };
const text = new TextEncoder();

function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest ? low | 128 : low);
  } while (rest);
  return Uint8Array.from(bytes);
}

class Message {
  chunks = [];
  bytes = 0;

  push(chunk) {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
    return this;
  }
  int(field, value) {
    return this.push(varint(field << 3)).push(varint(value));
  }
  float(field, value) {
    return this.push(varint((field << 3) | 5)).push(new Uint8Array(Float32Array.of(value).buffer));
  }
  data(field, bytes) {
    return this.push(varint((field << 3) | 2))
      .push(varint(bytes.length))
      .push(bytes);
  }
  string(field, value) {
    return this.data(field, text.encode(value));
  }
  message(field, { chunks, bytes }) {
    this.push(varint((field << 3) | 2)).push(varint(bytes));
    for (const chunk of chunks) this.push(chunk);
    return this;
  }
  concat() {
    const all = new Uint8Array(this.bytes);
    let at = 0;
    for (const chunk of this.chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}

function tensor(name, { data, shape, dtype }) {
  const message = new Message();
  for (const size of shape) message.int(1, size);
  message.int(2, TYPES[dtype]).string(8, name);
  return message.data(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function valueInfo(name, { shape, dtype }) {
  const sizes = new Message();
  for (const size of shape) sizes.message(1, new Message().int(1, size));
  const type = new Message().int(1, TYPES[dtype]).message(2, sizes);
  return new Message().string(1, name).message(2, new Message().message(1, type));
}

/** Whole numbers become ints, [1.5]-like wrappers and other numbers floats; arrays are ints; strings are strings. */
function attribute(name, value) {
  const message = new Message().string(1, name);
  if (typeof value === "string") return message.string(4, value).int(20, 3);
  if (Array.isArray(value)) {
    for (const item of value) message.int(8, item);
    return message.int(20, 7);
  }
  if (typeof value === "object") return message.float(2, value.float).int(20, 1);
  return message.int(3, value).int(20, 2);
}

/** A graph under construction. Every call of `node` returns the name of its (first) result. */
export class OnnxGraph {
  #graph = new Message();
  #count = 0;

  constructor(name) {
    this.#graph.string(2, name);
  }

  input(name, shape, dtype) {
    this.#graph.message(11, valueInfo(name, { shape, dtype }));
    return name;
  }

  output(name, shape, dtype) {
    this.#graph.message(12, valueInfo(name, { shape, dtype }));
    return name;
  }

  /** `data` is a typed array whose bytes are the elements: Uint16Array for f16, BigInt64Array for i64. */
  constant(data, shape, dtype, name = `c${this.#count++}`) {
    this.#graph.message(5, tensor(name, { data, shape, dtype }));
    return name;
  }

  /** `op` may carry a domain: `com.microsoft:MultiHeadAttention`. Missing inputs are "". Floats: `{ float: 1 }`. */
  node(op, inputs, attributes = {}, result = `t${this.#count++}`) {
    const [type, domain] = op.split(":").toReversed();
    const message = new Message();
    for (const name of inputs) message.string(1, name);
    for (const name of [result].flat()) message.string(2, name);
    message.string(3, `${type}_${this.#count++}`).string(4, type);
    for (const [name, value] of Object.entries(attributes)) message.message(5, attribute(name, value));
    if (domain) message.string(7, domain);
    this.#graph.message(1, message);
    return [result].flat()[0];
  }

  /** The finished model's bytes. */
  model(opset = 20) {
    const opsets = [new Message().string(1, "").int(2, opset), new Message().string(1, "com.microsoft").int(2, 1)];
    const model = new Message().int(1, 10).string(2, "toile bench").message(7, this.#graph);
    for (const entry of opsets) model.message(8, entry);
    return model.concat();
  }
}
