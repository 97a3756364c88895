/** Half messages: committed ones are in the log once, whoever says so how often and wherever leaderships end; others never. */
import { decodeRecord, getProperty } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PutResult } from '../api.ts'
import type { StoreError } from '../errors.ts'
import type { HalfMessageRow } from '../metadata/half-messages.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { flush, message } from '../testing/fixture.ts'
import { Leaderships } from '../testing/leaderships.ts'
import { type ManualClock, passes, until } from '../testing/manual-clock.ts'
import type { MemoryLog } from '../testing/memory-log.ts'
import type { EndTransaction } from './transactions.ts'

let led: Leaderships
let clock: ManualClock
let log: MemoryLog
beforeEach(begin)
afterEach(() => led.close())

function begin(): void {
  led = new Leaderships()
  ;({ clock, log } = led)
}

const leader = (metadata?: MemoryMetadata, directory?: string): Promise<StoreCore> => led.leader(metadata, directory)

function putHalf(core: StoreCore, body: string, more = '', sysFlag = 4): Promise<PutResult> {
  const properties = `TRAN_MSG\x01true\x02PGROUP\x01pg\x02UNIQ_KEY\x01id-${body}\x02${more}`
  return new Promise((stored, putFailed) => {
    core.putter.putHalf(message('T', body, { queueId: 2, sysFlag, properties }), { stored, putFailed })
  })
}

async function prepared(core: StoreCore, body: string, more = ''): Promise<PutResult> {
  const stored = putHalf(core, body, more)
  await passes(4)
  log.commit()
  return stored
}

function ending(result: PutResult, outcome: EndTransaction['outcome']): EndTransaction {
  return { physicalOffset: result.physicalOffset, queueOffset: result.queueOffset, producerGroup: 'pg', outcome }
}

async function ended(core: StoreCore, request: EndTransaction): Promise<PutResult | null> {
  const promise = core.transactions.end(request)
  await passes(8)
  log.commit()
  return promise
}

async function pending(core: StoreCore, storedBeforeMs = Number.MAX_SAFE_INTEGER): Promise<HalfMessageRow[]> {
  const found: HalfMessageRow[] = []
  for (let from: number | null = 0; from !== null;) {
    const page: Awaited<ReturnType<typeof core.transactions.halfMessages>> = await core.transactions.halfMessages({
      from,
      storedBeforeMs,
      limit: 2,
    })
    found.push(...page.rows)
    from = page.next
  }
  return found
}

/** Bodies in the real topic. */
function visible(): string[] {
  return log.entries
    .map(({ body }) => decodeRecord(body))
    .filter(({ topic, sysFlag }) => topic === 'T' && (sysFlag & 4) === 0)
    .map(({ body }) => body.toString())
}

