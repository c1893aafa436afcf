import { describe, expect, test } from "vitest";
import { InputError } from "../../src/util/errors.ts";
import type { Folder } from "../../src/util/host.ts";
import { colouriseLabels, LABEL, PALETTE } from "../../src/vision/labels.ts";
import { onnxSession, type OnnxOutput, type OnnxSession } from "../../src/vision/onnx.ts";
import { classify } from "../../src/vision/classify.ts";
import { openParsers, parsePerson, parserInput, PARSERS } from "../../src/vision/parsing.ts";
import { normal } from "../helpers.ts";

const person = { width: 384, height: 512, data: new Uint8Array(384 * 512 * 3) };

/** Logits that are 1 where `wins` says so, else 0. */
function logits(classes: number, side: number, wins: (label: number, x: number, y: number) => boolean): OnnxOutput {
  const data = new Float32Array(classes * side * side);
  for (let c = 0, i = 0; c < classes; c++)
    for (let y = 0; y < side; y++) for (let x = 0; x < side; x++, i++) data[i] = wins(c, x, y) ? 1 : 0;
  return { data, shape: [1, classes, side, side] };
}

/** A network that answers the same to everything, its logits second. */
const answering = (name: string, fused: OnnxOutput): OnnxSession & { shapes: (readonly number[])[] } => {
  const shapes: (readonly number[])[] = [];
  const run = async (input: Float32Array, shape: readonly number[]) => {
    expect(input.length).toBe(shape.reduce((a, b) => a * b));
    shapes.push(shape);
    return [{ data: new Float32Array(1), shape: [1] }, fused];
  };
  return { name, shapes, run, close: async () => undefined };
};
const { face, upper, neck } = LABEL;
const everywhere = (classes: number, side: number, label: number) => logits(classes, side, (c) => c === label);
const used = (labels: ArrayLike<number>) => [...new Set(Array.from(labels))].sort((a, b) => a - b);

describe("classify", () => {
  test("of several largest logits the first wins, zeros too", () => {
    const tied = logits(18, 128, (c) => c === 3 || c === 9);
    expect(used(classify(tied, 512, 384, 512).data)).toEqual([3]);
    expect(
      used(
        classify(
          logits(18, 128, () => false),
          512,
          384,
          512,
        ).data,
      ),
    ).toEqual([0]);
  });

  test("the square's middle 384 columns are the picture", () => {
    // 128 samples with corners on corners: the border between classes lies halfway between samples 63 and 64
    const halves = classify(
      logits(18, 128, (c, x) => c === (x < 64 ? 1 : 2)),
      512,
      384,
      512,
    );
    expect(used(halves.data.filter((_, i) => i % 384 < 192))).toEqual([1]);
    expect(used(halves.data.filter((_, i) => i % 384 >= 192))).toEqual([2]);
  });

  test.each([
    [18, 128, 512],
    [20, 119, 473],
    [3, 7, 31],
    [4, 1, 9],
  ])("%i classes of %i on %i: a window has the labels that the whole has there", (classes, n, side) => {
    const output = { data: normal(1, classes * n * n), shape: [1, classes, n, n] };
    const whole = classify(output, side, 384, 512).data;
    for (const [left, top, right, bottom] of [
      [100, 50, 230, 301],
      [383, 511, 384, 512],
      [0, 0, 384, 1],
    ] as const) {
      const inside = (x: number, y: number) => x >= left && x < right && y >= top && y < bottom;
      const expected = whole.map((label, i) => (inside(i % 384, Math.floor(i / 384)) ? label : 0));
      const part = classify(output, side, 384, 512, [left, top, right, bottom]).data;
      expect(Buffer.compare(part, expected)).toBe(0);
    }
  });

  test("all logits negative: the largest still wins", () => {
    const output = everywhere(18, 128, 7);
    const negative = { ...output, data: output.data.map((value) => value - 5) };
    expect(used(classify(negative, 512, 384, 512).data)).toEqual([7]);
  });
});

describe("parserInput", () => {
  test("planes of blue, green, red, normalised as the networks were trained; black beside the picture", () => {
    const image = { ...person, data: Uint8Array.from(person.data, (_, i) => [200, 100, 50][i % 3]!) };
    const input = parserInput(image, 512);
    const expected = [(50 / 255 - 0.406) / 0.225, (100 / 255 - 0.456) / 0.224, (200 / 255 - 0.485) / 0.229];
    const black = [-0.406 / 0.225, -0.456 / 0.224, -0.485 / 0.229];
    for (let c = 0; c < 3; c++) {
      expect(input[c * 512 * 512 + 300 * 512 + 64]).toBeCloseTo(expected[c]!, 5);
      expect(input[c * 512 * 512 + 300 * 512 + 63]).toBeCloseTo(black[c]!, 5);
    }
  });
});

