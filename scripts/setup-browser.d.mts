export function findBrowser(
  env?: Readonly<Record<string, string | undefined>>,
  places?: readonly string[],
): string | undefined;
