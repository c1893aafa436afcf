import ts from "typescript";
import { root } from "../cli/run.ts";

const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile) as { config: object };
const options: ts.CompilerOptions = {
  ...ts.parseJsonConfigFileContent(config, ts.sys, root).options,
  paths: { toile: [`${root}src/index.ts`], "toile/node": [`${root}src/node/index.ts`] },
  noUnusedLocals: false, // what a guide shows need not be used there
  noUnusedParameters: false,
  noUncheckedIndexedAccess: false, // a guide may take the first of several pictures
};

/** A file that exists in memory only. */
export const inMemory = (name: string): string => `${root}${name}`;

/** The library's entry points, and files in memory beside them, by names of `inMemory`. */
export function programWith(files: ReadonlyMap<string, string>): ts.Program {
  const host = ts.createCompilerHost(options, true);
  const [exists, read] = [host.fileExists.bind(host), host.getSourceFile.bind(host)];
  host.fileExists = (name) => files.has(name) || exists(name);
  host.getSourceFile = (name, target, ...rest) => {
    const own = files.get(name);
    return own === undefined ? read(name, target, ...rest) : ts.createSourceFile(name, own, target, true);
  };
  const own = ["src/index.ts", "src/node/index.ts", "src/wgsl.d.ts"].map(inMemory);
  return ts.createProgram([...own, ...files.keys()], options, host);
}

/** Public names without a sentence: exports, what a namespace holds, and members of classes and interfaces. */
export function undocumented(program: ts.Program, entries: readonly string[]): string[] {
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

/** What the compiler says to a file: its line, from 0, and the sentence. */
export const errorsIn = (program: ts.Program, name: string): { line: number; text: string }[] =>
  [program.getSyntacticDiagnostics, program.getSemanticDiagnostics]
    .flatMap((diagnose) => diagnose(program.getSourceFile(name)))
    .map(({ messageText, file, start = 0 }) => ({
      line: file?.getLineAndCharacterOfPosition(start).line ?? 0,
      text: ts.flattenDiagnosticMessageText(messageText, " "),
    }));
