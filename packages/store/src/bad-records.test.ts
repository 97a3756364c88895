/**
 * Committed entries that hold what no leader of ours writes: apply refuses them with CORRUPT that names the place, or makes of
 * them what they say; nothing leaves the directory, nothing else is thrown.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { CommittedEntry } from '@dledger-ts/dledger'
import { checkRecord, MessageSysFlag, ProtocolError } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { StoreMachine } from './apply.ts'
import { StoreError } from './errors.ts'
import { MemoryMetadata } from './metadata/memory-metadata.ts'
import type { StoreCore } from './store-core.ts'
import {
  close,
  DELAYS_MS,
  EntryMaker,
  filesBelow,
  flush,
  HOST,
  load,
  makeCore,
  message,
  TempDirectory,
} from './testing/fixture.ts'
import { ManualClock } from './testing/manual-clock.ts'

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

async function openCore(name: string): Promise<StoreCore> {
  const clock = new ManualClock()
  const core = makeCore({ directory: path.join(temp.path, name), clock, metadata: new MemoryMetadata(clock) })
  await load(core)
  return core
}

/** @returns the error of applying `entries`, null when they are applied. */
function failureOf(core: StoreCore, entries: readonly CommittedEntry[]): StoreError | null {
  try {
    core.machine.apply(entries)
    return null
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
}

function changed(entry: CommittedEntry, change: (body: Buffer) => void): CommittedEntry {
  const body = Buffer.from(entry.body)
  change(body)
  return { ...entry, body }
}

const BODY_LENGTH_AT = 84
const TOPIC_LENGTH_AT = BODY_LENGTH_AT + 4 + 'body'.length

describe('an entry is refused, its place is named', () => {
  const properties = 'TAGS\x01T\x02KEYS\x01k\x02'
  const propertiesLengthAt = TOPIC_LENGTH_AT + 1 + 'Topic'.length
  const cases: { name: string; change: (body: Buffer) => void; why: RegExp }[] = [
    { name: 'a size that is too large', change: (body) => body.writeInt32BE(body.length + 1, 0), why: /needs/ },
    {
      name: 'a size that is too small',
      change: (body) => body.writeInt32BE(body.length - 1, 0),
      why: /propertiesLength/,
    },
    { name: 'a negative size', change: (body) => body.writeInt32BE(-1, 0), why: /totalSize/ },
    { name: 'no magic', change: (body) => body.writeInt32BE(0, 4), why: /magic/ },
    { name: 'the magic of a blank', change: (body) => body.writeUInt32BE(0xcbd43194, 4), why: /magic/ },
    { name: 'another place', change: (body) => body.writeInt32BE(7, 32), why: /names another place/ },
    {
      name: 'a body beyond the end',
      change: (body) => body.writeInt32BE(0x7fffffff, BODY_LENGTH_AT),
      why: /bodyLength/,
    },
    { name: 'a negative body', change: (body) => body.writeInt32BE(-4, BODY_LENGTH_AT), why: /bodyLength/ },
    { name: 'a negative topic', change: (body) => body.writeInt8(-1, TOPIC_LENGTH_AT), why: /topicLength/ },
    {
      name: 'properties beyond the end',
      change: (body) => body.writeInt16BE(0x7fff, propertiesLengthAt),
      why: /propertiesL/,
    },
    {
      name: 'negative properties',
      change: (body) => body.writeInt16BE(-1, propertiesLengthAt),
      why: /propertiesLength/,
    },
    { name: 'a negative queue', change: (body) => body.writeInt32BE(-1, 12), why: /queue id is -1/ },
    { name: 'a queue offset beyond counting', change: (body) => body.fill(0x7f, 20, 28), why: /queue offset is NaN/ },
    { name: 'a negative queue offset', change: (body) => body.fill(0xff, 20, 28), why: /queue offset is -1/ },
    { name: 'a store time beyond counting', change: (body) => body.fill(0x7f, 56, 64), why: /store time/ },
    { name: 'a negative store time', change: (body) => body.fill(0xff, 56, 64), why: /store time/ },
  ]
  test.each(cases)('$name', async ({ change, why }) => {
    const core = await openCore('store')
    const entry = changed(new EntryMaker().add(message('Topic', 'body', { properties })), change)
    const failure = failureOf(core, [entry])
    expect(failure?.detail).toMatchObject({ code: 'CORRUPT', physicalOffset: 48 })
    expect(failure?.message).toMatch(why)
    await close(core)
  })

  test.each(['../x', '/etc/x', '..', '.', 'a/b', 'a\\b', '', 'a\0b', 'ä', '%RETRY%../../x', 'x'.repeat(128)])(
    'the topic %j',
    async (topic) => {
      const core = await openCore('store')
      const failure = failureOf(core, [new EntryMaker().add(message(topic, 'body'))])
      expect(failure?.detail).toMatchObject({ code: 'CORRUPT', physicalOffset: 48 })
      await close(core)
      expect(filesBelow(temp.path).size).toBe(0)
    },
  )
})

test('a record of Apache whose body is not the one of its crc is refused: its entry has no checksum', () => {
  const machine = (): StoreMachine =>
    new StoreMachine({
      clock: new ManualClock(),
      delayLevelsMs: DELAYS_MS,
      hotBytesMax: 1024,
      takesOverApache: true,
      fileBytes: 65_536,
    })
  const entry = new EntryMaker().add(message('T', 'body'))
  const whole = machine()
  whole.apply([entry])
  expect(whole.queues.find('T', 0)?.nextOffset).toBe(1)
  for (let at = BODY_LENGTH_AT + 4; at < TOPIC_LENGTH_AT; at++) {
    const bad = changed(entry, (body) => body.writeUInt8((body[at] as number) ^ 1, at))
    expect(() => machine().apply([bad])).toThrow(/crc/i)
  }
})

test('a property block that does not end, or makes no sense, is a record like any other', async () => {
  const core = await openCore('store')
  const maker = new EntryMaker()
  const blocks = ['TAGS', 'TAGS\x01', '\x01\x01\x01', '\x02\x02', 'DELAY\x01-9']
  const entries = blocks.map((properties) => maker.add(message('T', 'body', { properties })))
  entries.push(
    ...['DELAY\x01x', 'DELAY\x011e99\x02', ''].map((text) =>
      maker.add(message('SCHEDULE_TOPIC_XXXX', 'b', { properties: text })),
    ),
  )
  expect(failureOf(core, entries)).toBeNull()
  expect(core.machine.queues.find('T', 0)?.nextOffset).toBe(blocks.length)
  await flush(core, entries.length - 1)
  await close(core)
})

test('a delivery that is told in a way of a newer version is refused as such', async () => {
  const core = await openCore('store')
  const properties = 'DLEDGER_DELIVERED\x01x:y'
  const failure = failureOf(core, [new EntryMaker().add(message('T', 'body', { properties }))])
  expect(failure?.code).toBe('UNSUPPORTED')
  await close(core)
})

test('whatever byte of a record is flipped: refused as corrupt, or applied, and the files stay below the directory', async () => {
  const kinds = [
    message('Topic', 'body', { properties: 'TAGS\x01T\x02KEYS\x01k\x02UNIQ_KEY\x01U\x02' }),
    message('SCHEDULE_TOPIC_XXXX', 'body', { properties: 'DELAY\x012\x02REAL_TOPIC\x01Topic\x02' }),
    message('Topic', '', { sysFlag: MessageSysFlag.TRANSACTION_PREPARED, storeHost: HOST }),
    message('rmq_sys_dledger', 'no change', { sysFlag: MessageSysFlag.TRANSACTION_ROLLBACK }),
    message(`%RETRY%${'g'.repeat(150)}`, 'body', { properties: 'DLEDGER_DELIVERED\x011:0\x02' }),
  ]
  let applied = 0
  let refused = 0
  const flips = fc.array(fc.record({ at: fc.nat(), to: fc.nat(255) }), { minLength: 1, maxLength: 3 })
  await fc.assert(
    fc.asyncProperty(fc.nat(kinds.length - 1), flips, async (kind, changes) => {
      const core = await openCore('store')
      const entry = changed(new EntryMaker().add(kinds[kind] as (typeof kinds)[number]), (body) => {
        for (const { at, to } of changes) body[at % body.length] = to
      })
      const failure = failureOf(core, [entry])
      if (failure === null) {
        applied++
        core.checkInvariants()
        await flush(core, 0)
      } else {
        refused++
        expect(['CORRUPT', 'UNSUPPORTED']).toContain(failure.code)
      }
      await close(core)
      expect(fs.readdirSync(temp.path).filter((name) => name !== 'store')).toEqual([])
      fs.rmSync(path.join(temp.path, 'store'), { recursive: true, force: true })
    }),
    { numRuns: 400 },
  )
  expect([applied > 40, refused > 40]).toEqual([true, true])
})

test('bytes of any kind are a record or a ProtocolError', () => {
  const record = new EntryMaker().add(message('Topic', 'body', { properties: 'TAGS\x01T\x02' })).body
  const flipped = fc
    .array(fc.tuple(fc.nat(record.length - 1), fc.nat(255)), { maxLength: 4 })
    .map((changes) => changes.reduce((bytes, [at, to]) => (bytes.writeUInt8(to, at), bytes), Buffer.from(record)))
  const cut = fc.nat(record.length).map((end) => Buffer.from(record.subarray(0, end)))
  const any = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.oneof(flipped, cut, any), (bytes) => {
      try {
        const size = checkRecord(bytes)
        expect(size).toBeLessThanOrEqual(bytes.length)
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError)
      }
    }),
    { numRuns: 20_000 },
  )
})