describe('a half message', () => {
  test('stands in the half topic until it is committed, and has a row', async () => {
    const core = await leader()
    const stored = await prepared(core, 'm', 'CHECK_IMMUNITY_TIME_IN_SECONDS\x0130\x02')
    const half = decodeRecord(log.entries[0]?.body as Buffer)
    expect([half.topic, half.queueId, half.sysFlag]).toEqual(['RMQ_SYS_TRANS_HALF_TOPIC', 0, 0])
    expect(getProperty(half.properties, 'REAL_TOPIC')).toBe('T')
    expect(getProperty(half.properties, '__transactionId__')).toBe('id-m')
    expect(await pending(core)).toEqual([
      {
        physicalOffset: stored.physicalOffset,
        recordOffset: stored.physicalOffset,
        bytes: half.totalSize,
        queueOffset: 0,
        producerGroup: 'pg',
        storeTimestamp: half.storeTimestamp,
        immunityMs: 30_000,
        checkCount: 0,
        checkedMs: 0,
      },
    ])
    expect(await pending(core, half.storeTimestamp)).toEqual([])

    const result = await ended(core, ending(stored, 'commit'))
    const record = decodeRecord(log.entries[1]?.body as Buffer)
    expect([record.topic, record.queueId, record.sysFlag]).toEqual(['T', 2, 8])
    expect(record.preparedTransactionOffset).toBe(stored.physicalOffset)
    expect(getProperty(record.properties, 'TRAN_MSG')).toBe('true')
    expect(result?.physicalOffset).toBe(record.physicalOffset)
    expect(await pending(core)).toEqual([])
    expect(core.machine.metadata.pendingFiles.count).toBe(0)
    expect(await ended(core, ending(stored, 'commit'))).toBeNull()
    expect(visible()).toEqual(['m'])
  })

  test('that is rolled back leaves a record in the op topic, one that is given up stands where an operator finds it', async () => {
    const core = await leader()
    const first = await prepared(core, 'a')
    const second = await prepared(core, 'b', 'DELAY\x011\x02')
    await ended(core, ending(first, 'rollback'))
    await ended(core, ending(second, 'abandon'))
    const op = decodeRecord(log.entries[2]?.body as Buffer)
    expect([op.topic, op.body.toString(), getProperty(op.properties, 'TAGS')]).toEqual([
      'RMQ_SYS_TRANS_OP_HALF_TOPIC',
      '0,',
      'd',
    ])
    const kept = decodeRecord(log.entries[3]?.body as Buffer)
    expect([kept.topic, kept.body.toString()]).toEqual(['TRANS_CHECK_MAX_TIME_TOPIC', 'b'])
    expect(visible()).toEqual([])
    expect(await pending(core)).toEqual([])
  })

  test.each([
    ['a level', 'DELAY\x011\x02', 1_000],
    ['a time', 'TIMER_DELAY_MS\x012000\x02', 2_100],
  ])('waits, once committed, for %s that it asks for', async (_, more, delayMs) => {
    const core = await leader()
    await ended(core, ending(await prepared(core, 'm', more), 'commit'))
    expect(visible()).toEqual([])
    clock.advance(delayMs)
    await until(() => log.waiting === 1, 'it is due')
    log.commit()
    expect(visible()).toEqual(['m'])
    expect(core.machine.metadata.pendingFiles.count).toBe(0)
  })

  test.each([
    ['of another producer', { producerGroup: 'other' }],
    ['with another queue offset', { queueOffset: 7 }],
  ])('is not ended by a request %s', async (_, wrong) => {
    const core = await leader()
    const request = { ...ending(await prepared(core, 'm'), 'commit'), ...wrong }
    await expect(core.transactions.end(request)).rejects.toMatchObject({ code: 'INVALID' })
    expect(await pending(core)).toHaveLength(1)
  })

  test('is refused when it could not be stored at its end', async () => {
    const core = await leader()
    for (const [more, code] of [
      [`A\x01${'x'.repeat(32_500)}\x02`, 'TOO_LARGE'],
      ['TIMER_DELAY_MS\x01soon\x02', 'INVALID'],
    ] as const) {
      await expect(putHalf(core, 'm', more)).rejects.toMatchObject({ code })
    }
  })
})

describe('a check', () => {
  test('is counted in the row, and survives a restart', async () => {
    const metadata = new MemoryMetadata(clock)
    const core = await leader(metadata, `${led.temp.path}/same`)
    const results = [await prepared(core, 'a'), await prepared(core, 'b'), await prepared(core, 'c')]
    const counted = core.transactions.countCheck([results[0]?.physicalOffset ?? -1, 99_999], 5_000)
    await passes(8)
    log.commit()
    await counted
    const rows = await pending(core)
    expect(rows.map(({ checkCount, checkedMs }) => [checkCount, checkedMs])).toEqual([
      [1, 5_000],
      [0, 0],
      [0, 0],
    ])
    await flush(core, core.machine.appliedIndex)
    log.lose(0)
    const next = await leader(metadata.crash(0), `${led.temp.path}/same`)
    expect(await pending(next)).toEqual(rows)
  })

  test('and an end at the same time come one after the other: nothing is counted for what has ended', async () => {
    const core = await leader()
    const stored = await prepared(core, 'a')
    const counted = core.transactions.countCheck([stored.physicalOffset], 5_000)
    const first = core.transactions.end(ending(stored, 'commit'))
    const second = core.transactions.end(ending(stored, 'commit'))
    const late = core.transactions.countCheck([stored.physicalOffset], 6_000)
    for (let i = 0; i < 6; i++) {
      await passes(6)
      log.commit()
    }
    await Promise.all([counted, late])
    expect([await first, await second].filter((result) => result !== null)).toHaveLength(1)
    expect(visible()).toEqual(['a'])
    expect(await pending(core)).toEqual([])
  })
})

