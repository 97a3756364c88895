/**
 * The record against records that Apache's encoder wrote and its decoder read, and against cut and flipped bytes.
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ProtocolError } from './errors.ts'
import { formatHostAddress, hostAddress, parseHostAddress } from './host-address.ts'
import { tagsCode } from './java-hash.ts'
import { offsetMsgId } from './message-id.ts'
import { decodeProperties } from './properties.ts'
import {
  checkRecord,
  checkRecordBody,
  decodeRecord,
  decodeRecords,
  recordBody,
  recordBodyLength,
  recordBornTimestamp,
  recordBytes,
  RecordDraft,
  type RecordFields,
  recordFlag,
  recordPhysicalOffset,
  recordPreparedTransactionOffset,
  recordProperties,
  recordPropertiesSlice,
  recordProperty,
  recordPropertyMap,
  recordQueueId,
  recordQueueOffset,
  recordReconsumeTimes,
  recordStoreTimestamp,
  recordSysFlag,
  recordTags,
  recordTopic,
  recordTotalSize,
  writeRecordPlace,
} from './record.ts'

interface DecodedVector {
  storeSize: number
  magic: string
  topic: string
  queueId: number
  flag: number
  queueOffset: number
  physicalOffset: number
  sysFlag: number
  bornTimestamp: number
  bornHost: string
  storeTimestamp: number
  storeHost: string
  reconsumeTimes: number
  preparedTransactionOffset: number
  bodyCRC: number
  bodyLength: number
  bodySha1: string
  bodyHex?: string
  properties: Record<string, string> | null
  propertiesRaw: string
  offsetMsgId: string
  tagsCode: number
}
interface RecordVector {
  name: string
  hex: string
  decoded: DecodedVector
  refused?: string
}
interface BatchVector {
  name: string
  storedRecords: { hex: string; decoded: DecodedVector }[]
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../test/vectors/records/records.json', import.meta.url), 'utf8'),
) as { records: RecordVector[]; batchBodies: BatchVector[] }

const all: { name: string; hex: string; decoded: DecodedVector }[] = [
  ...vectors.records.filter((vector) => vector.refused === undefined),
  ...vectors.batchBodies.flatMap((batch) =>
    batch.storedRecords.map((record, i) => ({ name: `${batch.name} ${i}`, ...record })),
  ),
]
const beyondSafe = (decoded: DecodedVector) =>
  !Number.isSafeInteger(decoded.queueOffset) || !Number.isSafeInteger(decoded.physicalOffset)
const readable = all.filter((vector) => !beyondSafe(vector.decoded))

const fields: RecordFields = {
  topic: 'TopicT',
  queueId: 3,
  flag: 0,
  sysFlag: 0,
  bornTimestamp: 1_700_000_000_000,
  bornHost: hostAddress('10.0.0.1', 40_000),
  storeHost: hostAddress('10.0.0.2', 10_911),
  reconsumeTimes: 0,
  preparedTransactionOffset: 0,
  body: Buffer.from('hello'),
  properties: 'KEYS\x01k1\x02TAGS\x01TagA\x02',
}
const place = { queueOffset: 7, physicalOffset: 1048, storeTimestamp: 1_700_000_000_001 }

function encoded(draft: RecordDraft, at = 0): Buffer {
  const target = Buffer.alloc(at + draft.bytes, 0xee)
  draft.encode(target, at, place)
  return target
}

function detailOf(action: () => unknown): ProtocolError['detail'] | undefined {
  try {
    action()
  } catch (error) {
    if (error instanceof ProtocolError) return error.detail
    throw error
  }
  return undefined
}

it('has vectors of both versions, both kinds of address and all transaction types', () => {
  expect(readable.length).toBeGreaterThan(25)
  expect(new Set(all.map((vector) => vector.decoded.magic))).toEqual(new Set(['0xdaa320a7', '0xdaa320ab']))
})

describe.each(readable)("Apache's record $name", ({ hex, decoded }) => {
  const bytes = Buffer.from(hex, 'hex')
  const record = decodeRecord(bytes)

  it('decodes to what its decoder reads', () => {
    expect(record).toMatchObject({
      totalSize: decoded.storeSize,
      topic: decoded.topic,
      queueId: decoded.queueId,
      flag: decoded.flag,
      queueOffset: decoded.queueOffset,
      physicalOffset: decoded.physicalOffset,
      sysFlag: decoded.sysFlag,
      bornTimestamp: decoded.bornTimestamp,
      storeTimestamp: decoded.storeTimestamp,
      reconsumeTimes: decoded.reconsumeTimes,
      preparedTransactionOffset: decoded.preparedTransactionOffset,
      bodyCrc: decoded.bodyCRC,
      properties: decoded.propertiesRaw,
    })
    expect(formatHostAddress(record.bornHost)).toBe(decoded.bornHost)
    expect(formatHostAddress(record.storeHost)).toBe(decoded.storeHost)
    expect(record.body.length).toBe(decoded.bodyLength)
    expect(createHash('sha1').update(record.body).digest('hex')).toBe(decoded.bodySha1)
    expect(Object.fromEntries(decodeProperties(record.properties))).toEqual(decoded.properties ?? {})
    expect(offsetMsgId(record.storeHost, record.physicalOffset)).toBe(decoded.offsetMsgId)
    expect(tagsCode(recordTags(bytes))).toBe(decoded.tagsCode)
    checkRecordBody(bytes)
  })

  it('is encoded to the same bytes, at any place of a buffer', () => {
    const draft = new RecordDraft({
      ...record,
      bornHost: parseHostAddress(decoded.bornHost),
      storeHost: parseHostAddress(decoded.storeHost),
      // The encoder sets the two host bits by itself.
      sysFlag: record.sysFlag & ~0x30,
    })
    expect(draft.bytes).toBe(bytes.length)
    const target = Buffer.alloc(bytes.length + 20, 0xee)
    draft.encode(target, 13, record)
    expect(target.subarray(13, 13 + bytes.length).toString('hex')).toBe(hex)
    expect([...target.subarray(0, 13), ...target.subarray(-7)].every((byte) => byte === 0xee)).toBe(true)
  })

  it('is read field by field without decoding it, behind other bytes', () => {
    const at = 5
    const shifted = Buffer.concat([Buffer.alloc(at, 0xff), bytes, Buffer.alloc(3, 0xff)])
    expect(checkRecord(shifted, at)).toBe(decoded.storeSize)
    expect(recordTotalSize(shifted, at)).toBe(decoded.storeSize)
    expect(recordTopic(shifted, at)).toBe(decoded.topic)
    expect(recordQueueId(shifted, at)).toBe(decoded.queueId)
    expect(recordFlag(shifted, at)).toBe(decoded.flag)
    expect(recordQueueOffset(shifted, at)).toBe(decoded.queueOffset)
    expect(recordPhysicalOffset(shifted, at)).toBe(decoded.physicalOffset)
    expect(recordSysFlag(shifted, at)).toBe(decoded.sysFlag)
    expect(recordBornTimestamp(shifted, at)).toBe(decoded.bornTimestamp)
    expect(recordStoreTimestamp(shifted, at)).toBe(decoded.storeTimestamp)
    expect(recordReconsumeTimes(shifted, at)).toBe(decoded.reconsumeTimes)
    expect(recordPreparedTransactionOffset(shifted, at)).toBe(decoded.preparedTransactionOffset)
    expect(recordBodyLength(shifted, at)).toBe(decoded.bodyLength)
    expect(recordBody(shifted, at).equals(record.body)).toBe(true)
    expect(recordProperties(shifted, at)).toBe(decoded.propertiesRaw)
    expect(recordPropertiesSlice(shifted, at).toString()).toBe(decoded.propertiesRaw)
    expect(Object.fromEntries(recordPropertyMap(shifted, at))).toEqual(decoded.properties ?? {})
    for (const [name, value] of Object.entries(decoded.properties ?? {})) {
      if (/^[\x20-\x7e]+$/.test(name)) expect(recordProperty(shifted, name, at)).toBe(value)
    }
    expect(recordProperty(shifted, 'ABSENT', at)).toBeUndefined()
  })

  it('is refused when any of its last bytes are missing', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(detailOf(() => decodeRecord(bytes.subarray(0, length)))?.code).toBe('TRUNCATED')
    }
  })
})

it('refuses a record whose 64-bit values are beyond 2^53', () => {
  const [extreme] = all.filter((vector) => beyondSafe(vector.decoded))
  const bytes = Buffer.from(extreme?.hex ?? '', 'hex')
  expect(checkRecord(bytes)).toBe(bytes.length)
  expect(recordQueueOffset(bytes)).toBeNaN()
  expect(detailOf(() => decodeRecord(bytes))).toEqual({ code: 'NUMBER_OUT_OF_RANGE', what: 'queueOffset' })
})

it('never throws anything but a typed error on flipped bytes, and never reads outside the record', () => {
  const bytes = Buffer.from(readable[0]?.hex ?? '', 'hex')
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] as number) ^ change
      try {
        expect(decodeRecord(flipped).totalSize).toBe(bytes.length)
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError)
      }
    }),
    { numRuns: 3000 },
  )
})

it('takes random bytes for no record', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (array) => {
      expect(detailOf(() => decodeRecord(Buffer.from(array)))?.code).toMatch(/TRUNCATED|BAD_MAGIC/)
    }),
  )
})

it.each([
  { name: 'another magic', at: 4, write: 0xcbd43194, code: 'BAD_MAGIC' },
  { name: 'a size below the smallest record', at: 0, write: 90, code: 'BAD_LENGTH' },
  { name: 'a negative size', at: 0, write: 0xffffffff, code: 'BAD_LENGTH' },
  { name: 'a size above what is there', at: 0, write: 121, code: 'TRUNCATED' },
  { name: 'a size one too small for its parts', at: 0, write: 119, code: 'BAD_LENGTH' },
  { name: 'a body length beyond the record', at: 84, write: 6000, code: 'BAD_LENGTH' },
  { name: 'a negative body length', at: 84, write: 0x80000000, code: 'BAD_LENGTH' },
])('refuses $name', ({ at, write, code }) => {
  const bytes = encoded(new RecordDraft(fields))
  bytes.writeUInt32BE(write, at)
  expect(detailOf(() => checkRecord(bytes))?.code).toBe(code)
})

it('finds a body that does not have the CRC it states', () => {
  const bytes = encoded(new RecordDraft(fields))
  checkRecordBody(bytes)
  bytes[90] = (bytes[90] as number) ^ 1
  expect(detailOf(() => checkRecordBody(bytes))?.code).toBe('BAD_CRC')
})

it.each([
  {
    name: 'a property block over 32,767 bytes',
    change: { properties: `a\x01${'v'.repeat(32_766)}` },
    code: 'TOO_LARGE',
  },
  { name: 'a topic over 32,767 bytes', change: { topic: 't'.repeat(32_768) }, code: 'TOO_LARGE' },
  { name: 'a queue id that is no int32', change: { queueId: 2 ** 31 }, code: 'NUMBER_OUT_OF_RANGE' },
  { name: 'a born time that is no number', change: { bornTimestamp: Number.NaN }, code: 'NUMBER_OUT_OF_RANGE' },
])('refuses to draft $name', ({ change, code }) => {
  expect(detailOf(() => new RecordDraft({ ...fields, ...change }))?.code).toBe(code)
})

it('takes a property block of exactly 32,767 bytes', () => {
  const properties = `a\x01${'v'.repeat(32_765)}`
  expect(decodeRecord(encoded(new RecordDraft({ ...fields, properties }))).properties).toBe(properties)
})

it('says the exact size beforehand and gives back what it was given, whatever the fields', () => {
  const ip = fc.constantFrom('10.1.2.3', '255.255.255.255', '::1', '2001:db8::7', '::ffff:10.0.0.9')
  const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
  fc.assert(
    fc.property(
      fc.record({
        topic: fc.string({ unit: 'binary', maxLength: 300 }),
        queueId: int32,
        flag: int32,
        sysFlag: fc.nat(0x7ff),
        bornTimestamp: fc.maxSafeNat(),
        bornHost: fc.tuple(ip, fc.nat(65_535)).map(([address, port]) => hostAddress(address, port)),
        storeHost: fc.tuple(ip, fc.nat(65_535)).map(([address, port]) => hostAddress(address, port)),
        reconsumeTimes: int32,
        preparedTransactionOffset: fc.maxSafeInteger(),
        body: fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
        properties: fc.string({ unit: 'grapheme', maxLength: 300 }),
      }),
      (given) => {
        const bytes = encoded(new RecordDraft(given))
        expect(bytes.length).toBe(recordBytes(given))
        const record = decodeRecord(bytes)
        expect(record).toMatchObject({ ...given, sysFlag: record.sysFlag, ...place })
        expect(record.sysFlag & ~0x30).toBe(given.sysFlag & ~0x30)
        checkRecordBody(bytes)
      },
    ),
  )
})

it('fills in a place that was not known when the record was encoded', () => {
  const bytes = encoded(new RecordDraft({ ...fields, bornHost: hostAddress('::1', 1) }), 9)
  writeRecordPlace(bytes, 9, { queueOffset: 2 ** 40, physicalOffset: 2 ** 52, storeTimestamp: 3 })
  expect(decodeRecord(bytes, 9)).toMatchObject({ queueOffset: 2 ** 40, physicalOffset: 2 ** 52, storeTimestamp: 3 })
})

it('decodes records that stand one after another', () => {
  const bytes = Buffer.concat(readable.map((vector) => Buffer.from(vector.hex, 'hex')))
  expect(decodeRecords(bytes).map((record) => record.topic)).toEqual(readable.map((vector) => vector.decoded.topic))
})

it('finds a property in the bytes exactly when the decoded block has it', () => {
  const block = fc.array(fc.constantFrom('a', 'b', 'ab', '\x01', '\x02', 'é'), { maxLength: 20 }).map((p) => p.join(''))
  fc.assert(
    fc.property(block, fc.constantFrom('a', 'b', 'ab', 'aa'), (properties, name) => {
      const bytes = encoded(new RecordDraft({ ...fields, properties }), 3)
      expect(recordProperty(bytes, name, 3)).toBe(decodeProperties(properties).get(name))
    }),
    { numRuns: 2000 },
  )
})
