import { describe, expect, test } from "vitest";
import { openPickle } from "../../src/checkpoint/pytorch.ts";
import { bytesSource } from "../../src/checkpoint/source.ts";
import { FormatError } from "../../src/util/errors.ts";
import {
  floats,
  pickle,
  py,
  torchLegacy,
  torchZip,
  zip,
  zip64End,
  type Code,
  type ZipOptions,
  type ZipPart,
} from "./build.ts";

const data = { "0": floats(1, 2, 3, 4) };
const sound = py.tensor(py.storage("0", 4), [4], [1]);
const state = (code: Code) => py.dict([py.str("w"), code]);
const many = (count: number, code: Code): number[] => Array.from({ length: count }, () => code).flat();

/** Refused in one line, within a second and 100 MB. */
async function refused(bytes: Uint8Array, message: string): Promise<void> {
  const memory = process.resourceUsage().maxRSS;
  const started = process.cpuUsage(); // the processor's time: what else runs on the machine does not count
  const error: unknown = await openPickle(bytesSource("x.pth", bytes)).catch((thrown: unknown) => thrown);
  const { user, system } = process.cpuUsage(started);
  expect(user + system).toBeLessThan(1e6); // µs
  expect(process.resourceUsage().maxRSS - memory).toBeLessThan(100_000); // kB
  expect(error).toBeInstanceOf(FormatError);
  expect((error as Error).message).toMatch(/^x\.pth: [^\n\r]+$/);
  expect((error as Error).message).toContain(message);
}

/** A value repeated in pairs: t = (t, t), so often. */
const doubled = (times: number): Code => [
  ...py.tuple(),
  ...Array.from({ length: times }, (_, i) => [0x72, i & 255, i >> 8, 0, 0, 0x6a, i & 255, i >> 8, 0, 0, 0x86]).flat(),
];

