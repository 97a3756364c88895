/**
 * Entries as a peer might give them whose own memory or log is not what it believes: each is whole by its checksums, and they follow
 * each other, but they are of another history than the group's. Only whoever compares them with what lies around them can tell.
 *
 * Written from the layout alone (see log-image.ts), sharing no code with the log under test.
 */
import { crc32 } from '@dledger-ts/base'

const HEADER_BYTES = 48
const SIZE_AT = 4
const CHAIN_AT = 36
const BODY_CRC_AT = 40

/** Changes one byte of the first body in `entries`, and every checksum that depends on it; `seed` stands for the history before. */
export function forge(entries: Buffer, seed: number): void {
  let chain = seed >>> 0
  for (let at = 0; at + HEADER_BYTES <= entries.length;) {
    const size = entries.readInt32BE(at + SIZE_AT)
    if (size < HEADER_BYTES || at + size > entries.length) return
    if (at === 0 && size > HEADER_BYTES) entries[HEADER_BYTES] = (entries[HEADER_BYTES] as number) ^ 1
    entries.writeUInt32BE(crc32(entries, at + HEADER_BYTES, at + size), at + BODY_CRC_AT)
    entries.writeUInt32BE(0, at + CHAIN_AT)
    chain = crc32(entries, at, at + HEADER_BYTES, chain)
    entries.writeUInt32BE(chain, at + CHAIN_AT)
    at += size
  }
}
