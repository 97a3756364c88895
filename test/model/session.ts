/**
 * One run: the simulated group, its clients, and the model that judges what they are told.
 *
 * Keeps: each answer reaches the model with the moment at which it came; a request that is still under way when the next step begins
 * goes on meanwhile.
 */
import { decodeRecords } from '@dledger-ts/protocol'
import { type RemotingCommand, ResponseCode } from '@dledger-ts/remoting'
import { Client, createTopicRequest, pullRequest, type Request, sendRequest } from './clients.ts'
import { QueueModel, type Sent } from './queues.ts'
import { QUEUES, SENDERS, TOPIC } from './shape.ts'
import type { Step } from './steps.ts'
import { type BrokerMember, World, type WorldOptions } from './world.ts'

/** Answers that say for certain that nothing was done. */
const REFUSALS: ReadonlySet<number> = new Set([
  ResponseCode.SYSTEM_BUSY,
  ResponseCode.MESSAGE_ILLEGAL,
  ResponseCode.SERVICE_NOT_AVAILABLE,
  ResponseCode.NO_PERMISSION,
  ResponseCode.TOPIC_NOT_EXIST,
  ResponseCode.INVALID_PARAMETER,
])

/** The offsets of a pull's answer, and what it brought. */
interface PullAnswer {
  readonly code: number
  readonly records: readonly { readonly body: string; readonly queueOffset: number }[]
  readonly minOffset: number
  readonly maxOffset: number
  readonly nextOffset: number
}

export class Session {
  readonly world: World
  readonly senders: readonly Client[]
  readonly reader: Client
  readonly queues: readonly QueueModel[]
  readonly sent = new Map<string, Sent>()
  /** The steps done so far. */
  readonly done: Step[] = []
  /** Requests by what became of them, for the record. */
  readonly counts = { acknowledged: 0, refused: 0, unknown: 0, read: 0 }

  constructor(options: WorldOptions) {
    this.world = new World(options)
    this.senders = Array.from({ length: SENDERS }, (_, i) => new Client(`s${i}`, this.world))
    this.reader = new Client('reader', this.world)
    this.queues = Array.from(
      { length: QUEUES },
      (_, i) => new QueueModel(`${TOPIC}/${i}`, this.sent, (what) => this.world.violated(what)),
    )
  }

  /** Moments only grow; an event has one. */
  get moment(): number {
    return this.world.eventCount
  }

  async start(): Promise<void> {
    await this.world.start()
    const answer = await this.ask(this.reader, this.#anyLeader(), createTopicRequest(TOPIC, QUEUES))
    if (answer?.code !== ResponseCode.SUCCESS) this.world.violated(`no topic: ${answer?.code} ${answer?.remark}`)
  }

  #anyLeader(): BrokerMember {
    return this.world.leader() ?? (this.world.members[0] as BrokerMember)
  }

  /** @returns the answer; null when it was lost. */
  async ask(client: Client, member: BrokerMember, request: Request): Promise<RemotingCommand | null> {
    let told: RemotingCommand | null | undefined
    client.ask(member, request, { answered: (answer) => (told = answer), lost: () => (told = null) })
    await this.world.until('an answer or none', () => told !== undefined)
    return told ?? null
  }

  send(sender: number, member: BrokerMember, queueId: number): void {
    const { world } = this
    const queue = this.queues[queueId] as QueueModel
    const client = this.senders[sender] as Client
    const sent = queue.send(`m${this.sent.size} of ${client.name}`, this.moment)
    client.ask(member, sendRequest(TOPIC, queueId, sent.body), {
      answered: ({ code, remark, extFields }) => {
        world.say(`${sent.body} to ${queue.name}: ${code} ${remark ?? ''} ${extFields?.['queueOffset'] ?? ''}`)
        if (code === ResponseCode.SUCCESS) {
          this.counts.acknowledged++
          queue.acknowledged(sent, Number(extFields?.['queueOffset']), this.moment)
        } else if (REFUSALS.has(code)) {
          this.counts.refused++
          sent.outcome = 'refused'
          sent.remark = `${code} ${remark}`
          if (sent.offset >= 0) world.violated(`${sent.body} was refused (${sent.remark}) and seen at ${sent.offset}`)
        } else {
          this.counts.unknown++
          sent.outcome = 'unknown'
          if (code !== ResponseCode.SYSTEM_ERROR) world.violated(`${sent.body} was answered ${code} ${remark}`)
        }
      },
      lost: (error) => {
        world.say(`${sent.body} to ${queue.name}: ${error.message}`)
        this.counts.unknown++
        sent.outcome = 'unknown'
      },
    })
  }

