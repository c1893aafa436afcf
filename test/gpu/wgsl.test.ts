import { describe, expect, test } from "vitest";
import { KernelError } from "../../src/util/errors.ts";
import { sourceLine, specialise } from "../../src/gpu/wgsl.ts";

const LIB = "fn twice(v: f32) -> f32 {\n  return 2.0 * v;\n}";
const SOURCE = `// what it does
//!spec
alias elem = f32; // storage type
const WG: u32 = 64u; // threads
const SHIFT: i32 = 0i;
const EPS: f32 = 1e-5;
const SILU: bool = false;
//!end
@compute @workgroup_size(WG)
fn main() {}`;
const lines = (text: string) => text.split("\n");

describe("specialise", () => {
  test("without overrides keeps every line where it was, one line later", () => {
    const text = lines(specialise("k", [LIB, SOURCE], {}));
    expect(text[0]).toBe("");
    const joined = lines(`${LIB}\n${SOURCE}`);
    const changed = text.slice(1).flatMap((line, i) => (line === joined[i] ? [] : [joined[i]]));
    expect(changed).toEqual(["//!spec", "//!end"]);
  });

  test("writes values as literals of their declared types", () => {
    const text = specialise("k", [SOURCE], { WG: 128, SHIFT: -3, EPS: 0.5, SILU: true, elem: "vec4<f32>" });
    expect(text).toContain("alias elem = vec4<f32>;");
    expect(text).toContain("const WG: u32 = 128u;");
    expect(text).toContain("const SHIFT: i32 = -3i;");
    expect(text).toContain("const EPS: f32 = 5e-1;");
    expect(text).toContain("const SILU: bool = true;");
    expect(text).toContain("// threads");
  });

  test("leaves what follows the block alone", () => {
    const tail = "const WG2: u32 = 1u;\nconst OTHER: u32 = 7u;";
    expect(specialise("k", [`${SOURCE}\n${tail}`], { WG: 8 })).toContain(tail);
    expect(() => specialise("k", [`${SOURCE}\n${tail}`], { OTHER: 8 })).toThrow(KernelError);
  });

  test.each([
    ["f16", "f32", "enable f16;"],
    ["vec4<f16>", "f32", "enable f16;"],
    ["f32", "f32", ""],
  ])("type %s is enabled where it needs it", (elem, _, enables) => {
    expect(lines(specialise("k", [SOURCE], { elem }))[0]).toBe(enables);
  });

  test("enables subgroups for whatever file uses them", () => {
    const lib = "fn sum(v: f32) -> f32 { return subgroupAdd(v); }";
    expect(lines(specialise("k", [lib, SOURCE], { elem: "f16" }))[0]).toBe("enable f16; enable subgroups;");
  });

  test.each([
    [{ WGS: 1 }, "k: no spec constant named WGS"],
    [{ WG: true }, "k: spec constant WG is u32, got true"],
    [{ WG: -1 }, "k: spec constant WG is u32, got -1"],
    [{ WG: 1.5 }, "k: spec constant WG is u32, got 1.5"],
    [{ EPS: NaN }, "k: spec constant EPS is f32, got null"],
    [{ SILU: 1 }, "k: spec constant SILU is bool, got 1"],
    [{ elem: "f64" }, 'k: spec constant elem is a type, got "f64"'],
    [{ elem: "f32; }" }, 'k: spec constant elem is a type, got "f32; }"'],
  ])("refuses %j", (spec, message) => {
    expect(() => specialise("k", [SOURCE], spec)).toThrow(message);
    expect(() => specialise("k", [SOURCE], spec)).toThrow(KernelError);
  });
});

test("sourceLine finds the file and the line of every line", () => {
  const files = [LIB, SOURCE];
  const text = lines(specialise("k", files, {}));
  for (const [number, line] of text.entries()) {
    if (number === 0 || line === "//") continue;
    const at = sourceLine(files, number + 1);
    expect(lines(files[at.file]!)[at.line - 1]).toBe(line);
  }
});
