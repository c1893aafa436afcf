import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fixture } from "../helpers.ts";
import { cli, scratch } from "./run.ts";

test.skipIf(process.platform === "win32")("a log that others write too keeps every line", () => {
  const log = join(scratch(), "log");
  const ask = `"${process.execPath}" "${cli}" mask --person "${fixture("images/astronaut.png")}" --out nowhere`;
  spawnSync("sh", ["-c", `{ echo before; ${ask}; ${ask}; echo after; } > "${log}" 2>&1`]);
  const line = expect.stringMatching(/^toile: .*parsing_atr\.onnx is missing/);
  expect(readFileSync(log, "utf8").trimEnd().split("\n")).toEqual(["before", line, line, "after"]);
});
