/**
 * 64-bit integers as numbers: two 32-bit halves, never a BigInt (about twenty times slower).
 *
 * Every value is checked to be a safe integer (below 2^53 in magnitude) where it enters or leaves.
 */
import { assert } from './assert.ts'

const TWO_32 = 0x1_0000_0000

/** Writes a signed 64-bit big-endian integer. @throws AssertionError when `value` is not a safe integer. */
export function writeInt64(target: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value), 'an int64 is a safe integer')
  target.writeInt32BE(Math.floor(value / TWO_32) | 0, at)
  target.writeUInt32BE(value >>> 0 === value ? value : ((value % TWO_32) + TWO_32) % TWO_32, at + 4)
}

/**
 * Reads a signed 64-bit big-endian integer.
 *
 * @returns the value, or NaN when it is beyond 2^53: bytes from outside are checked by the caller, never asserted.
 */
export function readInt64(source: Buffer, at: number): number {
  const value = source.readInt32BE(at) * TWO_32 + source.readUInt32BE(at + 4)
  return Number.isSafeInteger(value) ? value : Number.NaN
}
