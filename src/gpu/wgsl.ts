import { KernelError } from "../util/errors.ts";

export type SpecValue = string | number | boolean;
export type Spec = Readonly<Record<string, SpecValue>>;

const BLOCK = /^\/\/!spec\n([\s\S]*?)^\/\/!end$/m;
const LINE = /^(const|alias) (\w+)(?:: (u32|i32|f32|bool))? = ([^;]+);/gm;
const TYPE = /^(?:f32|f16|u32|i32|vec4<(?:f32|f16|u32|i32)>)$/;
const SUBGROUP = /\bsubgroup(?:Shuffle|Broadcast|Add|Max|Min|_size|_id|_invocation_id)/;
const MATRIX = /\bsubgroupMatrix/;
const ENTRY = "@workgroup_size(";

function literal(kernel: string, name: string, type: string | undefined, value: SpecValue): string {
  const wrong = () =>
    new KernelError(kernel, `spec constant ${name} is ${type ?? "a type"}, got ${JSON.stringify(value)}`);
  if (type === undefined) {
    if (typeof value !== "string" || !TYPE.test(value)) throw wrong();
    return value;
  }
  if (type === "bool") {
    if (typeof value !== "boolean") throw wrong();
    return String(value);
  }
  if (typeof value !== "number" || !Number.isFinite(value)) throw wrong();
  if (type === "f32") return value.toExponential();
  if (!Number.isInteger(value) || (type === "u32" && value < 0)) throw wrong();
  return type === "u32" ? `${value}u` : `${value}i`;
}

/**
 * Joins a kernel's files and writes `spec` into the initialisers of its `//!spec … //!end` block.
 * The text depends on (files, spec) alone, so a cache keyed on them cannot be wrong. One line of
 * `enable`s is always prepended, so a line of the result minus one is a line of the joined files.
 * A spec constant `PIN` that is true asks for subgroups of `LANES`, which an attribute must do.
 */
export function specialise(kernel: string, files: readonly string[], spec: Spec): string {
  const unknown = new Set(Object.keys(spec));
  let f16 = false;
  const joined = files.join("\n");
  const text = joined.replace(BLOCK, (_, block: string) => {
    // keep the two marker lines, so that line numbers stay those of the file
    const lines = block.replace(
      LINE,
      (_line, keyword: string, name: string, type: string | undefined, initial: string) => {
        unknown.delete(name);
        const value = spec[name] === undefined ? initial : literal(kernel, name, type, spec[name]);
        f16 ||= value.includes("f16");
        return `${keyword} ${name}${type ? `: ${type}` : ""} = ${value};`;
      },
    );
    return `//\n${lines}//`;
  });
  if (unknown.size > 0) throw new KernelError(kernel, `no spec constant named ${[...unknown].join(", ")}`);
  const pinned = spec["PIN"] === true;
  const enables = [
    MATRIX.test(joined) ? "diagnostic(off, chromium.subgroup_matrix_uniformity);" : "", // branches are on parameters
    f16 ? "enable f16;" : "",
    SUBGROUP.test(joined) ? "enable subgroups;" : "",
    MATRIX.test(joined) ? "enable chromium_experimental_subgroup_matrix;" : "",
    pinned ? "enable subgroup_size_control;" : "",
  ];
  const body = pinned ? text.replace(ENTRY, `@subgroup_size(LANES) ${ENTRY}`) : text;
  return `${enables.filter(Boolean).join(" ")}\n${body}`;
}

/** Turns a line of specialised text back into a file index and a line of that file, both counted from the sources. */
export function sourceLine(files: readonly string[], line: number): { file: number; line: number } {
  let rest = line - 1; // the prepended line of enables
  for (const [file, text] of files.entries()) {
    const lines = text.split("\n").length;
    if (rest <= lines) return { file, line: rest };
    rest -= lines;
  }
  return { file: files.length - 1, line: rest };
}
