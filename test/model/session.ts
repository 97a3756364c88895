/**
 * One run: the simulated group, its clients, and the model that judges what they are told.
 *
 * Keeps: each answer reaches the model with the moment at which it came; a request that is still under way when the next step begins
 * goes on meanwhile.
 */
import { assert } from '@dledger-ts/base'
import { type RemotingCommand, ResponseCode } from '@dledger-ts/remoting'
import { Client } from './clients.ts'
import { FILTERS, filterOf, isWanted } from './filters.ts'
import { OffsetsModel, SETTLED_MS } from './offsets.ts'
import { Ordered } from './ordered.ts'
import type { Planted } from './planted.ts'
import { type Handle, PopModel } from './pops.ts'
import { Producers, TRANSACTION_KEYS } from './producers.ts'
import { QueueModel, type Reading, type SeenRecord, type Sent } from './queues.ts'
import {
  ackRequest,
  batchAckRequest,
  batchRequest,
  changedHandle,
  changeInvisibleRequest,
  commitOffsetRequest,
  createTopicRequest,
  deleteTopicRequest,
  physicalOffsetOf,
  popRequest,
  poppedOf,
  propertiesOf,
  pullAnswerOf,
  pullRequest,
  queryOffsetRequest,
  REFUSALS,
  type Request,
  sendRequest,
} from './requests.ts'
import { DELAY_LEVELS_MS, DELETABLE_TOPIC, LARGE_BODY_BYTES, QUEUES, SENDERS, TOPIC } from './shape.ts'
import type { Step, Way } from './steps.ts'
import { type BrokerMember, World } from './world.ts'

/** What is pending is delivered so long after its time, at most, by a group that is well. */
const LATE_MS_MAX = 3_000
const TRIES_MAX = 5
/** What is popped last is acknowledged before. */
const LAST_POP_MS = 60_000
/** Longer than any message is invisible, in a run. */
const INVISIBLE_MS_MAX = 5_000
/** Longer than any run. */
const ONCE_WITHIN_MS = 600_000
/** Log files go beyond this, in runs where any go: two of them. */
const RETENTION_BYTES = 131_072

/** A message on its way, which may be sent again. */
interface Sending {
  readonly sent: Sent
  readonly client: Client
  readonly way: Way
}

export interface SessionOptions {
  readonly seed: number
  /** Whether a message that is sent again under its id is stored once. */
  readonly once?: boolean
  /** Whether messages are large and old log files go. */
  readonly expires: boolean
  readonly trace?: ((line: string) => void) | null
  readonly planted?: Planted | undefined
}

export class Session {
  readonly world: World
  readonly expires: boolean
  readonly once: boolean
  readonly senders: readonly Client[]
  readonly reader: Client
  readonly queues: readonly QueueModel[]
  readonly offsets: readonly OffsetsModel[]
  readonly pops: PopModel
  readonly producers: Producers
  readonly ordered: Ordered
  readonly sent = new Map<string, Sent>()
  /** By the body, what is to be sent once more. */
  readonly #sendings = new Map<string, Sending>()
  /** The steps done so far. */
  readonly done: Step[] = []
  /** When the last message is due that waits for its time, by the wall clock. */
  #lastDueMs = 0
  /** Requests by what became of them, for the record. */
  readonly counts = {
    acknowledged: 0,
    refused: 0,
    unknown: 0,
    read: 0,
    timed: 0,
    repeated: 0,
    filtered: 0,
    committed: 0,
    rolledBack: 0,
    questions: 0,
    offsets: 0,
    popped: 0,
    popAcks: 0,
    locks: 0,
    poppedInOrder: 0,
    deletions: 0,
    expired: 0,
  }

