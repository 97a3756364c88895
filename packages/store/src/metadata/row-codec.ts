/** Numbers in the keys of ordered tables: 14 hex digits, so that the order of keys is that of numbers up to 2^53. */
import { StoreError } from '../errors.ts'

export const NUMBER_DIGITS = 14

export function numberKey(value: number): string {
  return value.toString(16).padStart(NUMBER_DIGITS, '0')
}

/** @throws StoreError CORRUPT. */
export function numberOfKey(key: string, at: number): number {
  const digits = key.slice(at, at + NUMBER_DIGITS)
  const value = Number.parseInt(digits, 16)
  if (digits.length !== NUMBER_DIGITS || !Number.isSafeInteger(value)) throw damagedRow(key)
  return value
}

export function damagedRow(key: string): StoreError {
  const what = `the kept row ${JSON.stringify(key)} cannot be read`
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 })
}