describe('a half message that is resumed', () => {
  async function resumed(core: StoreCore, physicalOffset: number): Promise<boolean> {
    const promise = core.transactions.resume(physicalOffset)
    for (let i = 0; i < 3; i++) {
      await passes(8)
      log.commit()
    }
    return promise
  }

  test('while it is pending is counted from the beginning again', async () => {
    const core = await leader()
    const half = await prepared(core, 'a')
    const counted = core.transactions.countCheck([half.physicalOffset], 5_000)
    await passes(8)
    log.commit()
    await counted
    expect(await resumed(core, half.physicalOffset)).toBe(true)
    expect(await pending(core)).toMatchObject([{ ...rowOf(half), checkCount: 0, checkedMs: 0 }])
    await ended(core, ending(half, 'commit'))
    expect(visible()).toEqual(['a'])
  })

  test('after it was given up is a new one, as it was sent, and can be committed', async () => {
    const core = await leader()
    const half = await prepared(core, 'a', 'CHECK_IMMUNITY_TIME_IN_SECONDS\x0130\x02')
    const kept = await ended(core, ending(half, 'abandon'))
    expect(await resumed(core, kept?.physicalOffset ?? -1)).toBe(true)
    const [row, ...others] = await pending(core)
    expect(others).toEqual([])
    expect(row).toMatchObject({ producerGroup: 'pg', queueOffset: 1, immunityMs: 30_000, checkCount: 0, checkedMs: 0 })
    const [first, again] = [log.entries[0], log.entries[2]].map((entry) => decodeRecord(entry?.body as Buffer))
    for (const name of ['topic', 'queueId', 'sysFlag', 'properties', 'bornTimestamp', 'bornHost'] as const) {
      expect(again?.[name]).toEqual(first?.[name])
    }
    await ended(core, ending({ ...half, ...row }, 'commit'))
    expect(visible()).toEqual(['a'])
    expect(await pending(core)).toEqual([])
    expect(core.machine.metadata.pendingFiles.count).toBe(0)
  })

  test('is none where it has ended otherwise, or never was one', async () => {
    const core = await leader()
    const [committed, rolledBack] = [await prepared(core, 'a'), await prepared(core, 'b')]
    const ends = [await ended(core, ending(committed, 'commit')), await ended(core, ending(rolledBack, 'rollback'))]
    const { length } = log.entries
    for (const result of [committed, rolledBack, ...ends]) {
      expect(await resumed(core, result?.physicalOffset ?? -1)).toBe(false)
    }
    expect(await resumed(core, 7)).toBe(false)
    expect(log.entries.length).toBe(length)
  })

  test('is put once, however often that is asked: at the same time, again, and when it has ended since', async () => {
    await led.close()
    led = new Leaderships({ indexShape: { slotCount: 100, entryCountMax: 1_000 } })
    ;({ clock, log } = led)
    const core = await leader()
    const kept = await ended(core, ending(await prepared(core, 'a'), 'abandon'))
    const place = kept?.physicalOffset ?? -1
    const [first, second] = [core.transactions.resume(place), core.transactions.resume(place)]
    await expect(second).rejects.toMatchObject({ code: 'BUSY' })
    await until(() => log.waiting === 1, 'it is put')
    log.commit()
    expect(await first).toBe(true)
    const [row] = await pending(core)
    const again = core.transactions.resume(place)
    await until(() => log.waiting === 1, 'it is counted from the beginning')
    log.commit()
    expect(await again).toBe(true)
    expect(await pending(core)).toEqual([row])
    await ended(core, { physicalOffset: -1, queueOffset: -1, producerGroup: '', ...row, outcome: 'commit' })
    expect(await core.transactions.resume(place)).toBe(false)
    expect(visible()).toEqual(['a'])
  })

  test('whose outcome is not known is not put once more by this leader', async () => {
    const core = await leader()
    const kept = await ended(core, ending(await prepared(core, 'a'), 'abandon'))
    const first = core.transactions.resume(kept?.physicalOffset ?? -1)
    await passes(8)
    log.expire()
    await expect(first).rejects.toMatchObject({ code: 'TIMEOUT' })
    await expect(core.transactions.resume(kept?.physicalOffset ?? -1)).rejects.toMatchObject({ code: 'BUSY' })
  })

  test('is put by a leader only', async () => {
    const core = await leader()
    const half = await prepared(core, 'a')
    log.lose(0)
    await expect(core.transactions.resume(half.physicalOffset)).rejects.toMatchObject({ code: 'NOT_LEADER' })
  })

  const rowOf = ({ physicalOffset, queueOffset }: PutResult) => ({ physicalOffset, queueOffset })
})

