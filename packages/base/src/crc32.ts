/**
 * CRC-32 (IEEE 802.3, the one of zlib). `zlib.crc32` for bodies; a table loop for short runs, where a native call costs more.
 */
import { crc32 as zlibCrc32 } from 'node:zlib'

const SHORT_BYTES_MAX = 64

const TABLE = new Int32Array(256)
for (let n = 0; n < 256; n++) {
  let c = n
  for (let bit = 0; bit < 8; bit++) c = (c & 1) === 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1
  TABLE[n] = c
}

/** @returns the CRC-32 of `bytes[from, to)` continued from `seed`, as an unsigned 32-bit number. */
export function crc32(bytes: Buffer, from = 0, to = bytes.length, seed = 0): number {
  if (to - from > SHORT_BYTES_MAX) return zlibCrc32(bytes.subarray(from, to), seed)
  let c = ~seed
  for (let i = from; i < to; i++) c = (TABLE[(c ^ (bytes[i] as number)) & 0xff] as number) ^ (c >>> 8)
  return ~c >>> 0
}
