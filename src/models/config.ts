import { z } from "zod";
import { InputError } from "../util/errors.ts";

/** Fields of a config.json that may hold these values only, because nothing else is implemented. */
export type Fixed = Readonly<Record<string, readonly unknown[]>>;

/**
 * A config.json as a typed object: defaults filled in, fields that do not matter dropped.
 * @param op what is configured, for error messages
 * @throws {InputError} naming each field that is malformed or has a value that is not supported.
 */
export function parseConfig<S extends z.ZodType>(op: string, json: unknown, schema: S, fixed: Fixed = {}): z.output<S> {
  if (typeof json !== "object" || json === null) throw new InputError(op, "the configuration is not a JSON object");
  const unsupported = Object.entries(fixed).flatMap(([field, values]) => {
    const value: unknown = Reflect.get(json, field);
    if (value === undefined || values.includes(value)) return [];
    return [
      `${field} is ${JSON.stringify(value)}, only ${values.map((known) => JSON.stringify(known)).join(" or ")} is supported`,
    ];
  });
  if (unsupported.length > 0) throw new InputError(op, unsupported.join("; "));
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "config"}: ${message}`);
  throw new InputError(op, issues.join("; "));
}

/** A count that is at least one. */
export const positive = z.number().int().positive();