describe('ending', () => {
  test('is not tried again while its outcome is unknown: who asks waits for it', async () => {
    const core = await leader()
    const half = await prepared(core, 'a')
    const first = core.transactions.end(ending(half, 'commit'))
    await passes(8)
    log.expire()
    await expect(first).rejects.toMatchObject({ code: 'TIMEOUT' })
    const second = core.transactions.end(ending(half, 'commit'))
    await passes(8)
    expect(log.waiting).toBe(1)
    log.commit()
    expect(await second).toBeNull()
    expect(visible()).toEqual(['a'])
  })

  test('happens once in the log, whatever is refused and wherever leaderships end', async () => {
    const steps = fc.array(
      fc.record({
        what: fc.constantFrom('commit', 'rollback', 'check'),
        which: fc.nat(5),
        commit: fc.nat(4),
        passes: fc.nat(8),
      }),
      { maxLength: 8 },
    )
    const leadership = fc.record({ refused: fc.array(fc.nat(20), { maxLength: 4 }), steps, kept: fc.nat(8) })
    await fc.assert(
      fc.asyncProperty(fc.array(leadership, { maxLength: 5 }), async (all) => {
        await led.close()
        begin()
        let core = await leader()
        const halves: PutResult[] = []
        for (let i = 0; i < 6; i++) halves.push(await prepared(core, `m${i}`))
        const first = new Map<number, string>()
        const told: Promise<unknown>[] = []
        for (const { refused, steps: wanted, kept } of all) {
          log.refuses = (n) => refused.includes(n % 21)
          for (const { what, which, commit, passes: wait } of wanted) {
            const half = halves[which] as PutResult
            if (what === 'check') {
              told.push(core.transactions.countCheck([half.physicalOffset], 1).catch(() => {}))
            } else {
              const outcome = what as 'commit' | 'rollback'
              const told1 = core.transactions.end(ending(half, outcome)).then(
                (result) => {
                  if (result === null) return
                  expect(first.has(which)).toBe(false)
                  first.set(which, outcome)
                },
                (error: StoreError) => expect(['TIMEOUT', 'BUSY', 'NOT_LEADER']).toContain(error.code),
              )
              told.push(told1)
            }
            await passes(wait)
            log.commit(commit)
          }
          await passes(8)
          log.lose(kept)
          core = await leader()
        }
        log.refuses = () => false
        await passes(8)
        log.commit()
        await Promise.all(told)
        const left = await pending(core)
        expect(core.machine.metadata.pendingFiles.count).toBe(left.length)
        for (const row of left) {
          await ended(core, ending({ ...(halves[0] as PutResult), ...row }, 'commit'))
        }
        const found = visible()
        expect(new Set(found).size).toBe(found.length)
        for (const [which, outcome] of first) expect(found.includes(`m${which}`)).toBe(outcome === 'commit')
        for (const { queueOffset } of left) expect(found).toContain(`m${queueOffset}`)
        expect(await pending(core)).toEqual([])
        expect(core.machine.metadata.pendingFiles.count).toBe(0)
      }),
      { numRuns: 100 },
    )
  })
})
