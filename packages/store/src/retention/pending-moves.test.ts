/** What is pending in log files that are to go: put again elsewhere, delivered once, whoever leads; or the file stays. */
import { decodeRecord } from '@dledger-ts/protocol'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PutResult } from '../api.ts'
import type { StoreError } from '../errors.ts'
import type { HalfMessageRow } from '../metadata/half-messages.ts'
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, flush, message, stateOf } from '../testing/fixture.ts'
import { Leaderships } from '../testing/leaderships.ts'
import { type ManualClock, passes, until } from '../testing/manual-clock.ts'
import type { MemoryLog } from '../testing/memory-log.ts'
import { UndeliveredMessages } from './needed-entries.ts'

/** A sixteenth holds four or five small records. */
const FILE_BYTES = 16 * 1024
const HOUR_MS = 3_600_000

let led: Leaderships
let clock: ManualClock
let log: MemoryLog
beforeEach(begin)
afterEach(() => led.close())

function begin(): void {
  led = new Leaderships({ fileBytes: FILE_BYTES, delayLevelsMs: [1_000, HOUR_MS], hotBytesMax: 0 })
  ;({ clock, log } = led)
}

function put(core: StoreCore, body: string, properties = ''): void {
  core.putter.put(message('T', body, { properties: `UNIQ_KEY\x01id-${body}\x02${properties}` }), {
    stored: () => {},
    putFailed: () => {},
  })
}

function putHalf(core: StoreCore, body: string): Promise<PutResult> {
  const properties = `TRAN_MSG\x01true\x02PGROUP\x01pg\x02UNIQ_KEY\x01id-${body}\x02`
  return new Promise((stored, putFailed) => {
    core.putter.putHalf(message('T', body, { sysFlag: 4, properties }), { stored, putFailed })
  })
}

const fill = (core: StoreCore): void => put(core, 'filler'.padEnd(2_000, '.'))
const inAnHour = (): string => `TIMER_DELAY_MS\x01${HOUR_MS}\x02`

async function committed(): Promise<void> {
  await passes(6)
  log.commit()
}

/** Everything that consumers see but the fillers. */
function delivered(): string[] {
  return log.entries
    .map(({ body }) => decodeRecord(body))
    .filter(({ topic, sysFlag }) => topic === 'T' && (sysFlag & 4) === 0)
    .map(({ body }) => body.toString())
    .filter((body) => !body.startsWith('filler'))
}

/** Entries of all files but the newest are to be forgotten. */
function trim(core: StoreCore): void {
  const last = log.entries.at(-1)
  if (last === undefined) return
  const index = log.firstIndexInFileOf(last.pos)
  if (index === null) return
  log.forgetBefore = Math.max(log.forgetBefore, index)
  core.moves.wake()
}

async function oldestNeeded(core: StoreCore): Promise<number> {
  const levels = new UndeliveredMessages(core.machine, core.reader)
  const ofLevels = await new Promise<number>((resolve, reject) => {
    levels.oldestNeeded((error, offset) => (error === null ? resolve(offset) : reject(error)))
  })
  return Math.min(ofLevels, core.machine.metadata.pendingFiles.oldest())
}

/** The log forgets what it may. */
async function forget(core: StoreCore): Promise<void> {
  const wanted = log.entries[log.forgetBefore]?.pos ?? 0
  const needed = await oldestNeeded(core)
  log.startPos = Math.max(log.startPos, Math.min(wanted, needed - (needed % FILE_BYTES)))
  core.machine.logStarts(log.firstIndexInFileOf(log.startPos) ?? 0, log.startPos)
}

async function settle(core: StoreCore, isDone: () => boolean, what: string): Promise<void> {
  await until(() => {
    log.commit()
    clock.advance(50)
    return isDone()
  }, what)
  core.checkInvariants()
}

function rows(core: StoreCore): Promise<readonly HalfMessageRow[]> {
  return core.transactions
    .halfMessages({ from: 0, storedBeforeMs: Number.MAX_SAFE_INTEGER, limit: 100 })
    .then((page) => page.rows)
}

