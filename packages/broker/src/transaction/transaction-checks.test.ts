/** When producers are asked, and when not: on a clock that is moved by hand, over a table of half messages in memory. */
import { decodeRecord, hostAddress, offsetMsgId, RecordDraft, SystemTopic } from '@dledger-ts/protocol'
import { silentLogger } from '@dledger-ts/base'
import type { Connection, RemotingCommand } from '@dledger-ts/remoting'
import { type HalfMessageRow, StoreError } from '@dledger-ts/store'
import { beforeEach, describe, expect, test } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { TransactionChecks } from './transaction-checks.ts'

const TIME_OUT_MS = 6_000
const INTERVAL_MS = 30_000
const MAX = 3
/** Less than the shortest pause between two rounds. */
const STEP_MS = 50
const HOST = hostAddress('10.0.0.1', 1)

/** What a leader's store has of half messages; counts what it is asked for. */
class Pending {
  readonly rows = new Map<number, HalfMessageRow>()
  readonly givenUp: number[] = []
  readonly offsets = new Map<string, number>()
  pages = 0
  ready = true
  failure: StoreError | null = null
  readonly clock: ManualClock

  constructor(clock: ManualClock) {
    this.clock = clock
  }

  add(physicalOffset: number, row: Partial<HalfMessageRow> = {}): void {
    this.rows.set(physicalOffset, {
      physicalOffset,
      recordOffset: physicalOffset,
      bytes: 200,
      queueOffset: physicalOffset / 1_000,
      producerGroup: 'pg',
      storeTimestamp: this.clock.nowMs(),
      immunityMs: -1,
      checkCount: 0,
      checkedMs: 0,
      ...row,
    })
  }

  isReady = () => this.ready

  halfMessages = async ({ from, limit }: { from: number; limit: number }) => {
    this.pages++
    if (this.failure !== null) throw this.failure
    const rows = [...this.rows.values()].filter((row) => row.physicalOffset >= from).slice(0, limit)
    const last = rows.at(-1)
    const next = rows.length < limit || last === undefined ? null : last.physicalOffset + 1
    return { rows, next }
  }

  countCheck = async (offsets: readonly number[], checkedMs: number) => {
    for (const offset of offsets) {
      const row = this.rows.get(offset)
      if (row !== undefined) this.rows.set(offset, { ...row, checkCount: row.checkCount + 1, checkedMs })
    }
  }

  endTransaction = async ({ physicalOffset }: { physicalOffset: number }) => {
    this.rows.delete(physicalOffset)
    this.givenUp.push(physicalOffset)
    return null
  }

  halfMessage = async (physicalOffset: number) => {
    const draft = new RecordDraft({
      topic: SystemTopic.TRANSACTION_HALF,
      queueId: 0,
      flag: 0,
      sysFlag: 0,
      bornTimestamp: 0,
      bornHost: HOST,
      storeHost: HOST,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: Buffer.from('x'),
      properties: 'PGROUP\x01pg\x02REAL_TOPIC\x01T\x02REAL_QID\x011\x02UNIQ_KEY\x01id\x02',
    })
    const bytes = Buffer.alloc(draft.bytes)
    draft.encode(bytes, 0, { queueOffset: 0, physicalOffset, storeTimestamp: 0 })
    return decodeRecord(bytes)
  }

  maxOffset = () => 77
  consumerOffset = (_group: string, topic: string) => this.offsets.get(topic)
  commitConsumerOffset = (_group: string, topic: string, _queueId: number, offset: number) => {
    this.offsets.set(topic, offset)
  }
}

let clock: ManualClock
let store: Pending
let asked: RemotingCommand[]
let hasProducer: boolean
let checks: TransactionChecks

beforeEach(() => {
  clock = new ManualClock()
  store = new Pending(clock)
  asked = []
  hasProducer = true
  const connection = { oneway: (request: RemotingCommand) => asked.push(request) } as unknown as Connection
  checks = new TransactionChecks({
    store,
    producers: { choose: () => (hasProducer ? connection : undefined) },
    clock,
    logger: silentLogger,
    config: {
      brokerName: 'b',
      transactionTimeOut: TIME_OUT_MS,
      transactionCheckInterval: INTERVAL_MS,
      transactionCheckMax: MAX,
      fileReservedTime: 72,
    },
  })
})

/** Lets rounds that began go as far as they can. */
async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve()
}

async function advance(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= STEP_MS) {
    clock.advance(Math.min(left, STEP_MS))
    await settled()
  }
}

async function lead(term = 1): Promise<void> {
  checks.roleChanged(term)
  await advance(1)
}

function stored(physicalOffset: number, row: Partial<HalfMessageRow> = {}): void {
  store.add(physicalOffset, row)
  checks.halfStored(row.immunityMs ?? -1)
}

