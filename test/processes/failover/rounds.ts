/**
 * Round after round the leader is struck, while senders and a consumer never stop. Real processes, real files, real sockets.
 *
 *   kill   SIGKILL, and a start when another leads
 *   pause  SIGSTOP, and SIGCONT when another leads: it wakes up as a leader with connections, clients and entries of its own
 */
import { tcpSockets } from '@dledger-ts/remoting'
import { Admin } from '../group/admin.ts'
import { DeliveryLedger } from '../group/delivery-ledger.ts'
import { FastTry, type FastTryOptions } from '../group/fast-try.ts'
import { firstDifferenceBefore, logDirectory, readEntries, readFiles } from '../group/log-files.ts'
import { AUTHORITY, tlsSockets } from '../group/tls.ts'
import { untilTrue } from '../group/until.ts'
import { Load, orderedSeries, TAG } from './load.ts'
import { fileViolations, offsetViolations, orderViolations, queueViolations } from './verify.ts'

const QUEUE_COUNT = 4
const CONCURRENT_SENDERS = 2
/** Acknowledged in each round before the leader is killed, and again from its successor. */
const ACKNOWLEDGED_PER_STEP = 200
const PROGRESS_TIMEOUT_MS = 60_000
const CONSUMED_TIMEOUT_MS = 120_000
/**
 * The client persists offsets every 5 s, the group appends them within 200 ms. Only a rebalance makes a live consumer ask for
 * them, so what was consumed longer ago than this must not come again.
 */
const OFFSET_LAG_MS = 7_000
/** Larger than the largest message with its overhead, small enough for a run to fill several. */
const LOG_FILE_BYTES = 8 * 1024 * 1024

export interface RoundsOptions extends FastTryOptions {
  rounds: number
  blow: 'kill' | 'pause'
  flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  /** Told one line at a time what happens. */
  say: (line: string) => void
}

export interface RoundsResult {
  acknowledged: number
  /** Sends whose outcome their sender does not know. */
  failed: number
  lost: string[]
  /** Delivered more than once. */
  redelivered: number
  /** In the log more than once, because a client tried again without knowing the outcome. */
  storedTwice: number
  /** For each round, the longest time without an acknowledgement: what the death of the leader cost the senders. */
  outageMs: number[]
  violations: string[]
}

