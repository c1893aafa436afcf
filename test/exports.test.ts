import ts from "typescript";
import { expect, test } from "vitest";

// Who uses the library reads its declarations: everything public says what it is, with shapes and units.

const { config } = ts.readConfigFile("tsconfig.json", ts.sys.readFile) as { config: object };
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ".");

/** `undocumented` of a program of these files, for tests of the test; else of the repository's entry points. */
function programOf(files: Readonly<Record<string, string>>): ts.Program {
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (name, ...rest) =>
    name in files ? ts.createSourceFile(name, files[name]!, ts.ScriptTarget.ES2023, true) : read(name, ...rest);
  const entries = Object.keys(files);
  return ts.createProgram(entries.length > 0 ? entries : ["src/index.ts", "src/node/index.ts"], options, host);
}

/** Public names without a sentence: exports, what a namespace holds, and members of classes and interfaces. */
function undocumented(program: ts.Program, entries: readonly string[]): string[] {
  const checker = program.getTypeChecker();
  const seen = new Set<ts.Symbol>();
  const missing: string[] = [];
  const tags = (symbol: ts.Symbol) => symbol.getJsDocTags(checker).map(({ name }) => name);
  const says = (symbol: ts.Symbol) => symbol.getDocumentationComment(checker).some(({ text }) => text.trim() !== "");

  /** Fields that a checkpoint's keys are made of say what they are by that name. */
  const isWeights = (member: ts.Symbol) => {
    const type = checker.getNonNullableType(checker.getTypeOfSymbol(member));
    const parts = [type, ...checker.getTypeArguments(type as ts.TypeReference)];
    return parts.some((part) => ["Parameter", "Module"].some((name) => isA(part, name)));
  };
  const isA = (type: ts.Type, name: string): boolean =>
    type.symbol?.name === name ||
    (type.isClassOrInterface() && (checker.getBaseTypes(type) ?? []).some((base) => isA(base, name)));

  function members(symbol: ts.Symbol, path: string): void {
    for (const member of symbol.members?.values() ?? []) {
      const declaration = member.declarations?.[0];
      const kinds = ts.SymbolFlags.Property | ts.SymbolFlags.Method | ts.SymbolFlags.Accessor;
      if (!declaration || !(member.flags & kinds) || member.name.startsWith("#")) continue;
      if (ts.getCombinedModifierFlags(declaration) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) continue;
      if (tags(member).some((name) => ["internal", "returns", "param"].includes(name)) || says(member)) continue;
      if (member.flags & ts.SymbolFlags.Property && isWeights(member)) continue;
      missing.push(`${path}#${member.name}`);
    }
  }

  function visit(exported: ts.Symbol, prefix: string): void {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    if (seen.has(symbol)) return;
    seen.add(symbol);
    const path = `${prefix}${exported.name}`;
    if (symbol.flags & ts.SymbolFlags.ValueModule)
      return checker.getExportsOfModule(symbol).forEach((inner) => visit(inner, `${path}.`));
    if (!says(symbol)) missing.push(path);
    members(symbol, path);
  }

  for (const entry of entries)
    for (const symbol of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!))
      visit(symbol, "");
  return missing;
}

test("everything that the entry points export says what it is", () => {
  expect(undocumented(programOf({}), ["src/index.ts", "src/node/index.ts"])).toEqual([]);
});

test("what says nothing is found", () => {
  const text = `
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
    export class Layer extends Module { readonly to_q: Layer | undefined; readonly list: readonly Layer[] = []; rate = 1; }`;
  const found = undocumented(programOf({ "made-up.ts": text }), ["made-up.ts"]);
  expect(found).toEqual(["Known#b", "Known#m", "Bare", "Bare#z", "tagged", "Layer#rate"]);
});