const PICKLES: readonly (readonly [string, Code, string])[] = [
  ["a call of os.system", py.call(py.global("os", "system"), py.str("id")), '"os.system", which is not allowed'],
  ["a builtin", state(py.call(py.global("builtins", "eval"), py.str("1"))), '"builtins.eval"'],
  [
    "a global whose name has a dot",
    state(py.global("torch", "_utils._rebuild_tensor_v2.__globals__")),
    "which is not allowed",
  ],
  ["a global by STACK_GLOBAL", [...py.str("os"), ...py.str("system"), 0x93], '"os.system"'],
  ["a global with terminal codes in its name", py.global("os", "\u001b[31msys"), "\\u001b[31msys"],
  ["a global without end", [0x63, ...many(5000, [0x61])], "too long"],
  ["an instance by INST", [0x28, 0x69, ...py.str("os")], "opcode 0x69"],
  ["an OrderedDict of a number", state(py.ordered(py.int(1))), "an OrderedDict of no list of pairs"],
  ["an OrderedDict of two lists", state(py.ordered(py.list(), py.list())), "an OrderedDict of no list of pairs"],
  ["an OrderedDict of single values", state(py.ordered(py.list(py.list(py.int(1))))), "instead of a pair"],
  [
    "an OrderedDict made of one long list again and again",
    [
      ...[...py.list(...Array.from({ length: 5000 }, () => py.tuple(py.none, py.none))), 0x71, 0, 0x30],
      ...many(1000, [...py.ordered([0x68, 0]), 0x30]),
    ],
    "bytes of values",
  ],
  ["an instance by NEWOBJ", [...py.global("collections", "OrderedDict"), ...py.tuple(), 0x81], "opcode 0x81"],
  ["an extension code", [0x82, 1], "opcode 0x82"],
  ["a text opcode", [0x49, 0x31, 0x0a], "opcode 0x49"],
  ["attributes on a tensor", state([...sound, ...py.dict([py.str("x"), py.none]), 0x62]), "holds no PyDict"],
  ["attributes on a function", [...py.global("torch", "Size"), ...py.dict(), 0x62], "holds no PyDict"],
  ["a call of a dict", state(py.call(py.dict(), py.none)), "a call of PyDict"],
  ["a persistent id that is text", state([...py.str("0"), 0x51]), "describes no storage"],
  [
    "a storage under a path",
    state(py.tensor(py.storage("../data.pkl", 4), [4], [1])),
    'storage "../data.pkl" is missing',
  ],
  ["values in a long chain of pairs", py.dict([py.str("w"), sound], [py.str("x"), doubled(60)]), "unfold to more than"],
  [
    "values in a deep chain of pairs",
    py.dict([py.str("w"), sound], [py.str("x"), doubled(60_000)]),
    "nested more than",
  ],
  ["a dictionary that holds itself", [0x7d, 0x71, 0, ...py.str("a"), 0x68, 0, 0x73], "nested more than"],
  ["a million lists", many(1_000_000, [0x5d]), "passes 200000 values"],
  ["lists that are thrown away", many(1_000_000, [0x5d, 0x30, 0x7d, 0x30]), "bytes of values"],
  [
    "a memo without end",
    [0x4e, ...Array.from({ length: 1_000_000 }, (_, i) => [0x72, i & 255, (i >> 8) & 255, i >> 16, 0]).flat()],
    "bytes of values",
  ],
  ["marks without end", many(1_000_000, [0x28]), "passes 200000 marks"],
  ["one item appended for ever", [0x5d, ...many(2_500_000, [0x4e, 0x61])], "bytes of values"],
  [
    "an integer of a million bytes",
    [0x8b, 0x40, 0x42, 0x0f, 0, ...many(1_000_000, [1])],
    "an integer of 1000000 bytes",
  ],
  ["a string longer than the file", [0x58, 0xff, 0xff, 0xff, 0xff, 0x61], "breaks off"],
  ["a string of 2^63 bytes", [0x8d, 0, 0, 0, 0, 0, 0, 0, 0x80], "a length of"],
  ["a string that is not UTF-8", [0x58, 1, 0, 0, 0, 0xff], "not UTF-8"],
  ["an empty stack", [0x30], "stack is empty"],
  ["a value below a mark", [0x4e, 0x28, 0x30], "stack is empty"],
  ["a memo entry that was never kept", [0x68, 9], "recalls 9"],
  ["values left over", [...py.none, ...py.none], "left over"],
  ["a key without value", [0x7d, 0x28, 0x4e, 0x75], "key without value"],
  ["a list instead of a dictionary", py.list(sound), "holds PyList"],
  ["no tensor", state(py.int(1)), "holds no tensors"],
  ["two tensors of one name", py.dict([py.str("w"), sound], [py.str("w"), sound]), 'two tensors called "w"'],
  [
    "two tensors of one joined name",
    py.dict([py.str("a.b"), sound], [py.str("a"), py.dict([py.str("b"), sound])]),
    'two tensors called "a.b"',
  ],
  ["a tensor over a number", state(py.tensor(py.int(1), [4], [1])), "over 1 instead of a storage"],
  ["a view beyond its storage", state(py.tensor(py.storage("0", 4), [2], [4])), "beyond its storage of 4"],
  ["an offset beyond its storage", state(py.tensor(py.storage("0", 4), [1], [1], 4)), "beyond its storage of 4"],
  ["a negative stride", state(py.tensor(py.storage("0", 4), [2], [-1], 1)), "not a tuple of counts"],
  ["a negative offset", state(py.tensor(py.storage("0", 4), [2], [1], -1)), "at offset -1"],
  ["a shape that overflows", state(py.tensor(py.storage("0", 4), [2 ** 40, 2 ** 40], [0, 0])), "impossible"],
  [
    "a stride that overflows",
    state(py.tensor(py.storage("0", 4), [2, 2], [2 ** 53 - 1, 2 ** 53 - 1])),
    "beyond its storage",
  ],
  [
    "a view that repeats its storage",
    state(py.tensor(py.storage("0", 4), [2 ** 40], [0])),
    "over a storage of 4 elements",
  ],
  ["more dimensions than strides", state(py.tensor(py.storage("0", 4), [2, 2], [1])), "impossible"],
  [
    "a storage of another size",
    state(py.tensor(py.storage("0", 5), [5], [1])),
    "has 16 bytes, 5 elements of F32 need 20",
  ],
  ["a storage of 2^53 - 1 elements", state(py.tensor(py.storage("0", 2 ** 53 - 1), [1], [1])), "elements"],
  ["a storage that is missing", state(py.tensor(py.storage("7", 4), [4], [1])), 'storage "7" is missing'],
  [
    "a storage of two types",
    py.dict([py.str("a"), sound], [py.str("b"), py.tensor(py.storage("0", 4, "IntStorage"), [4], [1])]),
    "described in two ways",
  ],
];

describe("hostile pickles are refused", () => {
  test.for(PICKLES)("%s", async ([, code, message]) => refused(torchZip(code, data), message));

  test.for(PICKLES.slice(0, 30))("%s, in the legacy format", async ([name, code]) => {
    if (name === "a storage under a path") return;
    await refused(torchLegacy(code, data), "");
  });

  test("a pickle of 9 MB", () =>
    refused(zip([{ name: "a/data.pkl", data: new Uint8Array(9_000_000) }]), "at most 8388608 are read"));
  test("bytes after the pickle", async () => {
    const bytes = Buffer.concat([pickle(state(sound)), Uint8Array.of(0)]);
    await refused(zip([{ name: "a/data.pkl", data: bytes }]), "1 bytes follow the pickle");
  });
});

