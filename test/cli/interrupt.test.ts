import { afterEach, expect, test, vi } from "vitest";
import { Interrupt, interruptible } from "../../src/cli/interrupt.ts";

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