describe('a log file that is to go', () => {
  test('gives up the timers, half messages and delayed messages in it, which go on as they were', async () => {
    const core = await led.leader()
    const start = clock.nowMs()
    put(core, 'timer', inAnHour())
    put(core, 'level', 'DELAY\x012\x02')
    const half = putHalf(core, 'half')
    await committed()
    const { physicalOffset, queueOffset } = await half
    const counted = core.transactions.countCheck([physicalOffset], start + 7)
    await committed()
    await counted
    for (let i = 0; i < 20; i++) fill(core)
    await committed()
    const before = (await rows(core))[0] as HalfMessageRow
    trim(core)
    await settle(core, () => core.machine.metadata.pendingFiles.oldest() >= 2 * FILE_BYTES, 'all is moved')
    await forget(core)
    expect(log.startPos).toBeGreaterThanOrEqual(2 * FILE_BYTES)
    const [after] = await rows(core)
    expect(after).toEqual({ ...before, recordOffset: after?.recordOffset, bytes: after?.bytes })
    expect(after?.recordOffset).toBeGreaterThan(log.startPos)
    expect(before).toMatchObject({ checkCount: 1, checkedMs: start + 7 })
    // A producer is asked, and answers, by what it was told when it sent.
    expect(await core.transactions.halfMessage(physicalOffset)).toMatchObject({
      topic: 'RMQ_SYS_TRANS_HALF_TOPIC',
      physicalOffset,
      queueOffset,
      storeTimestamp: before.storeTimestamp,
      properties: expect.not.stringContaining('DLEDGER_DELIVERED') as string,
    })
    expect(await core.transactions.halfMessage(after?.recordOffset ?? 0)).toBeUndefined()
    const ended = core.transactions.end({ physicalOffset, queueOffset, producerGroup: 'pg', outcome: 'commit' })
    await committed()
    expect(await ended).not.toBeNull()
    expect(await core.transactions.halfMessage(physicalOffset)).toBeUndefined()
    clock.advance(start + HOUR_MS - clock.nowMs() - 1)
    await passes()
    expect(delivered()).toEqual(['half'])
    clock.advance(200)
    await settle(core, () => delivered().length === 3, 'they are due')
    expect(delivered().sort()).toEqual(['half', 'level', 'timer'])
    expect(core.machine.metadata.pendingFiles.count).toBe(0)
  })

  test('stays while more than a small share of it is pending, and goes when that is less', async () => {
    const core = await led.leader()
    for (let i = 0; i < 8; i++) put(core, `m${i}`, i < 6 ? `TIMER_DELAY_MS\x01120000\x02` : inAnHour())
    await committed()
    for (let i = 0; i < 20; i++) fill(core)
    await committed()
    trim(core)
    await settle(core, () => clock.nowMs() > 1_700_000_060_000, 'a minute passes')
    expect([...core.machine.metadata.pendingFiles.all()]).toEqual([[0, 8]])
    await settle(core, () => core.machine.metadata.pendingFiles.oldest() > 0, 'the rest is moved')
    expect(delivered()).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm5'])
    expect(core.machine.metadata.pendingFiles.count).toBe(2)
  })

  test('keeps what is due soon, for it goes by itself', async () => {
    const core = await led.leader()
    put(core, 'soon', 'TIMER_DELAY_MS\x0120000\x02')
    put(core, 'level', 'DELAY\x012\x02')
    await committed()
    clock.advance(HOUR_MS - 20_000)
    await committed()
    put(core, 'later', inAnHour())
    for (let i = 0; i < 20; i++) fill(core)
    await committed()
    const records = log.entries.length
    trim(core)
    await settle(core, () => delivered().length === 2, 'they are due')
    expect(
      log.entries
        .slice(records)
        .map(({ body }) => decodeRecord(body).body.toString())
        .sort(),
    ).toEqual(['later', 'level'])
  })

  test('is left alone by a leader that was not told to forget it', async () => {
    const core = await led.leader()
    put(core, 'timer', inAnHour())
    await committed()
    for (let i = 0; i < 20; i++) fill(core)
    await committed()
    const records = log.entries.length
    core.moves.wake()
    await passes()
    expect([log.waiting, log.entries.length]).toEqual([0, records])
  })

  test('is moved out of on from where another leader, or the same after a restart, left off', async () => {
    const metadata = new MemoryMetadata(clock)
    const first = await led.leader(metadata, `${led.temp.path}/same`)
    const half = putHalf(first, 'half')
    put(first, 'timer', inAnHour())
    await committed()
    for (let i = 0; i < 20; i++) fill(first)
    await committed()
    trim(first)
    await settle(first, () => first.machine.metadata.pendingFiles.oldest() >= 2 * FILE_BYTES, 'all is moved')
    await flush(first, first.machine.appliedIndex)
    await forget(first)
    const before = stateOf(first.machine, `${led.temp.path}/same`)
    const known = await rows(first)
    log.lose(0)
    await close(first)
    const second = await led.open(metadata.crash(0), `${led.temp.path}/same`)
    expect(stateOf(second.machine, `${led.temp.path}/same`)).toEqual(before)
    log.lead(second)
    expect(await rows(second)).toEqual(known)
    const { physicalOffset, queueOffset } = await half
    const ended = second.transactions.end({ physicalOffset, queueOffset, producerGroup: 'pg', outcome: 'rollback' })
    await committed()
    const op = await ended
    // The op record names the record that there is now, for whoever reads the half topic.
    expect(decodeRecord(log.entries.at(-1)?.body as Buffer).body.toString()).toBe(`${queueOffset + 1},`)
    expect(op).not.toBeNull()
    clock.advance(HOUR_MS)
    await settle(second, () => delivered().length === 1, 'it is due')
    expect(second.machine.metadata.pendingFiles.count).toBe(0)
  })
})