describe("hostile legacy files are refused", () => {
  const legacy = torchLegacy(state(sound), data);

  test("cut at every byte", async () => {
    for (let length = 32; length < legacy.length; length++) await refused(legacy.subarray(0, length), "");
  });
  test("bytes behind the last storage", () => refused(Buffer.concat([legacy, Uint8Array.of(0)]), "1 bytes follow"));
  test("a count unlike the pickle's", () => refused(torchLegacy(state(sound), data, { "0": 5 }), "has 5 elements"));
  test("a negative count", () => refused(torchLegacy(state(sound), data, { "0": -4 }), "has -4 elements"));
  test("a storage that no tensor uses", () =>
    refused(torchLegacy(state(sound), { ...data, x: floats(1) }), "list of storages"));
  test("a storage that is not listed", () => refused(torchLegacy(state(sound), {}), "list of storages"));
  test("another magic number", () => refused(Buffer.concat([pickle(py.int(7)), legacy]), "neither a zip archive nor"));
  test("a tiny file", () => refused(new Uint8Array(3), "too few"));
  test("an HTML page", () =>
    refused(new TextEncoder().encode(`<!doctype html>${" ".repeat(100)}`), "not a PyTorch file"));
});

describe("hostile zip archives are refused", () => {
  const main = { name: "a/data.pkl", data: pickle(state(sound)) };
  const storage = { name: "a/data/0", data: data[0] };
  const whole = zip([main, storage]);

  test("cut at every byte", async () => {
    for (let length = 32; length < whole.length; length++) await refused(whole.subarray(0, length), "");
  });
  test("bytes in front", () => refused(Buffer.concat([whole.subarray(0, 40), whole]), "its end record lies at"));
  test("bytes behind", () => refused(Buffer.concat([whole, Uint8Array.of(0)]), "without its end record"));
  const ARCHIVES: readonly (readonly [string, readonly ZipPart[], ZipOptions, string])[] = [
    ["compression", [main, { ...storage, says: { method: 8 } }], {}, "compressed (method 8)"],
    ["encryption", [main, { ...storage, says: { flags: 1 } }], {}, "encrypted"],
    ["a duplicate name", [main, storage, storage], {}, 'two zip entries called "a/data/0"'],
    [
      "entries that share bytes",
      [main, storage, { ...storage, name: "a/data/1", says: { offset: 0 } }],
      {},
      "overlaps",
    ],
    ["an entry outside the file", [main, { ...storage, says: { offset: 2 ** 31 } }], {}, "overlaps"],
    ["an entry larger than the file", [main, { ...storage, says: { size: 2 ** 31 } }], {}, "overlaps"],
    ["a zip64 size that is missing", [main, { ...storage, says: { size: 0xffffffff } }], {}, "zip64 field is missing"],
    [
      "a zip64 size of 2^64 - 1",
      [main, { ...storage, says: { size: 0xffffffff, extra: [1, 0, 16, 0, ...many(16, [255])] } }],
      {},
      "above 2^53",
    ],
    ["a directory elsewhere", [main, storage], { directoryOffset: 5 }, "its end record lies at"],
    ["more entries than there are", [main, storage], { count: 3 }, "breaks off"],
    ["fewer entries than there are", [main, storage], { count: 1 }, "too many"],
    [
      "a zip64 directory beyond the file",
      [main, storage],
      { zip64: (directory) => zip64End({ ...directory, offset: 2 ** 50 }) },
      "lies outside its place",
    ],
    ["no data.pkl", [storage], {}, "0 data.pkl"],
    ["two data.pkl", [main, { ...main, name: "b/data.pkl" }], {}, "2 data.pkl"],
    ["a TorchScript program", [main, storage, { ...storage, name: "a/constants.pkl" }], {}, "TorchScript"],
    [
      "big-endian data",
      [main, storage, { name: "a/byteorder", data: new TextEncoder().encode("big") }],
      {},
      "big-endian",
    ],
    ["a pickle under another name in its own header", [{ ...main, localName: "a/DATA.pkl" }, storage], {}, "disagrees"],
    ["a header that reaches into the next entry", [{ ...main, localExtra: 9 }, storage], {}, "reaches into"],
  ];
  test.for(ARCHIVES)("%s", async ([, parts, options, message]) => refused(zip(parts, options), message));

  test("a storage whose own header disagrees is refused when it is read", async () => {
    const source = await openPickle(bytesSource("x.pth", zip([main, { ...storage, localExtra: 4 }])));
    await expect(source.read("w")).rejects.toThrow('zip entry "a/data/0" of 16 bytes reaches into what follows it');
  });
});
