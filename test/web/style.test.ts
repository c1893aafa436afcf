import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../cli/run.ts";

/** Relative luminance of #rrggbb (WCAG 2.2). */
function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

test.each([0, 1])("borders of controls stand out, 3:1 (WCAG 1.4.11), in light and in dark", (scheme) => {
  const css = readFileSync(join(root, "web/style.css"), "utf8");
  const colour = (name: string) =>
    new RegExp(`--${name}: light-dark\\((#\\w{6}), (#\\w{6})\\)`).exec(css)![1 + scheme]!;
  for (const around of ["card", "well", "paper"]) {
    const [light, dark] = [luminance(colour("control")), luminance(colour(around))].sort((a, b) => b - a);
    expect((light! + 0.05) / (dark! + 0.05), around).toBeGreaterThan(3);
  }
  const bordered = css.split("}").filter((rule) => /^\s*(\.drop|button,)/m.test(rule) && /border: /.test(rule));
  expect(bordered).toHaveLength(2);
  for (const rule of bordered) expect(rule).toContain("var(--control)");
});
