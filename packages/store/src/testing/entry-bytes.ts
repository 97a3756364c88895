/** An entry as it stands in a log file, but for its place in the chain: header and body. */
import { crc32, writeInt64 } from '@dledger-ts/base'
import type { CommittedEntry } from '@dledger-ts/dledger'

const HEADER_BYTES = 48

/** Source: dledger's log/entry-codec.ts. */
export function entryBytes({ index, term, pos, body }: CommittedEntry): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + body.length)
  bytes.writeInt32BE(1, 0)
  bytes.writeInt32BE(bytes.length, 4)
  writeInt64(bytes, index, 8)
  writeInt64(bytes, term, 16)
  writeInt64(bytes, pos, 24)
  bytes.writeUInt32BE(crc32(body), 40)
  bytes.writeInt32BE(body.length, 44)
  body.copy(bytes, HEADER_BYTES)
  return bytes
}
