import type { InputError } from "./errors.ts";

/** The object that a JSON text holds. @param complain makes the error that is thrown for any other text */
export function parseObject(text: string, complain: (what: string) => InputError): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw complain(`is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw complain("holds no JSON object");
  return value as Record<string, unknown>;
}
