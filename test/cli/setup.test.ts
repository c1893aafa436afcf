import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { installScript, mirrorOf, parseOsRelease, plan } from "../../scripts/setup-adapter.mjs";
import { findBrowser } from "../../scripts/setup-browser.mjs";
import { root } from "./run.ts";

const setup = (env: Readonly<Record<string, string>> = {}) =>
  spawnSync(process.execPath, [join(root, "scripts/setup-adapter.mjs")], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });

test("names the adapter in one line where there is one", () => {
  const { status, stdout, stderr } = setup();
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toMatch(/^setup: WebGPU adapter found: .+\n$/);
});

test.for([
  ['ID=debian\nVERSION_ID="12"', { install: "bookworm-backports" }],
  ['ID=debian\nVERSION_ID="13"', { install: "release" }],
  ["ID=debian", { install: "release" }], // testing
  ['ID=debian\nVERSION_ID="11"', { tell: expect.stringContaining("Vulkan") }],
  ['ID=ubuntu\nVERSION_ID="24.04"', { install: "release" }],
  ['ID=ubuntu\nVERSION_ID="22.04"', { install: "release" }],
  ['ID=ubuntu\nVERSION_ID="26.04"', { install: "release" }],
  ['ID=ubuntu\nVERSION_ID="20.04"', { tell: expect.stringContaining("Vulkan") }],
  ["ID=fedora\nVERSION_ID=43", { tell: expect.stringContaining("Vulkan") }],
] as const)("%s", ([text, expected]) => {
  expect(plan("linux", parseOsRelease(text))).toEqual(expected);
});

test("elsewhere it only tells", () => {
  for (const platform of ["darwin", "win32", "freebsd"] as const)
    expect(plan(platform, parseOsRelease(""))).toEqual({ tell: expect.any(String) });
});

test("Debian 12 takes its driver from backports, by the mirror that it has, added once", () => {
  const own = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n";
  expect(mirrorOf([own])).toBe("http://mirror.example/debian");
  expect(mirrorOf(["# nothing\n", "deb [arch=amd64] http://other.example/debian bookworm main\n"])).toBe(
    "http://other.example/debian",
  );
  expect(mirrorOf([])).toBe("http://deb.debian.org/debian");
  const first = installScript("bookworm-backports", [own]);
  expect(first).toContain("http://mirror.example/debian bookworm-backports main' >");
  expect(first).toMatch(/install .*-t bookworm-backports mesa-vulkan-drivers libvulkan1$/);
  expect(installScript("bookworm-backports", [own, "Suites: bookworm-backports"])).not.toContain("echo");
  expect(installScript("release", [])).not.toContain("backports");
});

test("the browser to test with is the one that is named, else the first that is there", () => {
  const [here, nowhere] = [process.execPath, join(root, "no/such/browser")];
  expect(findBrowser({}, [nowhere, here])).toBe(here);
  expect(findBrowser({ TOILE_CHROMIUM: here }, [nowhere])).toBe(here);
  expect(findBrowser({ TOILE_CHROMIUM: nowhere }, [here])).toBeUndefined(); // a wrong name is not passed over
  expect(findBrowser({}, [nowhere])).toBeUndefined();
});
