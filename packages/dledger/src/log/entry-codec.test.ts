import { crc32 } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import { DLedgerError } from '../errors.ts'
import { chainOf, checkBatch, decodeEntryHeader, encodeEntryHeader, isUnchecked, sliceBatch } from './entry-codec.ts'
import { batchAfter } from './log-fixture.ts'

// Made with Python's struct and zlib, not with this code.
const rows = [
  {
    name: 'the first entry of a log',
    fields: { index: 0, term: 1, pos: 0, channel: 0, body: Buffer.from('hello'), prevChain: 0 },
    hex: '00000001000000350000000000000000000000000000000100000000000000000000000040d818223610a68600000005',
    chain: 0x40d81822,
  },
  {
    name: 'a configuration entry without a body',
    fields: { index: 7, term: 3, pos: 1000, channel: 2, body: Buffer.alloc(0), prevChain: 0x01020304 },
    hex: '00000001000000300000000000000007000000000000000300000000000003e800000002bfd79d9f0000000000000000',
    chain: 0xbfd79d9f,
  },
  {
    name: 'numbers beyond 32 bits',
    fields: {
      index: 2 ** 40 + 5,
      term: 2 ** 33 + 1,
      pos: 2 ** 45 + 9,
      channel: 1,
      body: Buffer.from(Array.from({ length: 100 }, (_, i) => i)),
      prevChain: 0xffffffff,
    },
    hex: '000000010000009400000100000000050000000200000001000020000000000900000001c14a464f58c932f500000064',
    chain: 0xc14a464f,
  },
]

describe('an entry header', () => {
  test.each(rows)('is written as these bytes: $name', ({ fields, hex, chain }) => {
    const { body, ...rest } = fields
    const target = Buffer.alloc(50, 0xee)
    expect(encodeEntryHeader(target, 1, { ...rest, size: 48 + body.length, bodyCrc: crc32(body) })).toBe(chain)
    expect(target.toString('hex')).toBe(`ee${hex}ee`)
  })

  test.each(rows)('is read from these bytes: $name', ({ fields, hex, chain }) => {
    const { body, prevChain, ...rest } = fields
    const bytes = Buffer.from(`00${hex}`, 'hex')
    const sizes = { magic: 1, size: 48 + body.length, bodySize: body.length }
    expect(decodeEntryHeader(bytes, 1)).toEqual({ ...rest, ...sizes, chainCrc: chain, bodyCrc: crc32(body) })
    expect(chainOf(bytes, 1, prevChain)).toBe(chain)
  })

  test('of Apache has no checksums', () => {
    const hex = '0000000100000662000000000000002d0000000000000001000000000001000000000000000000000000000000000632'
    const header = decodeEntryHeader(Buffer.from(hex, 'hex'), 0)
    expect(header).toMatchObject({ index: 45, term: 1, pos: 65536, size: 1634, bodySize: 1586, channel: 0 })
    expect(header !== null && isUnchecked(header)).toBe(true)
  })

  test('that is cut off at any byte, or garbage, is none', () => {
    const bytes = Buffer.from(rows[0]?.hex ?? '', 'hex')
    for (let length = 0; length < bytes.length; length++)
      expect(decodeEntryHeader(bytes.subarray(0, length), 0)).toBeNull()
    for (const byte of [0x00, 0x7f, 0x80, 0xff]) expect(decodeEntryHeader(Buffer.alloc(48, byte), 0)).toBeNull()
  })

  test.each([
    { name: 'magic 2', at: 0, bytes: '00000002', is: true },
    { name: 'magic 3', at: 0, bytes: '00000003', is: true },
    { name: 'magic 4', at: 0, bytes: '00000004', is: false },
    { name: 'magic 0', at: 0, bytes: '00000000', is: false },
    { name: 'a size that is not header and body', at: 4, bytes: '00000036', is: false },
    { name: 'a negative body size', at: 4, bytes: '0000002f', is: false },
    { name: 'an index beyond 2^53', at: 8, bytes: '0040000000000000', is: false },
    { name: 'a negative index', at: 8, bytes: 'ffffffffffffffff', is: false },
    { name: 'a negative position', at: 24, bytes: 'ffffffffffffffff', is: false },
  ])('with $name is one: $is', ({ at, bytes, is }) => {
    const header = Buffer.from(rows[0]?.hex ?? '', 'hex')
    header.write(bytes, at, 'hex')
    if (bytes === '0000002f') header.writeInt32BE(-1, 44)
    expect(decodeEntryHeader(header, 0) !== null).toBe(is)
  })
})

