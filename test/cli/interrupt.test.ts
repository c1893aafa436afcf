import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { convert } from "../../src/cli/convert.ts";
import { Interrupt, interruptible } from "../../src/cli/interrupt.ts";
import { writeLayout } from "../pipelines/sd_setup.ts";
import { filesIn, scratch } from "./run.ts";

const exit = vi.spyOn(process, "exit").mockImplementation((() => {}) as never);
const before = new Map((["SIGINT", "SIGTERM"] as const).map((name) => [name, process.listeners(name)]));

afterEach(() => {
  exit.mockClear();
  for (const [name, known] of before)
    for (const listener of process.listeners(name)) if (!known.includes(listener)) process.off(name, listener);
});

test("the first signal stops the work at once", async () => {
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const code = interruptible(() => new Promise(() => {}));
  process.emit("SIGINT");
  expect(await code).toBe(130);
  expect(said.mock.calls).toEqual([["toile: interrupted, nothing was written\n"]]);
  expect(exit).not.toHaveBeenCalled();
  said.mockRestore();
});

test.each(["one.safetensors", "layout"])("a conversion to %s that is stopped takes away what it began", async (to) => {
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const work = scratch();
  const folder = writeLayout(join(work, "tiny"));
  const options = { dtype: "keep", tokenizer: to === "layout" ? join(folder, "tokenizer") : undefined };
  const single = join(work, "single.safetensors");
  const quiet = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  if (to === "layout") expect(await convert(folder, single, { dtype: "keep" })).toBe(0);
  quiet.mockRestore();
  const before = filesIn(work);
  const code = convert(to === "layout" ? single : folder, join(work, to), options);
  while (!readdirSync(work).some((name) => name.endsWith(".tmp"))) await new Promise(setImmediate);
  process.emit("SIGINT");
  expect(await code).toBe(130);
  expect(said.mock.calls).toEqual([["toile: interrupted, nothing was written\n"]]);
  said.mockRestore();
  expect([filesIn(work), existsSync(join(work, "layout.tmp"))]).toEqual([before, false]);
});

test("while results are written the first is waited out; one that comes a second later ends the process", () => {
  const interrupt = new Interrupt();
  interrupt.finish();
  process.emit("SIGINT");
  expect(exit).not.toHaveBeenCalled();
  expect(interrupt.signal.aborted).toBe(false);
  process.emit("SIGTERM");
  expect(exit).not.toHaveBeenCalled(); // what came at once is the same wish
  const now = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 1500);
  process.emit("SIGTERM");
  now.mockRestore();
  expect(exit.mock.calls).toEqual([[130]]);
});
