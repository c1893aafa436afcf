#!/usr/bin/env node
// Makes sure that there is a WebGPU adapter; `npm run setup`. Where none is found on Debian or Ubuntu it installs
// Mesa's software Vulkan driver, elsewhere it says what to install. Runs before anything is built, hence plain
// JavaScript without dependencies; does nothing but look when there is an adapter already.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGES = ["mesa-vulkan-drivers", "libvulkan1"];
const BACKPORTS_FILE = "/etc/apt/sources.list.d/toile-bookworm-backports.list";

/** The child's whole program: a driver that crashes or hangs must not take this script along. */
const PROBE = `
import { tmpdir } from "node:os";
process.env.XDG_RUNTIME_DIR ??= tmpdir();
const { create } = await import("webgpu");
const gpu = create([]);
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
if (!adapter) process.exit(3);
const { description, device, vendor, isFallbackAdapter } = adapter.info;
await adapter.requestDevice();
console.log("adapter " + JSON.stringify({ name: description || device || vendor, software: isFallbackAdapter }));
process.exit(0);
`;

/** Asks Dawn for an adapter: `{ name, software }`, or `{ reason }` when there is none. */
export function probe() {
  const cwd = dirname(dirname(fileURLToPath(import.meta.url))); // where `webgpu` resolves
  const child = spawnSync(process.execPath, ["--input-type=module", "-e", PROBE], {
    cwd,
    encoding: "utf8",
    timeout: 120_000,
  });
  const line = child.stdout?.split("\n").find((text) => text.startsWith("adapter "));
  if (line) return JSON.parse(line.slice("adapter ".length));
  if (/ERR_MODULE_NOT_FOUND|dawn\.node|GLIBC/.test(child.stderr ?? ""))
    return {
      reason: /.*(?:Cannot find|GLIBC|dawn\.node).*/.exec(child.stderr)?.[0].trim() ?? "webgpu cannot be loaded",
      broken: true,
    };
  return { reason: child.signal ? `the driver ended by ${child.signal}` : "Dawn finds none" };
}

/** Reads /etc/os-release: `{ id, version, name }`. */
export function parseOsRelease(text) {
  const fields = Object.fromEntries(
    [...text.matchAll(/^([A-Z_]+)=(?:"([^"\n]*)"|'([^'\n]*)'|(\S*))/gm)].map(([, key, a, b, c]) => [key, a ?? b ?? c]),
  );
  const name = fields.PRETTY_NAME ?? fields.NAME ?? fields.ID ?? "this system";
  return { id: fields.ID ?? "", version: Number.parseFloat(fields.VERSION_ID ?? "NaN"), name };
}

/**
 * What to do on a system without an adapter: install Mesa from the release, or from Debian 12's backports (its own
 * Mesa is 22.3, which Dawn refuses), or only tell.
 */
export function plan(platform, os) {
  if (platform === "darwin")
    return { tell: "macOS gives every Metal GPU to WebGPU: update macOS, or run in a session that has a GPU" };
  if (platform === "win32") return { tell: "install the graphics card's current driver (Direct3D 12)" };
  if (platform !== "linux") return { tell: "install a Vulkan 1.3 driver" };
  if (os.id === "debian" && os.version === 12) return { install: "bookworm-backports" };
  if (os.id === "debian" && !(os.version < 12)) return { install: "release" }; // testing has no number
  if (os.id === "ubuntu" && os.version >= 22.04) return { install: "release" };
  return {
    tell: "install a Vulkan 1.3 driver, for machines without a GPU Mesa's lavapipe 23.2 or newer (mesa-vulkan-drivers on Debian, Ubuntu and Fedora, vulkan-swrast on Arch)",
  };
}

/** The mirror that this system already takes `bookworm` from, so that a network with its own mirror works. */
export function mirrorOf(sources) {
  const oneLine = /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+bookworm\s/m;
  for (const text of sources) {
    const uri = oneLine.exec(text)?.[1] ?? deb822Uri(text);
    if (uri) return uri;
  }
  return "http://deb.debian.org/debian";
}

function deb822Uri(text) {
  for (const stanza of text.split(/\n\s*\n/)) {
    if (/^Suites:.*\bbookworm(\s|$)/m.test(stanza)) return /^URIs:\s*(\S+)/m.exec(stanza)?.[1];
  }
  return undefined;
}

function readSources() {
  const folder = "/etc/apt/sources.list.d";
  const listed = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return ["/etc/apt/sources.list", ...listed]
    .filter((path) => /\.(list|sources)$/.test(path) && existsSync(path))
    .map((path) => readFileSync(path, "utf8"));
}

/** The shell lines that install the driver. */
export function installScript(from, sources) {
  const apt = "apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3";
  const backports = from === "bookworm-backports";
  const lines = ["set -e", "export DEBIAN_FRONTEND=noninteractive"];
  if (
    backports &&
    !sources.some((text) => text.split("\n").some((line) => /^(deb\s|Suites:).*bookworm-backports/.test(line)))
  ) {
    const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    lines.push(`echo 'deb [signed-by=${keyring}] ${mirrorOf(sources)} bookworm-backports main' > ${BACKPORTS_FILE}`);
  }
  lines.push(
    `${apt} update`,
    `${apt} install -y --no-install-recommends ${backports ? "-t bookworm-backports " : ""}${PACKAGES.join(" ")}`,
  );
  return lines.join("\n");
}

/** Runs a shell script as root. Quiet unless it fails. @returns undefined, or why it did not work */
export function asRoot(script) {
  const isRoot = process.getuid?.() === 0;
  const ask = process.stdin.isTTY ? [] : ["-n"]; // nobody is there to type a password
  const [command, ...args] = isRoot ? ["sh", "-c", script] : ["sudo", ...ask, "sh", "-c", script];
  const child = spawnSync(command, args, { encoding: "utf8", stdio: ["inherit", "pipe", "pipe"] });
  if (child.error) return isRoot ? child.error.message : "this needs root, and there is no sudo";
  if (child.status === 0) return undefined;
  return `${child.stderr}${child.stdout}`.trim().split("\n").slice(-3).join(" / ");
}

function report({ name, software }) {
  console.log(`setup: WebGPU adapter found: ${name}${software ? " (software, no GPU)" : ""}`);
  return 0;
}

function fail(why) {
  console.error(`setup: ${why}`);
  return 1;
}

function main() {
  const before = probe();
  if (before.name) return report(before);
  if (before.broken)
    return fail(
      `the npm package "webgpu" does not load (${before.reason}): run npm ci on a system with glibc 2.34 or newer`,
    );
  const os = parseOsRelease(existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "");
  const { install, tell } = plan(process.platform, os);
  if (!install) return fail(`no WebGPU adapter (${before.reason}); ${tell}`);
  console.log(`setup: no WebGPU adapter (${before.reason}); installing Mesa's software Vulkan driver on ${os.name} …`);
  const script = installScript(install, readSources());
  const failure = asRoot(script);
  if (failure) return fail(`installing failed (${failure}); run as root: ${script.split("\n").slice(2).join(" && ")}`);
  const after = probe();
  return after.name ? report(after) : fail(`no WebGPU adapter even with the driver installed (${after.reason})`);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) process.exitCode = main();