type Step =
  | { readonly kind: 'put'; readonly what: 'timer' | 'level' | 'half' | 'filler'; readonly count: number }
  | { readonly kind: 'commit'; readonly count: number }
  | { readonly kind: 'trim' | 'expire' | 'forget' }
  | { readonly kind: 'pass'; readonly passes: number; readonly ms: number }
  | { readonly kind: 'end'; readonly half: number; readonly isCommit: boolean }
  | { readonly kind: 'recall'; readonly timer: number }
  | { readonly kind: 'lose'; readonly kept: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      what: fc.constantFrom('timer' as const, 'level' as const, 'half' as const, 'filler' as const, 'filler' as const),
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('commit' as const), count: fc.nat(6) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom('trim' as const, 'forget' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('expire' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      passes: fc.nat(12),
      ms: fc.constantFrom(0, 200, 7_000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('end' as const), half: fc.nat(3), isCommit: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('recall' as const), timer: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lose' as const), kept: fc.nat(8) }) },
)

/** A file that is to go, with little of each kind in it. */
const OLD_FILE: readonly Step[] = [
  { kind: 'put', what: 'half', count: 2 },
  { kind: 'put', what: 'timer', count: 1 },
  { kind: 'put', what: 'level', count: 1 },
  { kind: 'pass', passes: 4, ms: 0 },
  { kind: 'commit', count: 10 },
  { kind: 'put', what: 'filler', count: 12 },
  { kind: 'pass', passes: 4, ms: 0 },
  { kind: 'commit', count: 20 },
  { kind: 'trim' },
]

describe('what is pending', () => {
  test('is delivered once, none lost, whatever is trimmed or refused and wherever leaderships end', async () => {
    const run = fc.record({
      steps: fc.array(step, { minLength: 5, maxLength: 60 }),
      refused: fc.array(fc.nat(40), { maxLength: 6 }),
    })
    await fc.assert(
      fc.asyncProperty(run, async ({ steps, refused }) => {
        await led.close()
        begin()
        let core = await led.leader()
        let count = 0
        const halves: PutResult[] = []
        /** Outcomes that were told, by body; `?` where it was not told which. */
        const outcomes = new Map<string, string>()
        log.refuses = (n) => refused.includes(n % 41)
        const end = (at: number, isCommit: boolean): void => {
          const half = halves[at]
          if (half === undefined) return
          const name = String(half.physicalOffset)
          const outcome = isCommit ? 'commit' : 'rollback'
          const { physicalOffset, queueOffset } = half
          core.transactions.end({ physicalOffset, queueOffset, producerGroup: 'pg', outcome }).then(
            (result) => result !== null && outcomes.set(name, outcome),
            (error: StoreError) => error.code === 'TIMEOUT' && !outcomes.has(name) && outcomes.set(name, '?'),
          )
        }
        const timers: { readonly body: string; readonly deliverMs: number }[] = []
        const recalled = new Set<string>()
        const unknown = new Set<string>()
        const recall = (at: number): void => {
          const timer = timers[at]
          if (timer === undefined) return
          const { body, deliverMs } = timer
          core.recall.recall({ topic: 'T', uniqKey: `id-${body}`, deliverMs }).then(
            (isEnded) => isEnded && recalled.add(body),
            (error: StoreError) => error.code === 'TIMEOUT' && unknown.add(body),
          )
        }
        for (const each of [...OLD_FILE, ...steps]) {
          switch (each.kind) {
            case 'put':
              for (let i = 0; i < each.count; i++) {
                const body = `${each.what}-${count++}`
                if (each.what === 'filler') fill(core)
                else if (each.what === 'timer') {
                  const deliverMs = clock.nowMs() + HOUR_MS
                  timers.push({ body, deliverMs })
                  put(core, body, `TIMER_DELIVER_MS\x01${deliverMs}\x02`)
                } else if (each.what === 'level') put(core, body, 'DELAY\x012\x02')
                else
                  putHalf(core, body).then(
                    (half) => halves.push(half),
                    () => {},
                  )
              }
              break
            case 'commit':
              await passes(2)
              log.commit(each.count)
              break
            case 'trim':
              trim(core)
              break
            case 'forget':
              await forget(core)
              break
            case 'expire':
              await passes(8)
              log.expire()
              clock.advance(6_000)
              await passes(10)
              break
            case 'recall':
              recall(each.timer)
              break
            case 'pass':
              await passes(each.passes)
              clock.advance(each.ms)
              break
            case 'end':
              end(each.half, each.isCommit)
              break
            case 'lose':
              await passes(4)
              log.lose(each.kept)
              core = await led.leader()
          }
        }
        log.lose(0)
        log.refuses = () => false
        core = await led.leader()
        const records = log.entries.map(({ body }) => decodeRecord(body))
        const wanted = new Set<string>()
        for (const { topic, body } of records) {
          if (topic === 'rmq_sys_wheel_timer' || topic === 'SCHEDULE_TOPIC_XXXX') wanted.add(body.toString())
        }
        const half = new Map<number, string>()
        for (const { topic, body, physicalOffset } of records) {
          if (topic === 'RMQ_SYS_TRANS_HALF_TOPIC' && ![...half.values()].includes(body.toString())) {
            half.set(physicalOffset, body.toString())
          }
        }
        for (let i = 0; i < 12; i++) fill(core)
        await committed()
        trim(core)
        // Now everything of the earlier files goes, as it is little enough or due.
        for (let i = 0; i < 40; i++) {
          await passes(4)
          log.commit()
          clock.advance(500)
        }
        await forget(core)
        for (const row of await rows(core)) {
          expect(half.has(row.physicalOffset)).toBe(true)
          const { physicalOffset, queueOffset } = row
          const ended = core.transactions.end({ physicalOffset, queueOffset, producerGroup: 'pg', outcome: 'commit' })
          outcomes.set(String(physicalOffset), 'commit')
          await settle(core, () => log.waiting === 0, 'it is committed')
          for (let i = 0; i < 6; i++) await committed()
          expect(await ended).not.toBeNull()
        }
        clock.advance(HOUR_MS)
        for (let i = 0; i < 60 && core.machine.metadata.pendingFiles.count > 0; i++) {
          await passes(8)
          log.commit()
          clock.advance(1_000)
        }
        for (let i = 0; i < 6; i++) {
          await committed()
          clock.advance(1_000)
        }
        const found = delivered()
        expect(new Set(found).size).toBe(found.length)
        for (const body of wanted) {
          if (recalled.has(body)) expect(found).not.toContain(body)
          else if (!unknown.has(body)) expect(found).toContain(body)
        }
        for (const [physicalOffset, body] of half) {
          const outcome = outcomes.get(String(physicalOffset))
          if (outcome === 'commit') expect(found).toContain(body)
          if (outcome === 'rollback') expect(found).not.toContain(body)
        }
        expect(core.machine.metadata.pendingFiles.count).toBe(0)
        core.checkInvariants()
      }),
      { numRuns: 120 },
    )
  }, 120_000)
})