  constructor({ seed, expires, once = false, trace = null, planted }: SessionOptions) {
    assert(!(expires && once), 'what has gone is not recognised')
    const keys: Record<string, string> = { ...TRANSACTION_KEYS }
    if (expires) keys['retentionBytes'] = String(RETENTION_BYTES)
    if (once) keys['duplicateSendWindowMs'] = String(ONCE_WITHIN_MS)
    this.once = once
    this.world = new World({ seed, keys, trace, planted })
    this.expires = expires
    this.producers = new Producers(this)
    this.senders = Array.from(
      { length: SENDERS },
      (_, i) =>
        new Client(`s${i}`, this.world, (question, address) =>
          this.producers.asked(this.senders[i] as Client, question, address),
        ),
    )
    this.reader = new Client('reader', this.world)
    const violated = (what: string): void => this.world.violated(what)
    this.queues = Array.from({ length: QUEUES }, (_, i) => {
      const isDeletable = i === QUEUES - 1
      const place = isDeletable ? { topic: DELETABLE_TOPIC, queueId: 0 } : { topic: TOPIC, queueId: i }
      return new QueueModel({ ...place, mayExpire: expires, all: this.sent, violated })
    })
    this.offsets = Array.from({ length: QUEUES - 1 }, (_, i) => new OffsetsModel(`${TOPIC}/${i}`, violated))
    this.pops = new PopModel(violated)
    this.ordered = new Ordered(this)
  }

  /** Moments only grow; an event has one. */
  get moment(): number {
    return this.world.eventCount
  }

  async start(): Promise<void> {
    await this.world.start()
    await this.#create(TOPIC, QUEUES - 1)
    await this.#create(DELETABLE_TOPIC, 1)
  }

  async #create(topic: string, queues: number): Promise<void> {
    const answer = await this.ask(this.#anyLeader(), createTopicRequest(topic, queues))
    if (answer?.code !== ResponseCode.SUCCESS) this.world.violated(`no topic: ${answer?.code} ${answer?.remark}`)
  }

