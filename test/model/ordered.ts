/** Clients that consume in order: by locks of queues, and by pops of one group; what they are told goes to the models. */
import { type RemotingCommand, ResponseCode } from '@dledger-ts/remoting'
import type { Client } from './clients.ts'
import { LockModel } from './locks.ts'
import { OrderedPopModel } from './ordered-pops.ts'
import type { Handle } from './pops.ts'
import type { SeenRecord } from './queues.ts'
import {
  ackRequest,
  lockedQueues,
  lockRequest,
  ORDERED_GROUP,
  orderedPopRequest,
  poppedOf,
  unlockRequest,
} from './requests.ts'
import { QUEUES, TOPIC } from './shape.ts'
import type { BrokerMember, World } from './world.ts'

/** The last pops of a run are over within so long where nothing is acknowledged. */
const INVISIBLE_MS_MAX = 5_000
const LAST_POP_MS = 60_000
const PAUSE_MS = 500

/** The run that they are part of. */
interface Run {
  readonly world: World
  readonly reader: Client
  readonly moment: number
  readonly counts: { locks: number; poppedInOrder: number }
  /** Whether messages go from the front: then nothing is promised about what lies before another one. */
  readonly expires: boolean
  see(queueId: number, record: SeenRecord, by: string): void
}

export class Ordered {
  readonly #run: Run
  readonly #locks: readonly LockModel[]
  readonly #pops: readonly OrderedPopModel[]
  #hasPopped = false

  constructor(run: Run) {
    this.#run = run
    const violated = (what: string): void => run.world.violated(what)
    const names = Array.from({ length: QUEUES - 1 }, (_, queueId) => `${TOPIC}/${queueId}`)
    this.#locks = names.map((name) => new LockModel(name, violated))
    this.#pops = names.map((name) => new OrderedPopModel(name, violated))
  }

  // ------------------------------------------------------------------------------------------------ locks

  lock(member: BrokerMember, client: string): void {
    const { world, reader, moment: begun, counts } = this.#run
    const askedMs = world.wallMs
    const queueIds = this.#locks.map((_, queueId) => queueId)
    reader.ask(member, lockRequest(client, TOPIC, queueIds), {
      answered: (answer) => {
        if (answer.code !== ResponseCode.SUCCESS) return
        const held = lockedQueues(answer)
        world.say(`${member.name} tells ${client} that it holds ${held.join(' ')}`)
        counts.locks += held.length
        for (const id of held) this.#locks[id]?.held(client, begun, { askedMs, nowMs: world.wallMs })
      },
      lost: () => {},
    })
  }

  unlock(member: BrokerMember, client: string): void {
    const { reader, moment } = this.#run
    const queueIds = this.#locks.map((lock, queueId) => {
      lock.releasing(client, moment)
      return queueId
    })
    reader.ask(member, unlockRequest(client, TOPIC, queueIds), { answered: () => {}, lost: () => {} })
  }

  // ------------------------------------------------------------------------------------------------ pops

  pop(member: BrokerMember, count: number, invisibleMs: number): void {
    if (this.#run.expires) return
    this.#hasPopped = true
    const begun = this.#run.moment
    this.#run.reader.ask(member, orderedPopRequest(TOPIC, count, invisibleMs), {
      answered: (answer) => this.#popped(answer, begun, member),
      lost: () => {},
    })
  }

  /** The first that are out, of each queue. */
  acknowledge(member: BrokerMember, count: number): void {
    for (const pops of this.#pops) this.#acknowledge(member, pops, pops.out.slice(0, count))
  }

  /** @param ends of the queues. */
  async popAll(ends: readonly number[]): Promise<void> {
    const { world, reader } = this.#run
    if (!this.#hasPopped) return
    for (let emptyMs = 0; emptyMs <= INVISIBLE_MS_MAX + PAUSE_MS && world.violation === null;) {
      const member = world.leader() ?? (world.members[0] as BrokerMember)
      const begun = this.#run.moment
      const fromMs = Math.floor(world.wallMs)
      let popped = -1
      reader.ask(member, orderedPopRequest(TOPIC, 32, LAST_POP_MS), {
        answered: (answer) => (popped = this.#popped(answer, begun, member)),
        lost: () => (popped = 0),
      })
      await world.until('a pop in order is answered', () => popped >= 0)
      for (const pops of this.#pops) {
        this.#acknowledge(
          member,
          pops,
          pops.out.filter(({ poppedMs }) => poppedMs >= fromMs),
        )
      }
      await world.until('the acknowledgements are answered', () => reader.pending === 0)
      emptyMs = popped > 0 ? 0 : emptyMs + PAUSE_MS
      if (popped === 0) await world.run(PAUSE_MS)
    }
    if (world.violation === null) this.#pops.forEach((pops, queueId) => pops.checkAll(ends[queueId] as number))
  }

  #popped(answer: RemotingCommand, begun: number, member: BrokerMember): number {
    const batches = new Map<number, Handle[]>()
    const popped = poppedOf(answer, ORDERED_GROUP)
    for (const { record, ...handle } of popped) {
      this.#run.world.say(`${member.name} pops ${handle.body} in order until ${handle.untilMs}`)
      if (record !== null) this.#run.see(handle.queueId, record, member.name)
      const batch = batches.get(handle.queueId) ?? []
      batch.push(handle)
      batches.set(handle.queueId, batch)
    }
    for (const [queueId, batch] of batches) this.#pops[queueId]?.given(batch, begun, member.name)
    this.#run.counts.poppedInOrder += popped.length
    return popped.length
  }

  #acknowledge(member: BrokerMember, pops: OrderedPopModel, handles: readonly Handle[]): void {
    const { world, reader } = this.#run
    for (const handle of handles) {
      pops.acknowledging(handle)
      reader.ask(member, ackRequest(handle, ORDERED_GROUP), {
        answered: ({ code, remark }) => {
          world.say(`ack in order of ${handle.body}: ${code} ${remark ?? ''}`)
          if (code === ResponseCode.SUCCESS) pops.acknowledged(handle, this.#run.moment, world.wallMs)
        },
        lost: () => {},
      })
    }
  }
}