describe('a question is asked', () => {
  test('transactionTimeOut after the half message was stored, and every interval from then on', async () => {
    await lead()
    await advance(10_000)
    stored(1_000)
    await advance(TIME_OUT_MS - 1)
    expect(asked).toHaveLength(0)
    await advance(2)
    expect(asked).toHaveLength(1)
    expect(asked[0]?.extFields).toMatchObject({ commitLogOffset: '1000', offsetMsgId: offsetMsgId(HOST, 1_000) })
    await advance(INTERVAL_MS - 10)
    expect(asked).toHaveLength(1)
    await advance(20)
    expect(asked).toHaveLength(2)
  })

  test('after the immunity of the message itself, shorter or longer', async () => {
    await lead()
    await advance(1_000)
    stored(1_000, { immunityMs: 1_000 })
    stored(2_000, { immunityMs: 20_000 })
    await advance(1_100)
    expect(asked.map(({ extFields }) => extFields?.['commitLogOffset'])).toEqual(['1000'])
    await advance(18_000)
    expect(asked).toHaveLength(1)
    await advance(1_000)
    expect(asked.map(({ extFields }) => extFields?.['commitLogOffset'])).toEqual(['1000', '2000'])
  })

  test('by a new leader for what the last one left, counting on', async () => {
    store.add(1_000, { checkCount: 1, checkedMs: clock.nowMs() - INTERVAL_MS })
    await lead()
    expect(asked).toHaveLength(1)
    expect(store.rows.get(1_000)?.checkCount).toBe(2)
  })

  test('no later because the last leader had a clock that was a day ahead', async () => {
    store.add(1_000, { checkCount: 1, checkedMs: clock.nowMs() + 86_400_000 })
    await lead()
    expect(asked).toHaveLength(1)
    await advance(INTERVAL_MS + 10)
    expect(asked).toHaveLength(2)
  })

  test('once a producer of the group is there, and does not count before', async () => {
    hasProducer = false
    await lead()
    stored(1_000)
    await advance(20 * INTERVAL_MS)
    expect(store.rows.get(1_000)?.checkCount).toBe(0)
    hasProducer = true
    checks.producerAppeared('other')
    await advance(200)
    expect(asked).toHaveLength(0)
    checks.producerAppeared('pg')
    await advance(200)
    expect(asked).toHaveLength(1)
  })

  test('again, when the store could not be read', async () => {
    store.add(1_000, { storeTimestamp: 0 + clock.nowMs() - TIME_OUT_MS })
    store.failure = new StoreError('busy', { code: 'BUSY' })
    await lead()
    expect(asked).toHaveLength(0)
    store.failure = null
    await advance(1_100)
    expect(asked).toHaveLength(1)
  })
})

describe('nothing is asked', () => {
  test('by a member that leads no more', async () => {
    await lead()
    stored(1_000)
    store.ready = false
    checks.roleChanged(1)
    await advance(10 * INTERVAL_MS)
    expect([asked.length, clock.pending]).toEqual([0, 0])
  })

  test('while nothing is pending: then no clock runs', async () => {
    await lead()
    expect([store.pages, clock.pending]).toEqual([1, 0])
    stored(1_000)
    store.rows.clear()
    await advance(TIME_OUT_MS + 1_000)
    expect([asked.length, clock.pending]).toEqual([0, 0])
    expect(store.pages).toBe(2)
  })
})

test('after transactionCheckMax questions a half message is given up', async () => {
  await lead()
  stored(1_000)
  await advance(TIME_OUT_MS + MAX * (INTERVAL_MS + 200))
  expect([asked.length, store.givenUp]).toEqual([MAX, [1_000]])
  await advance(INTERVAL_MS)
  expect(clock.pending).toBe(0)
})

test('one older than fileReservedTime is given up, asked for or not', async () => {
  hasProducer = false
  store.add(1_000, { storeTimestamp: clock.nowMs() - 73 * 3_600_000 })
  await lead()
  expect([asked.length, store.givenUp]).toEqual([0, [1_000]])
})

test('a thousand that are due at once are all asked for, in few entries', async () => {
  let entries = 0
  const { countCheck } = store
  store.countCheck = (offsets, atMs) => {
    entries++
    return countCheck(offsets, atMs)
  }
  for (let i = 1; i <= 1_000; i++) store.add(i * 1_000, { storeTimestamp: clock.nowMs() - TIME_OUT_MS })
  checks.roleChanged(1)
  clock.advance(1)
  for (let i = 0; i < 100; i++) await settled()
  expect([asked.length, entries]).toEqual([1_000, 10])
})

test('the offsets of CID_RMQ_SYS_TRANS show how far half messages are ended', async () => {
  await lead()
  expect([...store.offsets]).toEqual([
    [SystemTopic.TRANSACTION_HALF, 77],
    [SystemTopic.TRANSACTION_OP_HALF, 77],
  ])
  stored(5_000)
  await advance(TIME_OUT_MS + 10)
  expect(store.offsets.get(SystemTopic.TRANSACTION_HALF)).toBe(5)
})