describe("parsePerson", () => {
  test("the neck is where ATR sees a face and LIP does not", async () => {
    const atr = answering(
      "atr",
      logits(18, 128, (c, _, y) => c === (y < 64 ? face : upper)),
    );
    const lip = answering(
      "lip",
      logits(20, 119, (c, _, y) => c === (y < 30 ? 13 : 5)),
    );
    const { data } = await parsePerson(person, atr, lip);
    expect([atr.shapes, lip.shapes]).toEqual([[[1, 3, 512, 512]], [[1, 3, 473, 473]]]);
    expect([0, 100, 200, 400].map((y) => data[y * 384 + 192])).toEqual([face, face, neck, upper]);
  });

  test("no neck without LIP, which is not asked where there is no face", async () => {
    const atr = answering("atr", everywhere(18, 128, face));
    expect(used((await parsePerson(person, atr, undefined)).data)).toEqual([face]);
    const lip = answering("lip", everywhere(20, 119, 0));
    await parsePerson(person, answering("atr", everywhere(18, 128, upper)), lip);
    expect(lip.shapes).toEqual([]);
    expect(used((await parsePerson(person, atr, lip)).data)).toEqual([neck]);
  });

  test("refuses other sizes, other networks and what is no number", async () => {
    const atr = answering("atr.onnx", everywhere(18, 128, face));
    await expect(parsePerson({ ...person, width: 512, height: 384 }, atr, undefined)).rejects.toThrow(
      "parsePerson: a colour picture of 384x512 is needed, this one is 512x384",
    );
    const swapped = answering("parsing_lip.onnx", everywhere(20, 119, 0));
    await expect(parsePerson(person, swapped, undefined)).rejects.toThrow(
      "parsing_lip.onnx: the second output is [1, 20, 119, 119], of a parser with 18 classes on 512x512 it is [1, 18, h, w]",
    );
    const single: OnnxSession = { ...atr, run: async () => [everywhere(18, 128, 0)] };
    await expect(parsePerson(person, single, undefined)).rejects.toThrow(
      "atr.onnx: the network has 1 output, a parser's",
    );
    const output = everywhere(18, 128, 0);
    output.data[77] = NaN;
    await expect(parsePerson(person, answering("atr.onnx", output), undefined)).rejects.toThrow(
      "atr.onnx: number 77 of 294912 of its output is NaN",
    );
  });
});

describe("openParsers", () => {
  const folder = (...paths: string[]): Folder => ({
    name: "weights",
    has: async (path) => paths.includes(path),
    open: async (name) => ({ name, size: 3, read: async () => new Uint8Array([1, 2, 3]) }),
    text: async () => "",
  });

  test("names the missing file, and what works without", async () => {
    const open = async () => Promise.reject(new Error("not reached"));
    const missing = (path: string) =>
      new InputError(
        "weights",
        `${path} is missing; without it \`toile try-on\` works with --mask, \`toile mask\` with --labels and --keypoints`,
      );
    await expect(openParsers(folder(PARSERS.lip), open)).rejects.toEqual(missing(PARSERS.atr));
    await expect(openParsers(folder(PARSERS.atr), open)).rejects.toEqual(missing(PARSERS.lip));
  });

  test("opens what is needed, and closes it, also when the second one is broken", async () => {
    const log: string[] = [];
    const session = (name: string): OnnxSession => ({
      ...answering(name, everywhere(1, 1, 0)),
      close: async () => void log.push(`closed ${name}`),
    });
    const alone = await openParsers(folder(PARSERS.atr), async (_, name) => session(name), { neck: false });
    expect(alone.lip).toBeUndefined();
    await alone.close();
    const open = async (bytes: Uint8Array, name: string) => {
      expect([...bytes]).toEqual([1, 2, 3]);
      if (name === PARSERS.lip) throw new Error("broken");
      return session(name);
    };
    await expect(openParsers(folder(PARSERS.atr, PARSERS.lip), open)).rejects.toThrow("broken");
    expect(log).toEqual([`closed ${PARSERS.atr}`, `closed ${PARSERS.atr}`]);
  });
});

describe("onnxSession", () => {
  class Tensor {
    readonly type: string;
    readonly data: unknown;
    readonly dims: readonly number[];
    constructor(type: string, data: unknown, dims: readonly number[]) {
      [this.type, this.data, this.dims] = [type, data, dims];
    }
  }
  const session = (inputNames: string[], run: (feeds: Record<string, Tensor>) => Promise<object>) => ({
    inputNames,
    outputNames: ["b", "a"],
    run: run as never,
    release: async () => undefined,
  });

  test("outputs come in the file's order", async () => {
    const doubled = onnxSession(
      "net",
      { Tensor },
      session(["x"], async ({ x }) => ({ a: x, b: new Tensor("float32", new Float32Array([9]), [1]) })),
    );
    const input = normal(1, 6);
    expect(await doubled.run(input, [2, 3])).toEqual([
      { data: new Float32Array([9]), shape: [1] },
      { data: input, shape: [2, 3] },
    ]);
  });

  test("one line for other networks", async () => {
    const failing = async () => Promise.reject(new Error("Got invalid dimensions\n  index: 2"));
    expect(() => onnxSession("net", { Tensor }, session(["x", "y"], failing))).toThrow(
      "net: the network has 2 inputs, there must be one",
    );
    await expect(
      onnxSession("net", { Tensor }, session(["x"], failing)).run(new Float32Array(1), [1, 1]),
    ).rejects.toThrow("net: does not run on [1, 1]: Got invalid dimensions index: 2");
    const integers = async () => ({
      a: new Tensor("int64", new BigInt64Array(1), [1]),
      b: new Tensor("int64", new BigInt64Array(1), [1]),
    });
    await expect(
      onnxSession("net", { Tensor }, session(["x"], integers)).run(new Float32Array(1), [1]),
    ).rejects.toThrow("net: output b is int64, not float32");
  });
});

test("label maps in the usual colours", () => {
  const labels = { width: 4, height: 1, data: Uint8Array.of(0, upper, neck, 200) };
  expect([...colouriseLabels(labels).data]).toEqual([0, 0, 0, ...PALETTE[upper]!, ...PALETTE[neck]!, 0, 0, 0]);
  expect(PALETTE[1]).toEqual([128, 0, 0]);
});
