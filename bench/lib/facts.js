// What a result belongs to: the commit, the machine, the adapter, the versions.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";

const packageVersion = (name, root) => {
  try {
    return JSON.parse(readFileSync(new URL(`${root}node_modules/${name}/package.json`, import.meta.url))).version;
  } catch {
    return undefined;
  }
};

/** The commit, with a plus when the library was changed since. */
export function commit() {
  const git = (...args) =>
    execFileSync("git", args, {
      cwd: import.meta.dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    return git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "../../src") ? "+" : "");
  } catch {
    return undefined; // a copy without a repository
  }
}

/** Facts of a run on `device`; peers' versions where they are installed. */
export function runFacts(device) {
  return {
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
    adapter: device.facts.name,
    driver: device.facts.description,
    cpu: `${cpus().length} x ${cpus()[0].model}`,
    versions: {
      node: process.version,
      "webgpu (Dawn)": packageVersion("webgpu", "../../"),
      "onnxruntime-node": packageVersion("onnxruntime-node", "../../"),
      "@tensorflow/tfjs-backend-webgpu": packageVersion("@tensorflow/tfjs-backend-webgpu", "../"),
      "@jax-js/jax": packageVersion("@jax-js/jax", "../"),
    },
  };
}

const resultFile = (name) => new URL(`../results/${name}.json`, import.meta.url);

export function readResult(name) {
  try {
    return JSON.parse(readFileSync(resultFile(name)));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

export function writeResult(name, result) {
  mkdirSync(new URL("./", resultFile(name)), { recursive: true });
  writeFileSync(resultFile(name), `${JSON.stringify(result, null, 2)}\n`);
}
