import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { directory } from "../../src/node/files.ts";
import { readImage } from "../../src/node/images.ts";
import { readLabels } from "../../src/node/labels.ts";
import { openOnnx } from "../../src/node/onnx.ts";
import { DeviceError, FormatError } from "../../src/util/errors.ts";
import { openParsers, parsePerson } from "../../src/vision/parsing.ts";
import { fixture } from "../helpers.ts";

const open = (bytes: Uint8Array, name: string) => openOnnx(bytes, name);

test.for([
  { input: "images/astronaut.bicubic.384x512.png", labels: "humanparsing/0.labels.png" },
  { input: "images/coffee.bicubic.384x512.png", labels: "humanparsing/1.labels.png" },
])("$labels as the published code has it", async ({ input, labels }) => {
  const parsers = await openParsers(directory(fixture(".")), open);
  const [got, expected] = [
    await parsePerson(await readImage(fixture(input)), parsers.atr, parsers.lip),
    await readLabels(fixture(labels)),
  ];
  await parsers.close();
  const wrong = got.data.filter((label, i) => label !== expected.data[i]).length;
  // Every pixel is equal on the machines tried; another processor's sums may move a tie.
  expect(wrong).toBeLessThanOrEqual(0.001 * expected.data.length);
});

test("without LIP only the neck differs", async () => {
  const parsers = await openParsers(directory(fixture(".")), open, { neck: false });
  const image = await readImage(fixture("images/astronaut.bicubic.384x512.png"));
  const got = await parsePerson(image, parsers.atr, parsers.lip);
  await parsers.close();
  const expected = await readLabels(fixture("humanparsing/0.labels.png"));
  const wrong = expected.data.filter((label, i) => got.data[i] !== (label === 18 ? 11 : label)).length;
  expect(wrong).toBeLessThanOrEqual(0.001 * expected.data.length);
});

describe("one line that names the file", () => {
  const network = readFileSync(fixture("humanparsing/parsing_atr.onnx"));
  const folder = mkdtempSync(join(tmpdir(), "onnx-"));
  const random = Uint8Array.from({ length: 500 }, (_, i) => (i * i * 31 + 7 * i) % 251);

  test.for([
    { what: "empty", bytes: new Uint8Array(0), says: /: the file is empty$/ },
    { what: "text", bytes: new TextEncoder().encode("<html>not found</html>\n"), says: /: is not a network that/ },
    { what: "noise", bytes: random, says: /: is not a network that/ },
    { what: "cut", bytes: new Uint8Array(network.subarray(0, 2000)), says: /: is not a network that/ },
    { what: "zeros", bytes: new Uint8Array(64), says: /: is not a network that/ },
  ])("$what", async ({ what, bytes, says }) => {
    const path = join(folder, `${what}.onnx`);
    writeFileSync(path, bytes);
    const error = await openOnnx(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FormatError);
    const { message } = error as Error;
    expect(message.startsWith(`${path}: `)).toBe(true);
    expect(message).toMatch(says);
    expect(message).not.toContain("\n");
  });

  test("no such file", async () => {
    await expect(openOnnx(join(folder, "none.onnx"))).rejects.toThrow("none.onnx: no such file or folder");
  });

  test("a picture of the wrong shape", async () => {
    const session = await openOnnx(new Uint8Array(network), "parsing_atr.onnx");
    await expect(session.run(new Float32Array(12), [1, 3, 2, 2])).rejects.toThrow(
      /^parsing_atr.onnx: does not run on \[1, 3, 2, 2\]: [^\n]*$/,
    );
    await session.close();
  });
});

describe("without the package", () => {
  afterEach(() => void vi.doUnmock("onnxruntime-node"));

  test("or where it does not load, says which it is", async () => {
    vi.doMock("onnxruntime-node", () => {
      throw new Error("no such library\n  in this test");
    });
    const error = await openOnnx(new Uint8Array(1), "x.onnx").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DeviceError);
    expect((error as Error).message).toContain("the optional package onnxruntime-node");
    expect((error as Error).message).not.toContain("\n");
  });
});
