/**
 * Takes typed values out of a parsed body. What is missing becomes its default; what is of another kind is refused: a body
 * comes from outside.
 */
import { badBody } from '../errors.ts'
import { type DialectObject, type DialectValue, parseDialect } from './dialect.ts'

/** @returns the body's outermost object. @throws RemotingError `BAD_BODY`. */
export function parseObject(body: Buffer, what: string): DialectObject {
  return asObject(parseDialect(body.toString('utf8')), what)
}

export function asObject(value: DialectValue | undefined, what: string): DialectObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Map) {
    throw badBody(`${what} is no object`)
  }
  return value
}

/** @returns an empty array when it is absent. */
export function asArray(value: DialectValue | undefined, what: string): DialectValue[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw badBody(`${what} is no array`)
  return value
}

/** @returns the pairs of a table whose keys are texts or numbers; none when it is absent. */
export function asEntries(value: DialectValue | undefined, what: string): [string, DialectValue][] {
  return value === undefined || value === null ? [] : Object.entries(asObject(value, what))
}

export function asText(value: DialectValue | undefined, what: string): string {
  if (typeof value !== 'string') throw badBody(`${what} is no text`)
  return value
}

export function textOr<T>(value: DialectValue | undefined, missing: T, what: string): string | T {
  return value === undefined || value === null ? missing : asText(value, what)
}

/** @returns a whole number, as all are in Java's bodies; what is beyond 2^53 becomes the nearest safe integer: it is only compared. */
export function numberOr(value: DialectValue | undefined, missing: number, what: string): number {
  if (value === undefined || value === null) return missing
  if (typeof value !== 'number' && typeof value !== 'bigint') throw badBody(`${what} is no number`)
  if (typeof value === 'number' && !Number.isInteger(value)) throw badBody(`${what} is no whole number`)
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  return value > 0 ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER
}

export function booleanOr(value: DialectValue | undefined, missing: boolean, what: string): boolean {
  if (value === undefined || value === null) return missing
  if (typeof value !== 'boolean') throw badBody(`${what} is no boolean`)
  return value
}

export function texts(value: DialectValue | undefined, what: string): string[] {
  return asArray(value, what).map((item) => asText(item, what))
}
