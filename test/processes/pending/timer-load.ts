/**
 * A producer of messages that are delayed by any time, whoever leads. Some are called back a while later. No send and no recall is
 * repeated: one without an answer may have been done or not.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { RecallMessageRequest, RemotingClient, ResponseCode } from '@dledger-ts/remoting'
import { ANSWER_MS, ended, type Member, sendRequest } from './sending.ts'

const GROUP = 'pending-timers'
/** Longer than a failover takes: most wait through one. */
export const DELAY_MS_MAX = 5_000
const RECALL_EVERY = 8
const RECALL_AFTER_MS_MAX = 3_000

/** What may be in the topic of one message. */
export type Fate = 'once' | 'never' | 'at most once'

export interface SentTimer {
  /** Not before this time of the wall clock. */
  readonly dueMs: number
  fate: Fate
}

export interface TimerLoadOptions {
  readonly members: readonly Member[]
  readonly topic: string
  readonly lanes: number
  readonly paceMs: number
}

export class TimerLoad {
  /** By key, also those whose send was not acknowledged. */
  readonly sent = new Map<string, SentTimer>()
  readonly #options: TimerLoadOptions
  readonly #client = new RemotingClient()
  readonly #lanes: Promise<void>[] = []
  #isEnding = false
  #next = 0

  constructor(options: TimerLoadOptions) {
    this.#options = options
  }

  start(): void {
    for (let i = 0; i < this.#options.lanes; i++) this.#lanes.push(this.#lane())
  }

  async endSending(): Promise<void> {
    this.#isEnding = true
    await Promise.all(this.#lanes.splice(0))
  }

  async close(): Promise<void> {
    await this.endSending()
    this.#client.close()
  }

  async #lane(): Promise<void> {
    const recalls: Promise<void>[] = []
    while (!this.#isEnding) {
      const n = this.#next++
      const handle = await this.#send(n)
      if (handle !== undefined && n % RECALL_EVERY === 0) recalls.push(this.#recall(n, handle))
      await delay(this.#options.paceMs)
    }
    await Promise.all(recalls)
  }

  /** @returns the handle of the message when it was acknowledged. */
  async #send(n: number): Promise<string | undefined> {
    const delayMs = 200 + ((n * 7_919) % (DELAY_MS_MAX - 200))
    const key = `timer-${n}`
    const timer: SentTimer = { dueMs: Date.now() + delayMs, fate: 'at most once' }
    this.sent.set(key, timer)
    const properties = `UNIQ_KEY\u0001${key}\u0002TIMER_DELAY_MS\u0001${delayMs}\u0002`
    const request = sendRequest({ group: GROUP, topic: this.#options.topic, sysFlag: 0, properties, body: key })
    const answer = await ended(this.#client.invoke(this.#member(n), request, ANSWER_MS))
    if (answer?.code !== 0) return undefined
    timer.fate = 'once'
    const handle = answer.extFields?.['recallHandle']
    if (handle === undefined) throw new Error(`${key} was stored without a recall handle`)
    return handle
  }

  async #recall(n: number, recallHandle: string): Promise<void> {
    const { topic } = this.#options
    await delay((n * 104_729) % RECALL_AFTER_MS_MAX)
    const timer = this.sent.get(`timer-${n}`) as SentTimer
    timer.fate = 'at most once'
    const request = RecallMessageRequest.request({
      producerGroup: GROUP,
      topic,
      recallHandle,
      brokerName: undefined,
    })
    const answer = await ended(this.#client.invoke(this.#member(n + 1), request, ANSWER_MS))
    if (answer?.code === ResponseCode.SUCCESS) timer.fate = 'never'
    else if (answer?.code === ResponseCode.ILLEGAL_OPERATION) timer.fate = 'once'
  }

  #member(n: number): string {
    const { members } = this.#options
    return (members[n % members.length] as Member).address
  }
}
