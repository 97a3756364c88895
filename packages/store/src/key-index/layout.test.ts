/**
 * The bytes of an index file, written out by the rules of Apache's IndexFile and IndexHeader; the hash and the slot of `TopicT#k1`
 * are those that Java computed.
 */
import { decodeRecord, RecordDraft } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { message } from '../testing/fixture.ts'
import { IndexBuilder } from './builder.ts'
import { indexFileName } from './file-name.ts'
import { decodeIndexHeader, DEFAULT_INDEX_SHAPE, encodeIndexHeader, entryAt, indexFileBytes, slotAt } from './layout.ts'
import { hasKey, hasKeyHash, hasUniqueKey, indexKeyHash, MessageKeys } from './message-keys.ts'

/** |hash("TopicT#k1")|; mod 5,000,000 it is slot 2,674,620. */
const HASH_OF_TOPIC_T_K1 = 1_902_674_620
const BEGIN = 1_700_000_000_001

describe('the layout of an index file', () => {
  test('has the sizes and places of Apache', () => {
    expect(indexFileBytes(DEFAULT_INDEX_SHAPE)).toBe(420_000_040)
    expect(slotAt(2_674_620)).toBe(40 + 2_674_620 * 4)
    expect(entryAt(DEFAULT_INDEX_SHAPE, 1)).toBe(20_000_060)
  })

  test('a file with two messages of one key and one of another has these bytes', () => {
    const builder = new IndexBuilder(DEFAULT_INDEX_SHAPE)
    builder.add(HASH_OF_TOPIC_T_K1, 0x418, BEGIN)
    builder.add(7, 0x1000, BEGIN + 999)
    builder.add(HASH_OF_TOPIC_T_K1, 0x1_0000_0000, BEGIN + 61_000)
    const { header } = builder.stateBefore(4)
    const hex = (bytes: Buffer): string => bytes.toString('hex')
    // beginTimestamp, endTimestamp, beginPhyOffset, endPhyOffset, hashSlotCount, indexCount
    expect(hex(encodeIndexHeader(header))).toBe(
      '0000018bcfe56801' + '0000018bcfe65649' + '0000000000000418' + '0000000100000000' + '00000002' + '00000004',
    )
    // keyHash, phyOffset, timeDiff, prevIndex
    expect(hex(Buffer.concat(builder.entriesBefore(4)))).toBe(
      '716882bc' + '0000000000000418' + '00000000' + '00000000' +
        '00000007' + '0000000000001000' + '00000000' + '00000000' +
        '716882bc' + '0000000100000000' + '0000003d' + '00000001',
    ) // prettier-ignore
    const first = builder.nextDirtyRun(0, 4)
    expect([first?.at, first?.bytes.readInt32BE(7 * 4)]).toEqual([40, 2])
    const second = builder.nextDirtyRun(first?.nextSlot ?? 0, 4)
    expect(second?.bytes.readInt32BE(40 + 2_674_620 * 4 - (second.at ?? 0))).toBe(3)
    expect(builder.nextDirtyRun(second?.nextSlot ?? 0, 4)).toBeNull()
  })

  test('slots given out before an entry is written do not show it', () => {
    const builder = new IndexBuilder({ slotCount: 4, entryCountMax: 100 })
    for (let n = 0; n < 10; n++) builder.add(n % 2, 1000 + n, BEGIN)
    const run = builder.nextDirtyRun(0, 6)
    expect([0, 1, 2, 3].map((slot) => run?.bytes.readInt32BE(slot * 4))).toEqual([5, 4, 0, 0])
    expect(builder.stateBefore(6).header).toMatchObject({ usedSlots: 2, entryCount: 6, endOffset: 1004 })
    // They are still different from what memory has.
    const again = builder.nextDirtyRun(0, 11)
    expect([0, 1, 2, 3].map((slot) => again?.bytes.readInt32BE(slot * 4))).toEqual([9, 10, 0, 0])
  })

  test('a header is read as it was written', () => {
    const header = {
      beginTimestamp: 1,
      endTimestamp: 2 ** 50,
      beginOffset: 3,
      endOffset: 2 ** 45,
      usedSlots: 5,
      entryCount: 6,
    }
    expect(decodeIndexHeader(encodeIndexHeader(header))).toEqual(header)
  })
})

