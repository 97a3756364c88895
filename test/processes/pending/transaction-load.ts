/**
 * A producer of transactions that never stops, whoever leads. What becomes of message n is decided by n alone:
 *
 *   commit, rollback   told at once, to any member
 *   late               committed a while later, twice, to two members: a leader may have died in between
 *   ask-commit, …      told only when the broker asks
 *
 * A half message whose send was not acknowledged is rolled back when the broker asks for it. No send is repeated, so a key has one
 * half message at most.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { decodeRecord, getProperty, parseOffsetMsgId, PropertyName } from '@dledger-ts/protocol'
import {
  CheckTransactionStateRequest,
  type Connection,
  createRequest,
  encodeHeartbeat,
  EndTransactionRequest,
  RemotingClient,
  type RemotingCommand,
  RequestCode,
} from '@dledger-ts/remoting'
import { ANSWER_MS, ended, type Member, sendRequest } from './sending.ts'

const OUTCOMES = ['commit', 'rollback', 'late', 'ask-commit', 'ask-rollback'] as const
type Outcome = (typeof OUTCOMES)[number]

const GROUP = 'pending-producers'
const LATE_MS_MAX = 1_500
const HEARTBEAT_MS = 500
const COMMIT = 8
const ROLLBACK = 12
const HALF_SYS_FLAG = 4

export interface TransactionLoadOptions {
  readonly members: readonly Member[]
  readonly topic: string
  readonly lanes: number
  readonly paceMs: number
}

export class TransactionLoad {
  readonly #options: TransactionLoadOptions
  readonly #client: RemotingClient
  readonly #underWay: Promise<void>[] = []
  readonly #acknowledged = new Map<string, Outcome>()
  /** Sent, and neither acknowledged nor given up: a question for one of these comes again. */
  readonly #preparing = new Set<string>()
  #isEnding = false
  #isClosed = false
  #next = 0
  #unacknowledged = 0
  #questions = 0

  constructor(options: TransactionLoadOptions) {
    this.#options = options
    this.#client = new RemotingClient({
      processors: new Map([
        [
          RequestCode.CHECK_TRANSACTION_STATE,
          (connection: Connection, request: RemotingCommand) => {
            this.#answerQuestion(connection, request)
            return undefined
          },
        ],
      ]),
    })
  }

  get acknowledgedCount(): number {
    return this.#acknowledged.size
  }

  /** Half messages of unknown fate: stored or not. */
  get unacknowledgedCount(): number {
    return this.#unacknowledged
  }

  get questionCount(): number {
    return this.#questions
  }

  /** Keys that must be in the topic, once each; no other one may be. */
  committed(): string[] {
    return [...this.#acknowledged].filter(([, outcome]) => isCommit(outcome)).map(([key]) => key)
  }

  start(): void {
    for (let i = 0; i < this.#options.lanes; i++) this.#underWay.push(this.#lane())
    this.#underWay.push(this.#heartbeats())
  }

  /** Sends no more; questions are still answered. */
  async endSending(): Promise<void> {
    this.#isEnding = true
    await Promise.all(this.#underWay.splice(0, this.#options.lanes))
  }

  async close(): Promise<void> {
    this.#isEnding = true
    this.#isClosed = true
    this.#client.close()
    await Promise.all(this.#underWay)
  }

  async #lane(): Promise<void> {
    const { paceMs } = this.#options
    const late: Promise<void>[] = []
    while (!this.#isEnding) {
      const n = this.#next++
      const half = await this.#prepare(n)
      if (half !== undefined) {
        const outcome = outcomeOf(n)
        if (outcome === 'late') late.push(this.#commitLate(half, n))
        else if (outcome === 'commit' || outcome === 'rollback') await this.#end(half, outcome, n + 1)
      }
      await delay(paceMs)
    }
    await Promise.all(late)
  }

  /** @returns the half message that was acknowledged. */
  async #prepare(n: number): Promise<Half | undefined> {
    const { topic } = this.#options
    const key = keyOf(n)
    const properties = `TRAN_MSG\u0001true\u0002PGROUP\u0001${GROUP}\u0002UNIQ_KEY\u0001${key}\u0002`
    const request = sendRequest({ group: GROUP, topic, sysFlag: HALF_SYS_FLAG, properties, body: key })
    this.#preparing.add(key)
    const answer = await ended(this.#client.invoke(this.#member(n), request, ANSWER_MS))
    this.#preparing.delete(key)
    if (answer?.code !== 0) {
      this.#unacknowledged++
      return undefined
    }
    this.#acknowledged.set(key, outcomeOf(n))
    return {
      key,
      commitLogOffset: parseOffsetMsgId(answer.extFields?.['msgId'] ?? '').physicalOffset,
      tranStateTableOffset: Number(answer.extFields?.['queueOffset']),
    }
  }

  async #commitLate(half: Half, n: number): Promise<void> {
    await delay((n * 7_919) % LATE_MS_MAX)
    await this.#end(half, 'late', n)
    await this.#end(half, 'late', n + 1)
  }

  /** What is not told for want of a leader is asked for later. */
  async #end(half: Half, outcome: Outcome, n: number): Promise<void> {
    await ended(this.#client.invoke(this.#member(n), endRequest(half, outcome, false), ANSWER_MS))
  }

  #answerQuestion(connection: Connection, request: RemotingCommand): void {
    this.#questions++
    const { commitLogOffset, tranStateTableOffset } = CheckTransactionStateRequest.decode(request.extFields)
    const key = getProperty(decodeRecord(request.bodyBytes).properties, PropertyName.UNIQ_KEY) ?? ''
    if (this.#preparing.has(key)) return
    const outcome = this.#acknowledged.get(key) ?? 'rollback'
    connection.oneway(endRequest({ key, commitLogOffset, tranStateTableOffset }, outcome, true))
  }

  async #heartbeats(): Promise<void> {
    const body = encodeHeartbeat({
      clientID: 'pending',
      consumerDataSet: [],
      producerDataSet: [{ groupName: GROUP }],
      heartbeatFingerprint: 0,
      withoutSub: false,
    })
    while (!this.#isClosed) {
      await Promise.all(
        this.#options.members.map(({ address }) =>
          ended(this.#client.invoke(address, createRequest(RequestCode.HEART_BEAT, {}, body), ANSWER_MS)),
        ),
      )
      await delay(HEARTBEAT_MS)
    }
  }

  #member(n: number): string {
    const { members } = this.#options
    return (members[n % members.length] as Member).address
  }
}

interface Half {
  readonly key: string
  readonly commitLogOffset: number
  readonly tranStateTableOffset: number
}

function keyOf(n: number): string {
  return `tx-${n}`
}

function outcomeOf(n: number): Outcome {
  return OUTCOMES[n % OUTCOMES.length] as Outcome
}

function isCommit(outcome: Outcome): boolean {
  return !outcome.endsWith('rollback')
}

function endRequest({ key, ...place }: Half, outcome: Outcome, fromTransactionCheck: boolean): RemotingCommand {
  return EndTransactionRequest.request({
    topic: undefined,
    producerGroup: GROUP,
    ...place,
    commitOrRollback: isCommit(outcome) ? COMMIT : ROLLBACK,
    fromTransactionCheck,
    msgId: key,
    transactionId: key,
    brokerName: undefined,
  })
}
