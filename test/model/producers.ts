/**
 * Producers of half messages: they prepare them, end them, tell brokers that they are there, and answer when they are asked.
 *
 * Keeps, and says when the broker does not: what is asked for was prepared, and is named by the places that its producer was told;
 * no question is asked under a number of before; in the end, with the producers there, each half message is ended or asked for.
 */
import { type RemotingCommand, ResponseCode } from '@dledger-ts/remoting'
import type { Client } from './clients.ts'
import type { Sent } from './queues.ts'
import { endTransactionRequest, heartbeatRequest, questionOf, REFUSALS } from './requests.ts'
import { HalfMessage } from './transactions.ts'
import type { BrokerMember, World } from './world.ts'

/** Often enough to be seen in a run; never given up, for that would be neither end. */
export const TRANSACTION_KEYS = {
  transactionTimeOut: '1500',
  transactionCheckInterval: '1000',
  transactionCheckMax: '100000',
} as const

/** A group that is well asks within so long for what is pending. */
const ASKED_WITHIN_MS = 5_000

type Outcome = 'commit' | 'rollback'

/** The run that they are part of. */
interface Run {
  readonly world: World
  readonly senders: readonly Client[]
  /** All messages, by their bodies. */
  readonly sent: ReadonlyMap<string, Sent>
  readonly counts: { committed: number; rolledBack: number; questions: number }
  readonly moment: number
}

export class Producers {
  readonly #run: Run
  readonly #halves = new Map<string, HalfMessage>()

  constructor(run: Run) {
    this.#run = run
  }

  /** A half message is stored, for its producer was told so, or asked what became of it. */
  prepared(sent: Sent, physicalOffset: number, halfOffset: number): HalfMessage {
    const known = this.#halves.get(sent.body)
    if (known === undefined) {
      const half = new HalfMessage(sent, physicalOffset, halfOffset)
      this.#halves.set(sent.body, half)
      return half
    }
    if (known.physicalOffset !== physicalOffset || known.halfOffset !== halfOffset) {
      const places = `${known.physicalOffset} (${known.halfOffset}) and ${physicalOffset} (${halfOffset})`
      this.#run.world.violated(`${sent.body} is prepared twice: at ${places}`)
    }
    return known
  }

  heartbeat(sender: number): void {
    const { senders, world } = this.#run
    const client = senders[sender] as Client
    for (const member of world.members) {
      client.ask(member, heartbeatRequest(client.name), { answered: () => {}, lost: () => {} })
    }
  }

  endLatest(member: BrokerMember, back: number, outcome: Outcome): void {
    const half = [...this.#halves.values()].at(-1 - back)
    if (half !== undefined) this.#end(this.#run.senders[0] as Client, member, half, outcome, false)
  }

  /** A broker asks what became of a half message. */
  asked(client: Client, question: RemotingCommand, address: string): void {
    const { world, sent: all, counts } = this.#run
    const { body, topic, queueId, physicalOffset, halfOffset, times } = questionOf(question)
    const member = world.members.find((one) => one.address === address)
    const sent = all.get(body)
    world.say(`${member?.name} asks ${client.name} for ${body}, ${times}`)
    counts.questions++
    if (member === undefined || sent?.kind !== 'half') return world.violated(`${address} asks for ${body}: nobody's`)
    if (sent.queue.topic !== topic || sent.queue.queueId !== queueId) {
      world.violated(`${member.name} asks for ${body} of ${topic}/${queueId}`)
    }
    if (sent.refusals === sent.attempts) {
      world.violated(`${member.name} asks for ${body}, whose sending was refused: ${sent.remark}`)
    }
    const half = this.prepared(sent, physicalOffset, halfOffset)
    if (half.isAskedAgain(times)) world.violated(`${member.name} asks for ${body} a second time as question ${times}`)
    const outcome = half.answer(times)
    if (outcome !== null) this.#end(client, member, half, outcome, true)
  }

  /** With a group that is well and the producers there. */
  async endAll(): Promise<void> {
    const { world, senders } = this.#run
    senders.forEach((_, sender) => this.heartbeat(sender))
    const areEnded = (): boolean =>
      [...this.#halves.values()].every((half) => !half.isOpen) && senders.every(({ pending }) => pending === 0)
    const what = 'every half message is ended, or its producer asked for it'
    await world.until(what, areEnded)
    if (this.#isCertain()) return
    await world.run(ASKED_WITHIN_MS)
    await world.until(what, areEnded)
  }

  /** Whether no question can come any more: it may for what nobody knows of, be it stored or ended. */
  #isCertain(): boolean {
    for (const { kind, body, outcome } of this.#run.sent.values()) {
      if (kind !== 'half' || outcome === 'refused') continue
      if (this.#halves.get(body)?.isCertain !== true) return false
    }
    return true
  }

  #end(client: Client, member: BrokerMember, half: HalfMessage, outcome: Outcome, isAsked: boolean): void {
    const { world, counts } = this.#run
    half.asked(outcome, this.#run.moment)
    client.ask(member, endTransactionRequest(half, outcome, isAsked), {
      answered: ({ code, remark }) => {
        world.say(`${outcome} of ${half.sent.body}: ${code} ${remark ?? ''}`)
        if (code === ResponseCode.SUCCESS) {
          half.ended(outcome, this.#run.moment)
          if (outcome === 'commit') counts.committed++
          else counts.rolledBack++
        } else if (code === ResponseCode.SYSTEM_ERROR) half.maybeEnded()
        else if (!REFUSALS.has(code)) world.violated(`the end of ${half.sent.body} was answered ${code} ${remark}`)
      },
      lost: () => half.maybeEnded(),
    })
  }
}
