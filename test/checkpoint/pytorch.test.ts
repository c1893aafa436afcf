import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openPickle } from "../../src/checkpoint/pytorch.ts";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { bytesSource, type ByteSource } from "../../src/checkpoint/source.ts";
import { fixture } from "../helpers.ts";
import { floats, py, torchLegacy, torchZip, zip, zip64End, pickle } from "./build.ts";

const open = (path: string) => bytesSource(path, readFileSync(fixture(`pickle/${path}`)));
const numbers = (bytes: Uint8Array<ArrayBuffer>) => [...new Float32Array(bytes.buffer)];

describe("files written by PyTorch", () => {
  test.for(["flat.zip", "flat.legacy", "nested.zip", "nested.legacy"])(
    "%s.pth holds what PyTorch reads",
    async (name) => {
      const source = await openPickle(open(`${name}.pth`));
      const expected = await openSafetensors(open(`expected.${name.split(".")[0]}.safetensors`));
      expect([...source.tensors.keys()].sort()).toEqual([...expected.tensors.keys()].sort());
      for (const { name: tensor, dtype, shape, byteLength } of expected.tensors.values()) {
        expect(source.tensors.get(tensor)).toMatchObject({ name: tensor, dtype, shape, byteLength });
        const bytes = await source.read(tensor);
        expect(bytes).toEqual(await expected.read(tensor));
        if (byteLength >= 4) expect(await source.read(tensor, 1, 2)).toEqual(bytes.slice(1, 3));
      }
    },
  );

  test("keys of nested dictionaries are joined by dots", async () => {
    expect([...(await openPickle(open("tree.zip.pth"))).tensors.keys()]).toEqual(["a.b", "a.c.d"]);
  });

  test("a pickled module is refused by the name of its class", async () => {
    await expect(openPickle(open("module.zip.pth"))).rejects.toThrow(
      'module.zip.pth: needs "__main__.Block", which is not allowed',
    );
  });
});

describe("files written by hand", () => {
  const code = py.dict([py.str("w"), py.tensor(py.storage("0", 6), [3, 2], [1, 3])], [py.str("lr"), py.float(0.1)]);
  const data = { "0": floats(1, 2, 3, 4, 5, 6) };

  test.for([
    ["zip", torchZip(code, data)],
    ["legacy", torchLegacy(code, data)],
    [
      "zip with a comment",
      zip(
        [
          { name: "a/data.pkl", data: pickle(code) },
          { name: "a/data/0", data: data[0] },
        ],
        { comment: "hello" },
      ),
    ],
    [
      "zip64",
      zip(
        [
          { name: "a/data.pkl", data: pickle(code) },
          { name: "a/data/0", data: data[0] },
        ],
        { zip64: zip64End },
      ),
    ],
  ] as const)("%s", async ([, bytes]) => {
    const source = await openPickle(bytesSource("x.pth", bytes));
    expect(numbers(await source.read("w"))).toEqual([1, 4, 2, 5, 3, 6]);
  });

  test("by Python 2: an OrderedDict of pairs, with versions of modules among its attributes", async () => {
    const tensor = py.tensor(py.storage("0", 6), [3, 2], [1, 3]);
    const pairs = py.list(py.list(py.str("w"), tensor), py.tuple(py.str("v"), tensor));
    const attributes = py.dict([py.str("_metadata"), py.ordered(py.list(py.list(py.str(""), py.dict())))]);
    const source = await openPickle(
      bytesSource("x.pth", torchLegacy([...py.ordered(pairs), ...attributes, 0x62], data)),
    );
    expect([...source.tensors.keys()]).toEqual(["w", "v"]);
    expect(numbers(await source.read("v"))).toEqual([1, 4, 2, 5, 3, 6]);
  });

  test("zip64 sizes and offsets", async () => {
    const wide = (size: number, offset: number) => [
      1,
      0,
      24,
      0,
      ...new Uint8Array(BigUint64Array.of(BigInt(size), BigInt(size), BigInt(offset)).buffer),
    ];
    const main = pickle(code);
    const at = 30 + "a/data.pkl".length + main.length;
    const full = { size: 0xffffffff, offset: 0xffffffff, extra: wide(24, at) };
    const bytes = zip(
      [
        { name: "a/data.pkl", data: main },
        { name: "a/data/0", data: data[0], says: full },
      ],
      { zip64: zip64End },
    );
    expect(numbers(await (await openPickle(bytesSource("x.pth", bytes))).read("w"))).toEqual([1, 4, 2, 5, 3, 6]);
  });

  test("a legacy file whose pickles do not fit the first window", async () => {
    const long = py.dict(
      [py.str("w"), py.tensor(py.storage("0", 6), [6], [1])],
      [py.str("note"), py.str("n".repeat(600_000))],
    );
    const source = await openPickle(bytesSource("x.pth", torchLegacy(long, data)));
    expect(numbers(await source.read("w", 4, 8))).toEqual([2, 3]);
  });

  test("reads storages one by one, when they are asked for", async () => {
    const two = py.dict(
      [py.str("a"), py.tensor(py.storage("0", 6), [6], [1])],
      [py.str("b"), py.tensor(py.storage("1", 1000), [2], [1], 500)],
    );
    const inner = bytesSource("x.pth", torchZip(two, { ...data, "1": new Uint8Array(4000) }));
    const reads: number[] = [];
    const source: ByteSource = { ...inner, read: (offset, length) => (reads.push(length), inner.read(offset, length)) };
    const opened = await openPickle(source);
    reads.length = 0;
    await opened.read("b");
    expect(reads).toEqual([30 + "archive/data/1".length, 8]);
  });

  test("a parameter, a slice with gaps, a tensor without elements", async () => {
    const storage = py.storage("0", 6);
    const parameter = py.call(
      py.global("torch._utils", "_rebuild_parameter"),
      py.tensor(storage, [2], [1], 4),
      [0x88],
      py.ordered(),
    );
    const all = py.dict(
      [py.str("p"), parameter],
      [py.str("s"), py.tensor(storage, [2, 1], [3, 7], 1)],
      [py.str("e"), py.tensor(storage, [0, 9], [9, 1], 6)],
    );
    const source = await openPickle(bytesSource("x.pth", torchZip(all, data)));
    expect([numbers(await source.read("p")), numbers(await source.read("s")), numbers(await source.read("e"))]).toEqual(
      [[5, 6], [2, 5], []],
    );
  });
});
