#!/usr/bin/env node
// Makes sure that there is a Chromium for the tests of the page in web/; `npm run setup:browser`. On Debian it installs
// the distribution's, elsewhere it says what to install. Never fails: without one those tests are left out.
import { accessSync, constants, existsSync, readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { asRoot, parseOsRelease } from "./setup-adapter.mjs";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/usr/bin/microsoft-edge",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/** The browser to test with: TOILE_CHROMIUM, or the first of the usual places that holds one. */
export function findBrowser(env = process.env, places = PLACES) {
  const named = env["TOILE_CHROMIUM"];
  return (named ? [named] : places).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const INSTALL = [
  "set -e",
  "export DEBIAN_FRONTEND=noninteractive",
  "apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update",
  "apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install -y --no-install-recommends chromium",
].join("\n");

function main() {
  const found = findBrowser();
  if (found) return console.log(`setup: browser found: ${found}`);
  const os = parseOsRelease(existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "");
  // Ubuntu's package of that name is a snap, which does not run everywhere
  const failure = os.id === "debian" ? asRoot(INSTALL) : "install Chromium or Chrome, or name one by TOILE_CHROMIUM";
  const after = findBrowser();
  if (after) return console.log(`setup: browser installed: ${after}`);
  console.log(
    `setup: no Chromium: the tests of the page in web/ are left out (${failure ?? "the package holds none"})`,
  );
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main();
