import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";
import { root, toile } from "../cli/run.ts";
import { errorsIn, inMemory, programWith, undocumented } from "./program.ts";

// Everything public says what it is; what guides show compiles against the library; their commands and links exist.

interface Block {
  readonly lang: string;
  readonly text: string;
  /** Of its opening fence, from 1. */
  readonly line: number;
}

/** The fenced blocks of a page. */
function blocksOf(page: string): Block[] {
  const fences = page.matchAll(/^```(\w*)[^\n]*\n([\s\S]*?)^```$/gm);
  return [...fences].map(({ 1: lang, 2: text, index }) => ({
    lang: lang!,
    text: text!,
    line: page.slice(0, index).split("\n").length,
  }));
}

/** Commands of a shell block, `\` at line ends undone. */
const commandsIn = (text: string) =>
  [...text.replaceAll(/\\\n\s*/g, "").matchAll(/^\s*npx toile ([^\n#]*)/gm)].map(([, rest]) => rest!.trim());

const help = new Map<string, string>();
/** What is wrong with a command: a subcommand or options that the help does not know. */
function unknown(command: string): string[] {
  const words = command.split(/\s+/);
  const name = words.slice(0, words[0] === "data" ? 2 : 1).join(" ");
  if (!help.has(name)) help.set(name, toile([...name.split(" "), "--help"]).out);
  const known = help.get(name)!;
  if (!known.includes(`Usage: toile ${name}`)) return [`toile ${name}: there is no such command`];
  const flags = words.filter((word) => word.startsWith("--"));
  return flags
    .filter((flag) => !new RegExp(`${flag}(?![\\w-])`).test(known))
    .map((flag) => `toile ${name}: no ${flag}`);
}

const guides = readdirSync(join(root, "docs/guide")).map((name) => `docs/guide/${name}`);
const pages = Object.fromEntries(
  ["README.md", "docs/index.md", ...guides].map((name) => [name, readFileSync(join(root, name), "utf8")]),
);

const MISTAKES = '```ts\nimport { Tensor } from "toile";\nTensor.nothing();\n```\n\n```ts\nconst a: string = 1;\n```\n';
const UNDOCUMENTED = `
/** Known. */
export interface Known {
  /** Says. */
  a: number;
  b: string;
  m(): void;
}
export class Bare {
  /** Says. */
  x = 1;
  #own = 2;
  private y = 3;
  get z() { return 1; }
  /** @internal */
  w = 1;
}
/** @throws Error */
export const tagged = 1;
/** Weights. */
class Parameter {}
class Module { readonly p = new Parameter(); }
/** A layer. */
export class Layer extends Module {
  readonly to_q: Layer | undefined;
  readonly list: readonly Layer[] = [];
  rate = 1;
}`;

/** Each block of TypeScript, a module of its own, by the name it gets: where it stands. */
const shown = new Map(
  Object.entries({ ...pages, "mistakes.md": MISTAKES }).flatMap(([page, content]) =>
    blocksOf(content)
      .filter(({ lang }) => lang === "ts")
      .map(({ text, line }) => [inMemory(`${page}.${line}.ts`), { page, line, text: `${text}export {};` }] as const),
  ),
);
const texts = new Map<string, string>([...shown].map(([name, { text }]) => [name, text]));
const program = programWith(texts.set(inMemory("undocumented.ts"), UNDOCUMENTED));

test("everything that the entry points export says what it is", () => {
  expect(undocumented(program, ["src/index.ts", "src/node/index.ts"].map(inMemory))).toEqual([]);
});

test("what says nothing is found", () => {
  const found = undocumented(program, [inMemory("undocumented.ts")]);
  expect(found).toEqual(["Known#b", "Known#m", "Bare", "Bare#z", "tagged", "Layer#rate"]);
});

test("guides show code that compiles against the library", () => {
  const wrong = [...shown].flatMap(([name, { page, line }]) =>
    errorsIn(program, name).map((error) => `${page}:${line + 1 + error.line}: ${error.text}`),
  );
  expect(wrong).toEqual([
    expect.stringMatching(/^mistakes\.md:3: .*nothing/),
    expect.stringMatching(/^mistakes\.md:7: .*string/),
  ]);
});

test("guides name commands and options that there are", () => {
  const commands = Object.values(pages)
    .flatMap(blocksOf)
    .filter(({ lang }) => lang === "sh")
    .flatMap(({ text }) => commandsIn(text));
  expect(commands.length).toBeGreaterThan(10);
  expect(commands.flatMap(unknown)).toEqual([]);
  expect(commandsIn("cd x\nnpx toile info a \\\n  --b # c\n")).toEqual(["info a --b"]);
  expect(unknown("info a --b")).toEqual(["toile info: no --b"]);
  expect(unknown("nonsense")).toEqual(["toile nonsense: there is no such command"]);
});

test("guides link to pages that there are, and begin with the title that the sidebar shows", () => {
  const dead = Object.entries(pages).flatMap(([name, page]) =>
    [...page.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
      .map(([, to]) => relative(root, join(root, dirname(name), to!)))
      .filter((to) => !to.startsWith("docs/api/") && !existsSync(join(root, to))) // the reference is made, not kept
      .map((to) => `${name}: ${to}`),
  );
  expect(dead).toEqual([]);
  expect(guides.filter((name) => !/^# \S/.test(pages[name]!))).toEqual([]);
});
