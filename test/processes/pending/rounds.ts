/**
 * Round after round the leader is killed while transactions are open and messages wait for their time; then every member is asked
 * for all that is in their topics, and each key is counted.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { getProperty, PropertyName } from '@dledger-ts/protocol'
import { Admin } from '../group/admin.ts'
import { FastTry } from '../group/fast-try.ts'
import { MemberStatuses } from '../group/member-statuses.ts'
import { until, untilTrue } from '../group/until.ts'
import type { Member } from './sending.ts'
import { DELAY_MS_MAX, TimerLoad } from './timer-load.ts'
import { TransactionLoad } from './transaction-load.ts'

const TX_TOPIC = 'PendingTransactions'
const TIMER_TOPIC = 'PendingTimers'
const CHECK_AFTER_MS = 1_000
const CHECK_INTERVAL_MS = 1_000
/** Sent in each round before the leader is killed, and after another one leads. */
const SENT_PER_STEP = 60
const PROGRESS_MS = 60_000
const COMPLETE_MS = 120_000

export interface RoundsOptions {
  readonly rounds: number
  readonly flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  /** Told one line at a time what happens. */
  say(line: string): void
}

export interface Count {
  /** Acknowledged, and to be there once. */
  wanted: number
  /** Wanted and there once. */
  once: number
  lost: string[]
  /** There more than once. */
  doubled: string[]
  /** There and not to be: rolled back, called back. */
  unwanted: string[]
}

export interface RoundsResult {
  readonly transactions: Count
  readonly timers: Count
  /** Delivered before their time. */
  readonly early: string[]
  /** By how much messages were late when they got their place in the log, in ms, ascending. */
  readonly lateMs: number[]
  readonly questions: number
  /** Half messages, timers: sends without an answer. */
  readonly unacknowledged: readonly [number, number]
  readonly recalled: number
  /** Members of which two have different messages. */
  readonly differences: string[]
}

export function violations({ transactions, timers, early, differences }: RoundsResult): string[] {
  const named = (what: string, keys: readonly string[]) => keys.map((key) => `${what} ${key}`)
  return [transactions, timers]
    .flatMap(({ lost, doubled, unwanted }) => [
      ...named('lost', lost),
      ...named('more than once:', doubled),
      ...named('there and not to be:', unwanted),
    ])
    .concat(named('early', early), differences)
}

export function summary(result: RoundsResult): string {
  const { transactions, timers, early, lateMs, questions, unacknowledged, recalled } = result
  const text = ({ wanted, once, lost, doubled, unwanted }: Count) =>
    `${wanted} wanted, ${once} there once, ${lost.length} lost, ${doubled.length} doubled, ${unwanted.length} unwanted`
  const lateAt = (share: number) => lateMs[Math.min(lateMs.length - 1, Math.floor(lateMs.length * share))] ?? 0
  return (
    `transactions: ${text(transactions)}, ${questions} questions, ${unacknowledged[0]} sends unanswered; ` +
    `timers: ${text(timers)}, ${early.length} early, ${recalled} called back, ${unacknowledged[1]} sends unanswered; ` +
    `late by ${lateAt(0.5)} ms (median), ${lateAt(0.99)} (99 %), ${lateAt(1)} (most)`
  )
}

export async function runRounds(options: RoundsOptions): Promise<RoundsResult> {
  const conf = {
    transactionTimeOut: String(CHECK_AFTER_MS),
    transactionCheckInterval: String(CHECK_INTERVAL_MS),
    // Nobody is asked in vain, however long a round takes.
    transactionCheckMax: '1000',
    recallMessageEnable: 'true',
  }
  const group = await FastTry.create({ conf })
  try {
    await group.start('--fresh', '--flush', options.flush)
    return await new Rounds(group, options).run()
  } finally {
    await group.close()
  }
}

class Rounds {
  readonly #group: FastTry
  readonly #statuses: MemberStatuses
  readonly #options: RoundsOptions
  readonly #admin: Admin

  constructor(group: FastTry, options: RoundsOptions) {
    this.#group = group
    this.#statuses = new MemberStatuses(group)
    this.#options = options
    this.#admin = new Admin(group.namesrv)
  }