describe('the keys of a message', () => {
  const keysOf = (topic: string, properties: string, sysFlag = 0): number[] => {
    const draft = new RecordDraft(message(topic, 'b', { properties, sysFlag }))
    const bytes = Buffer.alloc(draft.bytes + 5)
    draft.encode(bytes, 5, { queueOffset: 0, physicalOffset: 5, storeTimestamp: 1 })
    const keys = new MessageKeys()
    const count = keys.examine(bytes, 5)
    return [...keys.hashes.subarray(0, count)]
  }

  test('the record whose bytes Apache published is filed under its key', () => {
    const record = Buffer.from(
      '00000078daa320a73610a68600000003000000000000000000000007000000000000041800000000' +
        '0000018bcfe568000a00000100009c400000018bcfe568010a00000200002a9f000000000000000000000000' +
        '0000000568656c6c6f06546f7069635400124b455953016b31025441475301546167' +
        '4102',
      'hex',
    )
    expect(decodeRecord(record).topic).toBe('TopicT')
    const keys = new MessageKeys()
    expect(keys.examine(record, 0)).toBe(1)
    expect(keys.hashes[0]).toBe(HASH_OF_TOPIC_T_K1)
  })

  test.each([
    {
      name: 'unique id first, then each token',
      properties: 'KEYS\x01a  b\x02UNIQ_KEY\x01u\x02',
      keys: ['u', 'a', 'b'],
    },
    { name: 'a token twice is filed twice', properties: 'KEYS\x01a a\x02', keys: ['a', 'a'] },
    { name: 'the last of equal names wins', properties: 'KEYS\x01a\x02KEYS\x01b c\x02', keys: ['b', 'c'] },
    { name: 'a name without a value is none', properties: 'KEYS\x01a\x02KEYS\x01\x02UNIQ_KEY\x01\x02', keys: ['a'] },
    { name: 'the last property may be left open', properties: 'KEYS\x01a', keys: ['a'] },
    { name: 'names that only look alike', properties: 'KEYSX\x01a\x02XKEYS\x01b\x02UNIQ_KEY2\x01c\x02', keys: [] },
    { name: 'only spaces', properties: 'KEYS\x01   \x02', keys: [] },
    { name: 'none', properties: '', keys: [] },
    { name: 'what is not ASCII', properties: 'KEYS\x01größe 订单 😀\x02', keys: ['größe', '订单', '😀'] },
  ])('$name', ({ properties, keys }) => {
    expect(keysOf('T', properties)).toEqual(keys.map((key) => indexKeyHash('T', key)))
  })

  test('prepared and committed messages have keys, rolled back ones none', () => {
    const properties = 'KEYS\x01a\x02'
    expect([0, 4, 8, 12].map((sysFlag) => keysOf('T', properties, sysFlag).length)).toEqual([1, 1, 1, 0])
  })

  it('agrees with the texts, whatever they hold', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '%', 'ü', '订', '😀'), minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(word, fc.array(word), fc.option(word), (topic, tokens, uniqueId) => {
        const keys = tokens.join(' ')
        const properties = `${uniqueId === null ? '' : `UNIQ_KEY\x01${uniqueId}\x02`}KEYS\x01${keys}\x02`
        const expected = [...(uniqueId === null ? [] : [uniqueId]), ...tokens]
        expect(keysOf(topic, properties)).toEqual(expected.map((key) => indexKeyHash(topic, key)))
      }),
    )
  })

  test('the smallest hash of Java has no absolute value: it counts as 0', () => {
    // Java: "polygenelubricants".hashCode() is MIN_INT. Here the key makes `T#…` hash to it.
    const draft = new RecordDraft(message('T', '', { properties: `KEYS\x01${keyOfMinInt()}\x02` }))
    const bytes = Buffer.alloc(draft.bytes)
    draft.encode(bytes, 0, { queueOffset: 0, physicalOffset: 0, storeTimestamp: 1 })
    const keys = new MessageKeys()
    keys.examine(bytes, 0)
    expect(keys.hashes[0]).toBe(0)
  })

  test('are compared as wholes, with their topic', () => {
    const draft = new RecordDraft(message('T', '', { properties: 'UNIQ_KEY\x01u\x02KEYS\x01a bc\x02' }))
    const record = Buffer.alloc(draft.bytes)
    draft.encode(record, 0, { queueOffset: 0, physicalOffset: 0, storeTimestamp: 1 })
    const found = (topic: string): string[] =>
      ['u', 'a', 'b', 'bc', 'a bc', ''].filter((key) => hasKey(record, topic, key))
    expect(found('T')).toEqual(['u', 'a', 'bc'])
    expect(found('U')).toEqual([])
    expect(['u', 'a'].filter((key) => hasUniqueKey(record, 'T', key))).toEqual(['u'])
    expect(hasKeyHash(record, indexKeyHash('T', 'bc'))).toBe(true)
    expect(hasKeyHash(record, indexKeyHash('T', 'b'))).toBe(false)
  })
})

describe('the name of an index file', () => {
  test('is the local time, and always above the one before', () => {
    const nowMs = new Date(2026, 10, 21, 9, 8, 7, 6).getTime()
    expect(indexFileName(nowMs, '')).toBe('20261121090807006')
    expect(indexFileName(nowMs, '20261121090807006')).toBe('20261121090807007')
    expect(indexFileName(nowMs, '20271231235959999')).toBe('20280101000000000')
  })
})

/** Seven small letters after `T#` that hash to MIN_INT, found digit by digit. */
function keyOfMinInt(): string {
  // hash = h("T#")·31^7 + Σ c·31^(6-i): the rest modulo 2^32 is written in base 31 with digits 97 to 127.
  let hash = 84 * 31 + 35
  for (let i = 0; i < 7; i++) hash = Math.imul(hash, 31)
  let rest = BigInt.asUintN(32, BigInt(-(2 ** 31)) - BigInt(hash))
  const lowest = 97n * ((31n ** 7n - 1n) / 30n)
  while (rest < lowest) rest += 2n ** 32n
  let above = rest - lowest
  const digits: number[] = []
  for (let i = 0; i < 7; i++) {
    digits.unshift(Number(above % 31n) + 97)
    above /= 31n
  }
  return String.fromCharCode(...digits)
}