  /** Does not wait for the answer. */
  pull(member: BrokerMember, queueId: number, from: number): void {
    const { world } = this
    const queue = this.queues[queueId] as QueueModel
    const begun = this.moment
    const { term } = world
    const led = world.leader() === member
    this.reader.ask(member, pullRequest('g', TOPIC, queueId, from), {
      answered: (answer) => {
        const pulled = pullAnswerOf(answer)
        world.say(
          `pulled ${queue.name} from ${from} of ${member.name}: ${answer.code}, ${pulled?.records.length ?? 0} records`,
        )
        if (pulled === null) return this.#pullRefused(member, answer)
        this.counts.read += pulled.records.length
        const isOfLeader = led && world.leader() === member && world.term === term
        queue.read({ ...pulled, from, begun, isOfLeader, by: member.name })
      },
      lost: () => {},
    })
  }

  #pullRefused(member: BrokerMember, { code, remark }: RemotingCommand): void {
    const isHonest =
      code === ResponseCode.SERVICE_NOT_AVAILABLE ||
      code === ResponseCode.SYSTEM_ERROR ||
      code === ResponseCode.SYSTEM_BUSY ||
      // A member that has not applied the topic yet.
      (code === ResponseCode.TOPIC_NOT_EXIST && this.world.leader() !== member)
    if (!isHonest) this.world.violated(`a pull of ${member.name} was answered ${code} ${remark}`)
  }

  /** Everybody is there again; then all members must hold the same, and what was promised. */
  async finish(): Promise<void> {
    const { world } = this
    await world.heal()
    await world.until('every request has its outcome', () =>
      [...this.senders, this.reader].every((client) => client.pending === 0),
    )
    await world.heal()
    for (const member of world.members) {
      for (let queueId = 0; queueId < QUEUES; queueId++) {
        if (world.violation !== null) return
        await this.#readWhole(member, queueId)
      }
    }
  }

  async #readWhole(member: BrokerMember, queueId: number): Promise<void> {
    const queue = this.queues[queueId] as QueueModel
    const bodies: string[] = []
    let minOffset = 0
    for (let from = 0; ;) {
      const answer = await this.ask(this.reader, member, pullRequest('g', TOPIC, queueId, from))
      const pulled = answer === null ? null : pullAnswerOf(answer)
      if (pulled === null) return this.world.violated(`${member.name} gives nothing of ${queue.name}: ${answer?.code}`)
      queue.read({ ...pulled, from, begun: this.moment, isOfLeader: false, by: member.name })
      bodies.push(...pulled.records.map(({ body }) => body))
      if (pulled.code === ResponseCode.PULL_OFFSET_MOVED && bodies.length === 0 && pulled.nextOffset > from) {
        minOffset = pulled.nextOffset
      } else if (pulled.records.length === 0) break
      from = pulled.nextOffset
    }
    queue.checkWhole(member.name, minOffset, bodies)
  }
}

/** @returns null for an answer that is no result of a pull. */
function pullAnswerOf({ code, extFields, bodyBytes }: RemotingCommand): PullAnswer | null {
  const isResult =
    code === ResponseCode.SUCCESS ||
    code === ResponseCode.PULL_NOT_FOUND ||
    code === ResponseCode.PULL_OFFSET_MOVED ||
    code === ResponseCode.PULL_RETRY_IMMEDIATELY
  if (!isResult) return null
  const records = code === ResponseCode.SUCCESS ? decodeRecords(bodyBytes) : []
  return {
    code,
    records: records.map(({ body, queueOffset }) => ({ body: body.toString(), queueOffset })),
    minOffset: Number(extFields?.['minOffset']),
    maxOffset: Number(extFields?.['maxOffset']),
    nextOffset: Number(extFields?.['nextBeginOffset']),
  }
}