  async run(): Promise<RoundsResult> {
    await this.#statuses.leader()
    for (const topic of [TX_TOPIC, TIMER_TOPIC]) await this.#admin.createTopic(topic, 1)
    const { brokers } = await this.#group.status()
    const members = brokers.map(({ id, addr }) => ({ id, address: addr }))
    const transactions = new TransactionLoad({ members, topic: TX_TOPIC, lanes: 6, paceMs: 50 })
    const timers = new TimerLoad({ members, topic: TIMER_TOPIC, lanes: 6, paceMs: 50 })
    try {
      transactions.start()
      timers.start()
      for (let round = 1; round <= this.#options.rounds; round++) await this.#round(round, transactions)
      await transactions.endSending()
      await timers.endSending()
      return await this.#counted(members, transactions, timers)
    } finally {
      this.#admin.close()
      await transactions.close()
      await timers.close()
    }
  }

  async #round(round: number, load: TransactionLoad): Promise<void> {
    await progress(load)
    const { id: killed, pid } = await this.#statuses.leader()
    if (pid === null) throw new Error(`${killed} does not say its process`)
    process.kill(pid, 'SIGKILL')
    const { id: leader } = await this.#statuses.leader(killed)
    await progress(load)
    await this.#group.expect(['restart', killed])
    await this.#statuses.caughtUp()
    const { acknowledgedCount, questionCount } = load
    this.#options.say(
      `round ${round}: ${killed} killed, ${leader} leads; ${acknowledgedCount} half messages, ${questionCount} questions`,
    )
  }

  async #counted(members: readonly Member[], transactions: TransactionLoad, timers: TimerLoad): Promise<RoundsResult> {
    const committed = new Set(transactions.committed())
    const certain = [...timers.sent].filter(([, { fate }]) => fate === 'once').map(([key]) => key)
    const first = (members[0] as Member).address
    const complete = untilTrue('all that is to be there is there', COMPLETE_MS, async () => {
      const seen = new Set(
        [...(await this.#keys(first, TX_TOPIC)), ...(await this.#keys(first, TIMER_TOPIC))].map(keyOf),
      )
      return [...committed, ...certain].every((key) => seen.has(key))
    })
    // What is missing then is lost, and counted.
    await complete.catch((late: unknown) => this.#options.say(String(late)))
    // What is not to be there would come until then.
    await delay(DELAY_MS_MAX + 2 * (CHECK_AFTER_MS + CHECK_INTERVAL_MS))
    await this.#group.quiet()

    const [tx, timed] = [await this.#keys(first, TX_TOPIC), await this.#keys(first, TIMER_TOPIC)]
    const differences = await this.#differences(members, tx, timed)
    const early: string[] = []
    const lateMs: number[] = []
    for (const { key, storedMs } of timed) {
      const dueMs = timers.sent.get(key)?.dueMs
      if (dueMs === undefined) continue
      if (storedMs < dueMs) early.push(`${key} by ${dueMs - storedMs} ms`)
      lateMs.push(storedMs - dueMs)
    }
    const fates = new Map([...timers.sent].map(([key, { fate }]) => [key, fate] as const))
    const unanswered = [...fates.values()].filter((fate) => fate === 'at most once').length
    return {
      transactions: count(tx.map(keyOf), committed, () => false),
      timers: count(timed.map(keyOf), new Set(certain), (key) => fates.get(key) === 'at most once'),
      early,
      lateMs: lateMs.sort((a, b) => a - b),
      questions: transactions.questionCount,
      unacknowledged: [transactions.unacknowledgedCount, unanswered],
      recalled: [...fates.values()].filter((fate) => fate === 'never').length,
      differences,
    }
  }

  async #keys(address: string, topic: string): Promise<Stored[]> {
    const records = await until(`${address} gives all of ${topic}`, PROGRESS_MS, () =>
      this.#admin.pullAll(address, topic, 0),
    )
    return records.map(({ properties, storeTimestamp, queueOffset }) => ({
      key: getProperty(properties, PropertyName.UNIQ_KEY) ?? '',
      storedMs: storeTimestamp,
      queueOffset,
    }))
  }

  async #differences(members: readonly Member[], tx: readonly Stored[], timed: readonly Stored[]): Promise<string[]> {
    const found: string[] = []
    const wanted = JSON.stringify([tx, timed])
    for (const { id, address } of members.slice(1)) {
      const own = JSON.stringify([await this.#keys(address, TX_TOPIC), await this.#keys(address, TIMER_TOPIC)])
      if (own !== wanted) found.push(`${id} has other messages than ${members[0]?.id}`)
    }
    return found
  }
}

interface Stored {
  readonly key: string
  readonly storedMs: number
  readonly queueOffset: number
}

const keyOf = ({ key }: Stored): string => key

function count(found: readonly string[], wanted: ReadonlySet<string>, mayBe: (key: string) => boolean): Count {
  const counts = new Map<string, number>()
  for (const key of found) counts.set(key, (counts.get(key) ?? 0) + 1)
  const lost = [...wanted].filter((key) => !counts.has(key))
  const doubled = [...counts].filter(([, times]) => times > 1).map(([key]) => key)
  const unwanted = [...counts.keys()].filter((key) => !wanted.has(key) && !mayBe(key))
  const once = [...wanted].filter((key) => counts.get(key) === 1).length
  return { wanted: wanted.size, once, lost, doubled, unwanted }
}

async function progress(load: TransactionLoad): Promise<void> {
  const target = load.acknowledgedCount + SENT_PER_STEP
  await untilTrue(`${SENT_PER_STEP} more half messages are acknowledged`, PROGRESS_MS, () => {
    return load.acknowledgedCount >= target
  })
}
