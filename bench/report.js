// Writes the tables of bench/README.md, between its marks, and a plot for each, from bench/results. Run: node bench/report.js
import { readFileSync, writeFileSync } from "node:fs";
import { format, resolveConfig } from "prettier";
import { readResult } from "./lib/facts.js";
import { barChart } from "./lib/svg.js";

const table = (head, rows) =>
  [head, head.map((_, i) => (i === 0 ? "---" : "--:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
const short = (value) =>
  value === undefined ? "–" : value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
const spread = (row) => (row ? `${short(row.median)} (${short(row.lower)}–${short(row.upper)})` : "–");
const times = (reached, asked, processor) =>
  reached === undefined ? "–" : `${reached}${processor ? ` / ${processor}` : ""}${asked ? ` (asked ${asked})` : ""}`;

function plot(name, chart) {
  writeFileSync(new URL(`results/${name}.svg`, import.meta.url), barChart(chart));
  return `![${chart.title}](results/${name}.svg)`;
}

function machine({ adapter, driver, cpu, versions }) {
  const packages = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `Adapter ${adapter}, ${driver}; ${cpu}; ${packages.join(", ")}.`;
}

function operators() {
  const result = readResult("operators");
  const columns = {
    "toile f32": "toile f32",
    "toile f16": "toile f16",
    "ORT f32": "onnxruntime webgpu f32",
    "ORT f16": "onnxruntime webgpu f16",
    "ORT CPU": "onnxruntime cpu f32",
    "tfjs f32": "tfjs webgpu f32",
    "jax-js f32": "jax-js webgpu f32",
  };
  const rows = result.rows.map((row) => [
    row.name,
    ...Object.values(columns).map((name) => spread(row.candidates[name])),
    times(row.ratios.f32, row.asked?.f32, row.processorRatios?.f32),
    times(row.ratios.f16, row.asked?.f16, row.processorRatios?.f16),
    `\`${row.commit}\``,
  ]);
  const inexact = result.rows.flatMap((row) =>
    Object.entries(row.candidates)
      .filter(([name, { error }]) => error > (name.includes("f16") ? 5e-2 : 1e-3))
      .map(([name, { error }]) => `- ${row.name}, ${name}: ${error.toExponential(1)} of the largest magnitude`),
  );
  const single = result.rows.flatMap((row) =>
    (row.beside ?? []).map(({ name, reached, asked }) => `${row.name}: ${times(reached, asked)} times ${name}.`),
  );
  const chart = {
    title: "Operators, milliseconds",
    unit: "median, less is better",
    rows: result.rows.map((row) => ({
      name: row.name,
      bars: new Map(
        Object.entries(columns).flatMap(([label, name]) =>
          row.candidates[name] ? [[label, row.candidates[name].median]] : [],
        ),
      ),
    })),
  };
  return [
    "## Operators",
    machine(result),
    "Milliseconds of one operator: median (lower–upper quartile). The last columns are how many times faster toile is than the " +
      "fastest form of ONNX Runtime's WebGPU provider (f32 against f32; f16 against either type), by medians / by processor time, beside what is asked.",
    table(["operator", ...Object.keys(columns), "f32 ratio", "f16 ratio", "commit"], rows),
    ...single,
    ...(inexact.length > 0
      ? ["Results that are off, against toile in float32 (whose own errors are tested):", inexact.join("\n")]
      : []),
    plot("operators", chart),
  ];
}

/** What PyTorch takes for the operators: another process, so of another moment. */
function torchOperators() {
  const result = readResult("torch-operators-cpu-float32");
  if (!result) return [];
  const rows = Object.entries(result.rows).map(([name, row]) => [name, spread(row), short(row.processor)]);
  return [
    "## The operators in PyTorch",
    `PyTorch ${result.torch}, ${result.device}, ${result.dtype}, in a process of its own.`,
    table(["operator", "ms", "ms of processor time"], rows),
    plot("torch-operators", {
      title: "The operators in PyTorch, milliseconds",
      unit: "median, less is better",
      rows: Object.entries(result.rows).map(([name, row]) => ({ name, bars: new Map([["ms", row.median]]) })),
    }),
  ];
}

function unetStep(size, title) {
  const result = readResult(`unet_step-${size}-f32`);
  if (!result) return [];
  const rows = Object.entries(result.candidates).map(([name, row]) => [
    name,
    spread(row),
    short(row.gflops),
    row.error?.toExponential(1) ?? "–",
  ]);
  const torch = readResult(`torch-unet_step-${size}-cpu-float32`);
  for (const [name, row] of Object.entries(torch?.rows ?? {}))
    rows.push([`PyTorch ${torch.torch}, ${name} (another process)`, spread(row), "–", "–"]);
  const ratios = result.ratios
    .filter(({ reached }) => reached)
    .map(
      ({ against, reached, asked, processor }) => `${times(reached, asked, processor)} times faster than ${against}`,
    );
  const { thisSize, "768x1024": large } = result.operations;
  const giga = ({ total }) => `${(total / 1e9).toFixed(0)}`;
  return [
    `## ${title}`,
    `${machine(result)} Commit \`${result.commit}\`, ${result.dispatches} commands, ` +
      `${(result.memory.bytes / 2 ** 20).toFixed(1)} MB of temporaries (no plan needs less than ${(result.memory.bound / 2 ** 20).toFixed(1)}).`,
    table(["candidate", "ms", "GFLOP/s", "difference"], rows),
    `${ratios.join("; ")}.`,
    `10⁹ operations of a step: ${giga(thisSize.ours)}, by the reference's arithmetic ${giga(thisSize.reference)} ` +
      `(${thisSize.ratio.toFixed(2)} times); real size at 768x1024 ${giga(large.ours)} and ${giga(large.reference)} ` +
      `(${large.ratio.toFixed(2)} times, asked ${large.asked}).`,
    plot(`unet_step-${size}`, {
      title: `${title}, milliseconds`,
      unit: "median, less is better",
      rows: Object.entries(result.candidates).map(([name, row]) => ({ name, bars: new Map([["ms", row.median]]) })),
    }),
  ];
}

function phases() {
  const result = readResult("tryon");
  if (!result) return [];
  const names = Object.keys(result.first);
  return [
    "## The whole try-on",
    `${machine(result)} Commit \`${result.commit}\`; ${result.checkpoint}, ${result.width}x${result.height}, ${result.steps} steps, ` +
      `${result.dtype}; loading takes ${short(result.load)} ms. A garment that was seen before is not computed again.`,
    table(
      ["phase", "first run, ms", "later, ms"],
      names.map((name) => [name, short(result.first[name]), spread(result.phases[name])]),
    ),
    plot("tryon", {
      title: "The whole try-on, milliseconds",
      unit: "less is better",
      rows: names.map((name) => ({
        name,
        bars: new Map([
          ["first run", result.first[name]],
          ["later", result.phases[name].median],
        ]),
      })),
    }),
  ];
}

function coldStart() {
  const result = readResult("cold_start");
  if (!result) return [];
  const labels = {
    coldPicture: "process start to first picture, shader cache empty",
    warmPicture: "the same, cache full",
    coldUnet: `compiling a UNet's ${result.pipelines} pipelines, cache empty (limit ${result.limitMs / 1000} s)`,
    warmUnet: "the same, cache full",
  };
  const rows = Object.entries(labels).map(([key, label]) => [label, spread(result.rows[key])]);
  return [
    "## Cold start",
    `${machine(result)} Commit \`${result.commit}\`.`,
    table(["what", "ms"], rows),
    plot("cold_start", {
      title: "Cold start, milliseconds",
      unit: "median, less is better",
      log: false,
      rows: Object.entries(labels).map(([key, name]) => ({
        name: name.split(",")[0],
        bars: new Map([[key, result.rows[key].median]]),
      })),
    }),
  ];
}

function hostCost() {
  const result = readResult("host_cost");
  if (!result) return [];
  const { eager, replay, limit } = result.microsecondsEach;
  const cost = ({ median, spread: [least, most] }) => `${short(median)} (${short(least)}–${short(most)})`;
  const rows = Object.entries({ "recorded anew": eager, replayed: replay }).map(([name, row]) => [
    ...[name, cost(row.clock), cost(row.processor), String(row.allocations)],
  ]);
  const { channels, dispatchesAndCopies } = result.network;
  return [
    "## Host cost",
    `${result.adapter}, node ${result.node}, commit \`${result.commit}\`; a UNet of ${channels.join(", ")} ` +
      `channels, ${dispatchesAndCopies} commands a step. Median (least–most); asked: at most ${limit} when replayed.`,
    table(["a step", "µs a command", "µs of processor time", "allocations after the first"], rows),
    plot("host_cost", {
      title: "Host cost, microseconds a command",
      unit: "median, less is better",
      log: false,
      rows: Object.entries({ "recorded anew": eager, replayed: replay }).map(([name, row]) => ({
        name,
        bars: new Map([["clock", row.clock.median]]),
      })),
    }),
  ];
}

function trainingSteps() {
  const result = readResult("training_step");
  if (!result) return [];
  const rows = result.rows.map((row) => [
    row.name,
    short(row.parameters / 1e6),
    spread(row.forward),
    spread(row.step),
    `${row.ratio} / ${row.processorRatio}`,
  ]);
  return [
    "## A training step",
    `${machine(result)} Commit \`${result.commit}\`; both UNets, forward, backward, norms, AdamW and masters, in float32. ` +
      `The last column is the step over its forward pass, by medians / by processor time (asked: at most ${result.asked}): ` +
      "where channels and samples are few, the work for each parameter and the cost of each dispatch weigh most.",
    table(["size", "million parameters", "forward, ms", "step, ms", "ratio"], rows),
    plot("training_step", {
      title: "A training step, milliseconds",
      unit: "median, less is better",
      rows: result.rows.map(({ name, forward, step }) => ({
        name: name.split(":")[0],
        bars: new Map([
          ["forward", forward.median],
          ["step", step.median],
        ]),
      })),
    }),
  ];
}

const readme = new URL("README.md", import.meta.url);
const [before, , after] = readFileSync(readme, "utf8").split(/(<!-- tables -->[^]*<!-- end of tables -->)/);
const sections = [
  ...operators(),
  ...torchOperators(),
  ...unetStep("mid", "A UNet step, middle size"),
  ...unetStep("real", "A UNet step, real size"),
  ...phases(),
  ...coldStart(),
  ...hostCost(),
  ...trainingSteps(),
];
const text = `${before}<!-- tables -->\n\n${sections.join("\n\n")}\n\n<!-- end of tables -->${after}`;
const style = await resolveConfig(readme);
writeFileSync(readme, await format(text, { ...style, parser: "markdown" }));
