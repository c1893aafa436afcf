import { expect, test } from "vitest";
import { requestDevice } from "../../src/node/device.ts";

test("asking for a device leaves the program's environment as it was", async () => {
  const before = { ...process.env };
  delete process.env["XDG_RUNTIME_DIR"]; // what a driver may look for
  const without = { ...process.env };
  try {
    (await requestDevice()).destroy();
    expect({ ...process.env }).toEqual(without);
  } finally {
    if (before["XDG_RUNTIME_DIR"] !== undefined) process.env["XDG_RUNTIME_DIR"] = before["XDG_RUNTIME_DIR"];
  }
});