  #anyLeader(): BrokerMember {
    return this.world.leader() ?? (this.world.members[0] as BrokerMember)
  }

  /** Of a group that is well; what is lost with a connection to a process of before is asked again. @returns null: a violation. */
  async ask(member: BrokerMember, request: Request): Promise<RemotingCommand | null> {
    const { world } = this
    for (let tries = 0; tries < TRIES_MAX && world.violation === null; tries++) {
      let told: RemotingCommand | null | undefined
      this.reader.ask(member, request, { answered: (answer) => (told = answer), lost: () => (told = null) })
      await world.until('an answer or none', () => told !== undefined)
      if (told !== null && told !== undefined) return told
      await world.run(100)
    }
    world.violated(`${member.name} does not answer request ${request.code}`)
    return null
  }

  // ------------------------------------------------------------------------------------------------ sends

  send(sender: number, member: BrokerMember, queueIndex: number, way: Way): void {
    const queue = this.queues[queueIndex] as QueueModel
    const client = this.senders[sender] as Client
    const sending = { sent: this.#newMessage(client, queue, way), client, way }
    // Half messages are none that are recognised; those of a topic that was deleted are gone.
    const isRecognised = this.once && queue.topic === TOPIC && way.kind !== 'half'
    if (isRecognised) this.#sendings.set(sending.sent.body, sending)
    this.#send(sending, member)
  }

  /** As a client does that got no answer, or one that it does not believe. */
  sendAgain(member: BrokerMember, back: number): void {
    const sending = [...this.#sendings.values()].at(-1 - back)
    if (sending === undefined) return
    this.counts.repeated++
    sending.sent.queue.sendAgain(sending.sent)
    this.#send(sending, member)
  }

  #send({ sent, client, way }: Sending, member: BrokerMember): void {
    const { world } = this
    const { queue } = sent
    const request = sendRequest(queue.topic, queue.queueId, this.#bodyOf(sent), propertiesOf(way, sent.body))
    client.ask(member, request, {
      answered: (answer) => {
        const { code, extFields } = answer
        if (code !== ResponseCode.SUCCESS) return this.#notStored([sent], answer)
        const offset = Number(extFields?.['queueOffset'])
        world.say(`${sent.body} is stored in ${queue.name} at ${offset}`)
        this.counts.acknowledged++
        if (sent.kind === 'plain') queue.acknowledged(sent, offset, this.moment)
        else if (sent.kind === 'timed') queue.acknowledged(sent, -1, this.moment)
        else this.producers.prepared(sent, physicalOffsetOf(extFields?.['msgId'] ?? ''), offset)
      },
      lost: (error) => this.#lost([sent], error),
    })
  }

  sendBatch(sender: number, member: BrokerMember, queueIndex: number, count: number): void {
    const { world } = this
    const queue = this.queues[queueIndex] as QueueModel
    const client = this.senders[sender] as Client
    const batch = Array.from({ length: count }, () => this.#newMessage(client, queue, { kind: 'plain' }))
    const messages = batch.map((sent) => [Buffer.from(sent.body), propertiesOf({ kind: 'plain' }, sent.body)] as const)
    client.ask(member, batchRequest(queue.topic, queue.queueId, messages), {
      answered: (answer) => {
        if (answer.code !== ResponseCode.SUCCESS) return this.#notStored(batch, answer)
        const first = Number(answer.extFields?.['queueOffset'])
        world.say(`${batch.map(({ body }) => body).join(', ')} are stored in ${queue.name} from ${first} on`)
        this.counts.acknowledged += count
        batch.forEach((sent, i) => queue.acknowledged(sent, first + i, this.moment))
      },
      lost: (error) => this.#lost(batch, error),
    })
  }

  #newMessage(client: Client, queue: QueueModel, way: Way): Sent {
    const kind = way.kind === 'plain' || way.kind === 'half' ? way.kind : 'timed'
    const sent = queue.send(`m${this.sent.size} of ${client.name}`, kind, this.moment)
    if (way.kind === 'level' || way.kind === 'timer') {
      const delayMs = way.kind === 'timer' ? way.ms : (DELAY_LEVELS_MS[way.level - 1] as number)
      sent.notBeforeMs = Math.floor(this.world.wallMs) + delayMs
      // It counts from when it is stored, which may be as late as its answer.
      this.#lastDueMs = Math.max(this.#lastDueMs, sent.notBeforeMs + 6_000)
      this.counts.timed++
    }
    return sent
  }

  #bodyOf({ body }: Sent): Buffer {
    return Buffer.from(this.expires ? `${body}|`.padEnd(LARGE_BODY_BYTES, '.') : body)
  }

  #notStored(all: readonly Sent[], { code, remark }: RemotingCommand): void {
    for (const sent of all) {
      this.world.say(`${sent.body} is answered ${code} ${remark}`)
      if (REFUSALS.has(code)) {
        this.counts.refused++
        sent.queue.refused(sent, `${code} ${remark}`)
      } else {
        this.counts.unknown++
        sent.queue.lost(sent)
        if (code !== ResponseCode.SYSTEM_ERROR) this.world.violated(`${sent.body} was answered ${code} ${remark}`)
      }
    }
  }

  #lost(all: readonly Sent[], error: Error): void {
    for (const sent of all) {
      this.world.say(`${sent.body}: ${error.message}`)
      this.counts.unknown++
      sent.queue.lost(sent)
    }
  }

  // ------------------------------------------------------------------------------------------------ pulls and offsets

  /** Does not wait for the answer. */
  pull(member: BrokerMember, queueIndex: number, from: number): void {
    const { world } = this
    const queue = this.queues[queueIndex] as QueueModel
    const begun = this.moment
    const isStillLeader = this.#leadership(member)
    this.reader.ask(member, pullRequest(queue.topic, queue.queueId, from), {
      answered: (answer) => {
        const pulled = pullAnswerOf(answer)
        const { code, remark } = answer
        world.say(`pulled ${queue.name} from ${from} of ${member.name}: ${code} ${pulled?.records.length ?? remark}`)
        if (pulled === null) return this.#pullRefused(member, queue, answer)
        this.counts.read += pulled.records.length
        queue.read({ ...pulled, from, begun, isOfLeader: isStillLeader(), by: member.name })
      },
      lost: () => {},
    })
  }

  /** Does not wait for the answer. */
  pullFiltered(member: BrokerMember, queueIndex: number, from: number, filter: number): void {
    const queue = this.queues[queueIndex] as QueueModel
    const begun = this.moment
    const isStillLeader = this.#leadership(member)
    this.reader.ask(member, pullRequest(queue.topic, queue.queueId, from, filterOf(filter)), {
      answered: (answer) => {
        const pulled = pullAnswerOf(answer)
        if (pulled === null) return this.#pullRefused(member, queue, answer)
        this.#readFiltered(queue, { ...pulled, from, begun, isOfLeader: isStillLeader(), by: member.name }, filter)
      },
      lost: () => {},
    })
  }

  #readFiltered(queue: QueueModel, reading: Reading & { readonly code: number }, filter: number): void {
    // Who is sent elsewhere has passed nothing.
    if (reading.code === ResponseCode.PULL_OFFSET_MOVED) return
    this.counts.filtered += reading.records.length
    queue.readFiltered(reading, (body) => isWanted(filter, body))
  }

  /** @returns whether the member has led since, in the newest term. */
  #leadership(member: BrokerMember): () => boolean {
    const { world } = this
    const { term } = world
    const led = world.leader() === member
    return () => led && world.leader() === member && world.term === term
  }

  #pullRefused(member: BrokerMember, { topic }: QueueModel, { code, remark }: RemotingCommand): void {
    const isHonest =
      code === ResponseCode.SERVICE_NOT_AVAILABLE ||
      code === ResponseCode.SYSTEM_ERROR ||
      code === ResponseCode.SYSTEM_BUSY ||
      // It was deleted, or this member has not applied it yet.
      (code === ResponseCode.TOPIC_NOT_EXIST && (topic === DELETABLE_TOPIC || this.world.leader() !== member))
    if (!isHonest) this.world.violated(`a pull of ${member.name} was answered ${code} ${remark}`)
  }

  commitOffset(member: BrokerMember, queueIndex: number, by: number): void {
    const { world } = this
    const model = this.offsets[queueIndex] as OffsetsModel
    const commit = model.next(by, this.moment)
    const { offset } = commit
    // Whoever does it then leads; a leader that was deposed meanwhile may answer before it hears of it.
    const { disturbances, term } = world
    const wasWhole = world.isWhole()
    this.reader.ask(member, commitOffsetRequest(TOPIC, queueIndex, offset), {
      answered: ({ code }) => {
        world.say(`offset ${offset} of ${TOPIC}/${queueIndex}: ${code}`)
        if (code !== ResponseCode.SUCCESS) return
        this.counts.offsets++
        commit.answeredAt = this.moment
        if (!wasWhole) return
        world.afterMs(SETTLED_MS, () => {
          if (world.disturbances === disturbances && world.term === term && world.isWhole()) model.settle(commit)
        })
      },
      lost: () => {},
    })
  }

  queryOffset(member: BrokerMember, queueIndex: number): void {
    const model = this.offsets[queueIndex] as OffsetsModel
    const { settled } = model
    const isStillLeader = this.#leadership(member)
    this.reader.ask(member, queryOffsetRequest(TOPIC, queueIndex), {
      answered: ({ code, extFields }) => {
        this.world.say(`${member.name} tells offset ${extFields?.['offset'] ?? code} of ${TOPIC}/${queueIndex}`)
        const isOfLeader = isStillLeader()
        if (code === ResponseCode.SUCCESS) {
          model.told(Number(extFields?.['offset']), isOfLeader ? settled : null, member.name)
        } else if (code === ResponseCode.QUERY_NOT_FOUND) {
          if (isOfLeader) model.told(null, settled, member.name)
        } else if (code !== ResponseCode.SYSTEM_ERROR && !REFUSALS.has(code)) {
          this.world.violated(`${member.name} answers a query of an offset with ${code}`)
        }
      },
      lost: () => {},
    })
  }

  // ------------------------------------------------------------------------------------------------ pops

  pop(member: BrokerMember, count: number, invisibleMs: number): void {
    this.pops.asked++
    const begun = this.moment
    this.reader.ask(member, popRequest(TOPIC, count, invisibleMs), {
      answered: (answer) => this.#popped(answer, begun, member),
      lost: () => {},
    })
  }

  #popped(answer: RemotingCommand, begun: number, member: BrokerMember): void {
    for (const { record, ...handle } of poppedOf(answer)) {
      this.world.say(`${member.name} pops ${handle.body} until ${handle.untilMs}`)
      this.counts.popped++
      if (record !== null) this.queues[handle.queueId]?.see(record, member.name, false)
      this.pops.given(handle, begun, member.name)
    }
  }

  ackPopped(member: BrokerMember, count: number): void {
    this.#acknowledge(member, this.pops.out.slice(0, count))
  }

  /** One alone, several by one request. */
  #acknowledge(member: BrokerMember, handles: readonly Handle[]): void {
    const [first] = handles
    if (first === undefined) return
    for (const handle of handles) this.pops.acknowledging(handle)
    this.reader.ask(member, handles.length === 1 ? ackRequest(first) : batchAckRequest(handles), {
      answered: ({ code, remark }) => {
        this.world.say(`ack of ${handles.map(({ body }) => body).join(', ')}: ${code} ${remark ?? ''}`)
        if (code !== ResponseCode.SUCCESS) return
        for (const handle of handles) {
          this.counts.popAcks++
          this.pops.acknowledged(handle, this.moment, this.world.wallMs)
        }
      },
      lost: () => {},
    })
  }

  changeInvisible(member: BrokerMember, count: number, invisibleMs: number): void {
    for (const handle of this.pops.out.slice(0, count)) {
      this.pops.changing(handle)
      this.reader.ask(member, changeInvisibleRequest(handle, invisibleMs), {
        answered: (answer) => {
          if (answer.code !== ResponseCode.SUCCESS) return
          this.pops.changed(handle, changedHandle(handle, answer), this.world.wallMs)
        },
        lost: () => {},
      })
    }
  }

  // ------------------------------------------------------------------------------------------------ topics

  deleteTopic(member: BrokerMember): void {
    const queue = this.queues[QUEUES - 1] as QueueModel
    const begun = this.moment
    queue.deletionBegins()
    this.reader.ask(member, deleteTopicRequest(DELETABLE_TOPIC), {
      answered: ({ code, remark }) => {
        this.world.say(`${DELETABLE_TOPIC} is deleted: ${code} ${remark ?? ''}`)
        if (code !== ResponseCode.SUCCESS) return
        this.counts.deletions++
        queue.deletionEnds(begun)
      },
      lost: () => {},
    })
  }

  createTopic(member: BrokerMember): void {
    this.reader.ask(member, createTopicRequest(DELETABLE_TOPIC, 1), { answered: () => {}, lost: () => {} })
  }

  // ------------------------------------------------------------------------------------------------ the end

  /** Everybody is there again; then all members must hold the same, and what was promised. */
  async finish(): Promise<void> {
    const { world } = this
    await world.heal()
    await world.until('every request has its outcome', () =>
      [...this.senders, this.reader].every((client) => client.pending === 0),
    )
    const waitMs = this.#lastDueMs + LATE_MS_MAX - world.wallMs
    if (waitMs > 0) await world.run(waitMs)
    await world.heal()
    if (world.violation === null) await this.producers.endAll()
    await world.heal()
    if (world.violation === null) await this.#create(DELETABLE_TOPIC, 1)
    await world.heal()
    const seen = new Set<string>()
    for (const member of world.members) {
      for (const queue of this.queues) {
        if (world.violation !== null) return
        const bodies = await this.#readWhole(member, queue)
        if (queue.topic === TOPIC) for (const body of bodies) seen.add(body)
      }
    }
    for (const queue of this.queues) await this.#readWholeFiltered(this.#anyLeader(), queue)
    for (let queueId = 0; queueId < this.offsets.length; queueId++) this.queryOffset(this.#anyLeader(), queueId)
    await world.until('the offsets are told', () => this.reader.pending === 0)
    if (this.pops.asked > 0 && world.violation === null) await this.#popAll(seen)
    await this.ordered.popAll(this.queues.map(({ knownEnd }) => knownEnd))
  }

  /** A record was given out by other means than a pull. */
  see(queueId: number, record: SeenRecord, by: string): void {
    this.queues[queueId]?.see(record, by, false)
  }

  async #readWhole(member: BrokerMember, queue: QueueModel): Promise<readonly string[]> {
    const bodies: string[] = []
    let minOffset = 0
    for (let from = 0; ;) {
      const answer = await this.ask(member, pullRequest(queue.topic, queue.queueId, from))
      const pulled = answer === null ? null : pullAnswerOf(answer)
      if (pulled === null) {
        this.world.violated(`${member.name} gives nothing of ${queue.name}: ${answer?.code} ${answer?.remark}`)
        return bodies
      }
      queue.read({ ...pulled, from, begun: this.moment, isOfLeader: false, by: member.name })
      bodies.push(...pulled.records.map(({ body }) => body))
      if (pulled.code === ResponseCode.PULL_OFFSET_MOVED && bodies.length === 0 && pulled.nextOffset > from) {
        minOffset = pulled.nextOffset
      } else if (pulled.records.length === 0) break
      from = pulled.nextOffset
    }
    if (this.expires) this.counts.expired += minOffset
    queue.checkWhole(member.name, minOffset, bodies)
    return bodies
  }

  /** All is placed by now: no message that a filter wants may be missing. */
  async #readWholeFiltered(member: BrokerMember, queue: QueueModel): Promise<void> {
    for (let filter = 0; filter < FILTERS.length; filter++) {
      for (let from = 0; this.world.violation === null;) {
        const answer = await this.ask(member, pullRequest(queue.topic, queue.queueId, from, filterOf(filter)))
        const pulled = answer === null ? null : pullAnswerOf(answer)
        if (pulled === null) return this.world.violated(`${member.name} gives nothing of ${queue.name} to a filter`)
        this.#readFiltered(queue, { ...pulled, from, begun: this.moment, isOfLeader: false, by: member.name }, filter)
        if (pulled.nextOffset <= from) break
        from = pulled.nextOffset
      }
    }
  }

  /** Everything that can be seen comes to the group that pops, and is acknowledged. */
  async #popAll(seen: ReadonlySet<string>): Promise<void> {
    const { world } = this
    const fromMs = Math.floor(world.wallMs)
    for (let emptyMs = 0; emptyMs <= INVISIBLE_MS_MAX + LATE_MS_MAX && world.violation === null;) {
      const member = this.#anyLeader()
      const begun = this.moment
      const answer = await this.ask(member, popRequest(TOPIC, 32, LAST_POP_MS))
      if (answer === null || world.violation !== null) return world.violated('the last pops get no answer')
      const before = this.counts.popped
      this.#popped(answer, begun, member)
      emptyMs = this.counts.popped > before ? 0 : emptyMs + 500
      if (this.counts.popped === before) await world.run(500)
      // What came out before the end comes again first.
      this.#acknowledge(
        member,
        this.pops.out.filter(({ poppedMs }) => poppedMs >= fromMs),
      )
      await world.until('the acknowledgements are answered', () => this.reader.pending === 0)
    }
    this.pops.checkAll(await this.#stillThere(seen))
  }

  /** What went from the front meanwhile need not have come out. */
  async #stillThere(seen: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    if (!this.expires) return seen
    const there = new Set<string>()
    for (const queue of this.queues) {
      if (queue.topic !== TOPIC || this.world.violation !== null) continue
      for (const body of await this.#readWhole(this.#anyLeader(), queue)) if (seen.has(body)) there.add(body)
    }
    return there
  }
}
