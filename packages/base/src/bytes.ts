/**
 * Big-endian integers in buffers: up to 32 bits for the hot codecs, and 64 bits as numbers, in two halves and never as a BigInt (about
 * twenty times slower).
 *
 * A method of `Buffer` is looked up anew at every call, also in optimized code: V8 does not look into the prototypes of typed arrays when it
 * compiles in the background. A function of our own that indexes the bytes takes a sixth of the time.
 *
 * Keeps: nothing outside of the buffer is read or written, and no value is cut: both throw.
 */
import { assert } from './assert.ts'

const TWO_32 = 0x1_0000_0000

function outside(bytes: Buffer, at: number, count: number): RangeError {
  return new RangeError(`${count} bytes at ${at} are not within a buffer of ${bytes.length}`)
}

function unfit(value: number, bits: number): RangeError {
  return new RangeError(`${value} does not fit into ${bits} bits`)
}

/** @throws RangeError beyond the buffer. */
export function readInt8(bytes: Buffer, at: number): number {
  const byte = bytes[at]
  if (byte === undefined) throw outside(bytes, at, 1)
  return (byte << 24) >> 24
}

/** @throws RangeError beyond the buffer. */
export function readInt16(bytes: Buffer, at: number): number {
  const high = bytes[at]
  const low = bytes[at + 1]
  if (high === undefined || low === undefined) throw outside(bytes, at, 2)
  return (((high << 8) | low) << 16) >> 16
}

/** @throws RangeError beyond the buffer. */
export function readInt32(bytes: Buffer, at: number): number {
  const first = bytes[at]
  const last = bytes[at + 3]
  if (first === undefined || last === undefined) throw outside(bytes, at, 4)
  return (first << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | last
}

/** @throws RangeError beyond the buffer. */
export function readUint32(bytes: Buffer, at: number): number {
  return readInt32(bytes, at) >>> 0
}

/** Writes -32,768 to 32,767. @throws RangeError beyond the buffer, or for a value that does not fit. */
export function writeInt16(target: Buffer, value: number, at: number): void {
  if ((value << 16) >> 16 !== value) throw unfit(value, 16)
  if (!(at >= 0 && at + 2 <= target.length)) throw outside(target, at, 2)
  target[at] = value >> 8
  target[at + 1] = value
}

/** Writes a whole number of 32 bits, with sign. @throws RangeError beyond the buffer, or for a value that does not fit. */
export function writeInt32(target: Buffer, value: number, at: number): void {
  if ((value | 0) !== value) throw unfit(value, 32)
  put32(target, value, at)
}

/** Writes a whole number of 32 bits, without sign. @throws RangeError beyond the buffer, or for a value that does not fit. */
export function writeUint32(target: Buffer, value: number, at: number): void {
  if (value >>> 0 !== value) throw unfit(value, 32)
  put32(target, value | 0, at)
}

function put32(target: Buffer, value: number, at: number): void {
  if (!(at >= 0 && at + 4 <= target.length)) throw outside(target, at, 4)
  target[at] = value >> 24
  target[at + 1] = value >> 16
  target[at + 2] = value >> 8
  target[at + 3] = value
}

/** Writes a signed 64-bit integer. @throws AssertionError when `value` is not a safe integer; RangeError beyond the buffer. */
export function writeInt64(target: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value), 'an int64 is a safe integer')
  put32(target, Math.floor(value / TWO_32) | 0, at)
  put32(target, value | 0, at + 4)
}

/**
 * Reads a signed 64-bit integer.
 *
 * @returns the value, or NaN when it is beyond 2^53: bytes from outside are checked by the caller, never asserted.
 * @throws RangeError beyond the buffer.
 */
export function readInt64(source: Buffer, at: number): number {
  const value = readInt32(source, at) * TWO_32 + readUint32(source, at + 4)
  return Number.isSafeInteger(value) ? value : Number.NaN
}