/** The counts on one line. */
export function summary(result: RoundsResult): string {
  const { acknowledged, lost, redelivered, storedTwice, failed, outageMs, violations } = result
  const sorted = outageMs.toSorted((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0
  return (
    `acknowledged ${acknowledged}, lost ${lost.length}, duplicated ${redelivered + storedTwice} ` +
    `(${redelivered} delivered twice, ${storedTwice} stored twice), ${failed} sends with unknown outcome, ` +
    `${violations.length} violations; longest gap between acknowledgements: median ${median.toFixed(0)} ms, ` +
    `maximum ${(sorted.at(-1) ?? 0).toFixed(0)} ms`
  )
}

export async function runRounds(options: RoundsOptions): Promise<RoundsResult> {
  const conf = { mappedFileSizeCommitLog: String(LOG_FILE_BYTES), ...options.conf }
  const group = await FastTry.create({ ...options, conf })
  try {
    await group.start('--fresh', '--flush', options.flush)
    return await new Rounds(group, options).run()
  } finally {
    await group.close()
  }
}

class Rounds {
  readonly #group: FastTry
  readonly #options: RoundsOptions
  readonly #topic = 'FailoverRounds'
  readonly #ledger = new DeliveryLedger([TAG])
  readonly #load: Load
  readonly #outageMs: number[] = []
  #firstBlowAtMs = Number.POSITIVE_INFINITY

  constructor(group: FastTry, options: RoundsOptions) {
    this.#group = group
    this.#options = options
    this.#load = new Load({
      namesrv: group.namesrv,
      tls: options.tls === undefined ? false : { authServer: true, trustCertPath: AUTHORITY },
      topic: this.#topic,
      queueCount: QUEUE_COUNT,
      concurrentSenders: CONCURRENT_SENDERS,
      ledger: this.#ledger,
    })
  }

  async run(): Promise<RoundsResult> {
    const admin = new Admin(this.#group.namesrv, this.#options.tls === undefined ? tcpSockets : tlsSockets())
    try {
      await admin.createTopic(this.#topic, QUEUE_COUNT)
      await this.#load.start()
      for (let round = 1; round <= this.#options.rounds; round++) await this.#round(round)
      await this.#load.endSending()
      await this.#consumed()
      await this.#load.close()
      return this.#result([...(await this.#verify(admin)), ...(await this.#verifyAfterStop())])
    } finally {
      admin.close()
      await this.#load.close()
    }
  }

  async #round(round: number): Promise<void> {
    await this.#progress(ACKNOWLEDGED_PER_STEP)
    this.#load.takeLongestGapMs()
    this.#firstBlowAtMs = Math.min(this.#firstBlowAtMs, performance.now())
    const struck = await this.#strike()
    const leader = await this.#group.leader(struck)
    await this.#progress(ACKNOWLEDGED_PER_STEP)
    const outageMs = this.#load.takeLongestGapMs()
    this.#outageMs.push(outageMs)
    await this.#group.expect([this.#options.blow === 'kill' ? 'restart' : 'resume', struck])
    await this.#group.caughtUp()
    this.#options.say(
      `round ${round}: ${this.#options.blow} ${struck}, ${leader} leads; ${outageMs.toFixed(0)} ms without an acknowledgement; ` +
        `${this.#load.acknowledgedCount} acknowledged`,
    )
  }

  /** Returns the id of the leader that was struck. */
  async #strike(): Promise<string> {
    if (this.#options.blow === 'kill') return this.#group.killLeader()
    const leader = await this.#group.leader()
    await this.#group.expect(['pause', leader])
    return leader
  }

  async #progress(count: number): Promise<void> {
    const target = this.#load.acknowledgedCount + count
    await untilTrue(`${count} more messages are acknowledged`, PROGRESS_TIMEOUT_MS, () => {
      return this.#load.acknowledgedCount >= target
    })
  }

  /** Waits until all that was acknowledged is consumed; what is missing then is lost, and counted. */
  async #consumed(): Promise<void> {
    const waiting = untilTrue('all that was acknowledged is consumed', CONSUMED_TIMEOUT_MS, () => {
      return this.#load.series.every((series) => this.#ledger.missing(series).length === 0)
    })
    await waiting.catch((late: unknown) => this.#options.say(String(late)))
  }

  async #verify(admin: Admin): Promise<string[]> {
    const { brokers } = await this.#group.quiet()
    const all = this.#load.series.flatMap((series) => this.#ledger.acknowledgedOf(series))
    const violations: string[] = []
    for (let queueId = 0; queueId < QUEUE_COUNT; queueId++) {
      violations.push(...orderViolations(this.#ledger.acknowledgedOf(orderedSeries(queueId))))
    }
    for (const broker of brokers) {
      violations.push(...(await offsetViolations(admin, broker, all)))
      violations.push(...(await queueViolations(admin, broker, { topic: this.#topic, count: QUEUE_COUNT }, all)))
    }
    violations.push(...fileViolations(brokers, all))
    this.#options.say(
      `${all.length} messages looked up by offset, by queue and in the files of ${brokers.length} members`,
    )
    return violations
  }

  /** The last to stop may have appended entries that the first never saw; what two have they have alike. */
  async #verifyAfterStop(): Promise<string[]> {
    const { brokers } = await this.#group.status()
    await this.#group.expect(['stop'])
    const logs = brokers.map(({ id, storePath }) => {
      const data = readFiles(logDirectory(storePath), 'data')
      return { id, data, end: readEntries(data).end }
    })
    const end = Math.min(...logs.map((log) => log.end))
    const [first, ...others] = logs
    return others.flatMap((other) => {
      const difference = firstDifferenceBefore(end, first?.data ?? [], other.data)
      return difference === undefined
        ? []
        : [`stopped, ${first?.id} and ${other.id} differ before ${end}: ${difference}`]
    })
  }

  #result(found: readonly string[]): RoundsResult {
    const verdicts = this.#load.series.map((series) => ({ series, ...this.#ledger.judge(series) }))
    const sum = (pick: (verdict: (typeof verdicts)[number]) => number) =>
      verdicts.reduce((total, verdict) => total + pick(verdict), 0)
    const tooOld = verdicts.flatMap(({ series }) => {
      return this.#ledger.redeliveredAfterBeingConsumedBefore(series, this.#firstBlowAtMs - OFFSET_LAG_MS)
    })
    return {
      acknowledged: sum((verdict) => verdict.acknowledged),
      failed: this.#load.failedCount,
      lost: verdicts.flatMap((verdict) => verdict.lost),
      redelivered: sum((verdict) => verdict.redelivered),
      storedTwice: sum((verdict) => verdict.storedTwice),
      outageMs: this.#outageMs,
      violations: [
        ...verdicts.flatMap((verdict) => verdict.violations),
        ...this.#load.violations,
        ...tooOld.map((text) => `consumed long before any failover, delivered again: ${text}`),
        ...found,
      ],
    }
  }
}