describe('a received batch', () => {
  const log = { lastIndex: 9, endPos: 700, lastChain: 77, fileBytes: 1024 }
  const batch = batchAfter(log, 4, [{ bodyBytes: 100 }, { bodyBytes: 200 }, { bodyBytes: 0 }, { bodyBytes: 300 }])
  const expected = { firstIndex: 10, term: 4, count: 4, fileBytes: 1024, prevChain: 77 }

  test('that fits is taken with its places, over the end of a file', () => {
    expect(batch.positions).toEqual([700, 1024, 1272, 1320])
    expect(checkBatch(batch.bytes, expected)).toEqual(batch)
    expect(checkBatch(batch.bytes, { ...expected, prevChain: null })).toEqual(batch)
  })

  test('with any one byte changed is refused', () => {
    for (let at = 0; at < batch.bytes.length; at++) {
      const changed = Buffer.from(batch.bytes)
      changed[at] = (changed[at] as number) ^ (1 << (at % 8))
      expect(() => checkBatch(changed, expected), `byte ${at}`).toThrow(DLedgerError)
    }
  })

  test('that is cut off at any byte, or longer, is refused', () => {
    for (let length = 0; length < batch.bytes.length; length++) {
      expect(() => checkBatch(batch.bytes.subarray(0, length), expected), `length ${length}`).toThrow(DLedgerError)
    }
    expect(() => checkBatch(Buffer.concat([batch.bytes, Buffer.alloc(1)]), expected)).toThrow(
      '1 bytes after the last entry',
    )
  })

  test.each([
    { name: 'another first index', change: { firstIndex: 11 }, says: 'index 10, not 11' },
    { name: 'another term', change: { term: 5 }, says: 'term 4, not 5' },
    { name: 'another count', change: { count: 3 }, says: 'after the last entry' },
    { name: 'another file size', change: { fileBytes: 2048 }, says: 'position 1024, not 848' },
    { name: 'files too small for an entry', change: { fileBytes: 128 }, says: 'more than a file takes' },
    { name: 'another log before it', change: { prevChain: 78 }, says: 'chain checksum' },
  ])('is refused under $name', ({ change, says }) => {
    expect(() => checkBatch(batch.bytes, { ...expected, ...change })).toThrow(says)
  })

  test('without checksums is taken below checksummedFrom only', () => {
    const bytes = Buffer.from(batch.bytes)
    for (let at = 0, i = 0; i < 4; at += batch.sizes[i++] as number) bytes.fill(0, at + 36, at + 44)
    expect(checkBatch(bytes, { ...expected, checksummedFrom: 14 }).count).toBe(4)
    expect(() => checkBatch(bytes, { ...expected, checksummedFrom: 13 })).toThrow('checksum')
    expect(() => checkBatch(bytes, expected)).toThrow('chain checksum')
  })

  test('is cut at its front for entries that are held already', () => {
    const rest = sliceBatch(batch, 12)
    expect(rest).toMatchObject({ firstIndex: 12, count: 2, positions: [1272, 1320], sizes: [48, 348] })
    expect(checkBatch(rest.bytes, { ...expected, firstIndex: 12, count: 2, prevChain: null })).toEqual(rest)
    expect(sliceBatch(batch, 10)).toBe(batch)
  })
})
