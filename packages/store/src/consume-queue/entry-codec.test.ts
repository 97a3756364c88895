import { describe, expect, test } from 'vitest'
import { decodeConsumeQueueEntry, writeConsumeQueueEntry } from './entry-codec.ts'

// Bytes of consumequeue files that Apache RocketMQ 5.5.0 wrote (test/vectors/dledger-store), with what its own reader says.
const rows = [
  {
    name: 'a tag with a positive hash',
    hex: '0000000000000030000000fe000000000027a807',
    entry: { physicalOffset: 48, size: 254, tagsCode: 2_598_919 },
  },
  {
    name: 'no tag',
    hex: '000000000000015e000000f70000000000000000',
    entry: { physicalOffset: 350, size: 247, tagsCode: 0 },
  },
  {
    name: 'a negative hash, sign-extended',
    hex: '0000000000000a24000000e3ffffffffc1954050',
    entry: { physicalOffset: 2_596, size: 227, tagsCode: -1_047_183_280 },
  },
  {
    name: 'the due time of a delayed message',
    hex: '0000000000000fd200000143000001a1fbc27f14',
    entry: { physicalOffset: 4_050, size: 323, tagsCode: 1_795_225_190_164 },
  },
]

describe('a ConsumeQueue entry', () => {
  test.each(rows)('is 20 bytes: $name', ({ hex, entry }) => {
    const target = Buffer.alloc(24)
    writeConsumeQueueEntry(target, 2, entry.physicalOffset, entry.size, entry.tagsCode)
    expect(target.subarray(2, 22).toString('hex')).toBe(hex)
    expect(decodeConsumeQueueEntry(Buffer.from(hex, 'hex'), 0)).toEqual(entry)
  })
})
