/**
 * Clients of a group of members, and the history of all that they asked and were answered: for the checkers in test/history.
 *
 * Appenders and register clients know no more than a client can: they ask the member that they believe to lead, or any. An answer
 * that did not come in time, or from a process that ended, is an unknown outcome.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '@dledger-ts/base'
import { type Append, checkLogOrder, type LogRead } from '../../history/log-order.ts'
import { checkRegisters, type RegisterInput, type RegisterOperation } from '../../history/register.ts'
import { type AppendAnswer, digestOf, type EntryBody, type ReadAnswer, type RegisterAnswer } from './conversation.ts'
import type { GroupMember, MemberGroup } from './member-group.ts'
import { untilTrue } from '../group/until.ts'
import { Refused } from './member-process.ts'

const ANSWER_TIMEOUT_MS = 1_500
const PACE_MS = 4
const PACE_AFTER_REFUSAL_MS = 15
const READ_PACE_MS = 60
/** Entries that the next life of a member is asked for again. */
const READ_AGAIN = 500
const PROGRESS_TIMEOUT_MS = 30_000
const FINAL_READ_TIMEOUT_MS = 20_000
const FILLER_BYTES_MAX = 1_500
/** A register gets a new name after so many operations: the search for an order is over histories of about this length. */
const OPERATIONS_PER_REGISTER = 150
const REGISTERS = 2
/** The register of the operation with that number. */
function registerOf(number: number): string {
  return `${Math.floor(number / (OPERATIONS_PER_REGISTER * REGISTERS))}/${number % REGISTERS}`
}

/** Codes with which nothing was stored. */
const REFUSALS = new Set(['NOT_LEADER', 'BUSY', 'TOO_LARGE', 'DISK_FULL', 'CLOSED'])

export class Clients {
  readonly appends: Append[] = []
  readonly reads: LogRead[] = []
  readonly operations: RegisterOperation[] = []
  /** Operations that were reads answered without an entry in the log. */
  readsWithoutEntry = 0
  readonly #group: MemberGroup
  readonly #random: Random
  readonly #running: Promise<void>[] = []
  #ending = false
  #believed: GroupMember
  #ids = 0
  #operations = 0
  #lastAcknowledgedAt = Number.NaN
  #longestGapMs = 0
  #acknowledged = 0
  #bug: unknown

  constructor(group: MemberGroup, random: Random) {
    this.#group = group
    this.#random = random
    this.#believed = group.members[0] as GroupMember
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  start(): void {
    const run = (client: Promise<void>): void =>
      void this.#running.push(client.catch((failure: unknown) => void (this.#bug ??= failure)))
    for (let i = 0; i < 3; i++) run(this.#appendAgainAndAgain())
    for (let i = 0; i < 3; i++) run(this.#useRegisters(`client ${i}`))
    for (const member of this.#group.members) run(this.#readAgainAndAgain(member))
  }

  /** @throws after a time in which a group with a majority has surely found together. */
  async untilAcknowledged(count: number): Promise<void> {
    const wanted = this.#acknowledged + count
    await untilTrue(`${count} more acknowledgements`, PROGRESS_TIMEOUT_MS, () => this.#acknowledged >= wanted)
  }

  /** The longest time without an acknowledgement since the last call: what a blow cost the clients. */
  takeLongestGapMs(): number {
    const gapMs = Math.max(this.#longestGapMs, performance.now() - this.#lastAcknowledgedAt)
    this.#longestGapMs = 0
    return gapMs
  }

  /** Ends them, reads everything from these members, who are up, and judges. @returns what was violated. */
  async finish(members: readonly GroupMember[] = this.#group.members): Promise<string[]> {
    this.#ending = true
    await Promise.all(this.#running)
    if (this.#bug !== undefined) throw this.#bug
    const lastIndex = await this.#group.untilWhole(members)
    for (const member of members) await this.#readAll(member, lastIndex + 1)
    return [...checkLogOrder(this), ...checkRegisters(this.operations)]
  }

  async #appendAgainAndAgain(): Promise<void> {
    while (!this.#ending) {
      const id = `a${this.#ids++}`
      const filler = '.'.repeat(this.#random.below(FILLER_BYTES_MAX))
      await this.#append({ id, filler })
    }
  }

  async #useRegisters(client: string): Promise<void> {
    let seen: string | null = null
    while (!this.#ending) {
      const number = this.#operations++
      const key = registerOf(number)
      const value = `v${number}`
      const kind = (['read', 'write', 'cas', 'cas', 'readIndex'] as const)[this.#random.below(5)]
      if (kind === 'readIndex') {
        const { members } = this.#group
        const member = members[this.#random.below(members.length)] as GroupMember
        const read = member.serves ? await this.#readRegister(client, member, key) : undefined
        if (read === undefined) await delay(PACE_AFTER_REFUSAL_MS)
        else seen = read
        continue
      }
      const input: RegisterInput =
        kind === 'read'
          ? { kind, key }
          : kind === 'cas'
            ? { kind, key, expected: seen, value }
            : { kind: 'write', key, value }
      const invokedAt = performance.now()
      const answer = await this.#append({ id: `r${number}`, register: input })
      if (answer === 'refused') continue
      const output = answer === 'unknown' || answer.output === null ? undefined : answer.output
      const answeredAt = output === undefined ? Number.POSITIVE_INFINITY : performance.now()
      this.operations.push({ client, input, output, invokedAt, answeredAt })
      if (output?.kind === 'read') seen = output.value
      else if (output !== undefined && (output.kind === 'write' || output.swapped)) seen = value
      else seen = null
    }
  }

  /**
   * One member is asked for the registers that are in use, also while it is stopped: what it answers once it goes on must be as
   * fresh as if it had never been. @returns how many of these reads were answered.
   */
  async askForRegisters(member: GroupMember, count: number): Promise<number> {
    const reads = Array.from({ length: count }, (_, i) =>
      this.#readRegister(`client of ${member.id}`, member, registerOf(this.#operations + i)),
    )
    return (await Promise.all(reads)).filter((value) => value !== undefined).length
  }

  /** Without an entry in the log. @returns undefined when it was not answered: then it has seen nothing. */
  async #readRegister(client: string, member: GroupMember, key: string): Promise<string | null | undefined> {
    const invokedAt = performance.now()
    const consistency = this.#random.below(2) === 0 ? 'lease' : 'linearizable'
    try {
      const ask = { kind: 'readRegister', key, consistency } as const
      const { value } = await member.ask<RegisterAnswer>(ask, ANSWER_TIMEOUT_MS)
      const output = { kind: 'read', value } as const
      this.operations.push({ client, input: { kind: 'read', key }, output, invokedAt, answeredAt: performance.now() })
      this.readsWithoutEntry++
      return value
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      return undefined
    }
  }

  async #append(body: EntryBody): Promise<AppendAnswer | 'refused' | 'unknown'> {
    const member = this.#believed
    const record = { id: body.id, content: digestOf(Buffer.from(JSON.stringify(body))), invokedAt: performance.now() }
    const { process } = member
    if (process === null || !member.serves) {
      this.#believed = this.#another(member)
      await delay(PACE_AFTER_REFUSAL_MS)
      return 'refused'
    }
    try {
      const answer = (await process.ask({ kind: 'append', body }, ANSWER_TIMEOUT_MS)) as AppendAnswer
      const answeredAt = performance.now()
      this.#believed = member
      this.appends.push({ ...record, answeredAt, outcome: 'acknowledged', index: answer.index })
      this.#countAcknowledged(answeredAt)
      await delay(PACE_MS)
      return answer
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const outcome = REFUSALS.has(error.code) ? 'refused' : 'unknown'
      const answeredAt = outcome === 'refused' ? performance.now() : Number.POSITIVE_INFINITY
      this.appends.push({ ...record, answeredAt, outcome, index: -1 })
      this.#believed = this.#group.members.find(({ id }) => id === error.leader) ?? this.#another(member)
      await delay(PACE_AFTER_REFUSAL_MS)
      return outcome
    }
  }

  #another(member: GroupMember): GroupMember {
    const { members } = this.#group
    const others = members.filter((one) => one !== member)
    return others[this.#random.below(others.length)] as GroupMember
  }

  #countAcknowledged(atMs: number): void {
    this.#acknowledged++
    if (!Number.isNaN(this.#lastAcknowledgedAt)) {
      this.#longestGapMs = Math.max(this.#longestGapMs, atMs - this.#lastAcknowledgedAt)
    }
    this.#lastAcknowledgedAt = atMs
  }

  /** Follows the log of one member, a reader for each of its lives. */
  async #readAgainAndAgain(member: GroupMember): Promise<void> {
    let [life, from] = [0, 0]
    while (!this.#ending) {
      if (member.lives !== life) [life, from] = [member.lives, Math.max(0, from - READ_AGAIN)]
      // Now and then from further back: what was read once must not change.
      const back = this.#random.below(20) === 0 ? this.#random.below(200) : 0
      const read = await this.#read(member, Math.max(0, from - back), `${member.id}, life ${life}`)
      if (read !== null) from = Math.max(from, read.end)
      await delay(READ_PACE_MS)
    }
  }

  async #readAll(member: GroupMember, end: number): Promise<void> {
    for (let from = 0; from < end;) {
      const read = await this.#read(member, from, `${member.id} at the end`, from)
      if (read === null) throw new Error(`${member.id} cannot be read at the end`)
      from = read.end
    }
    const last = this.reads.pop() as LogRead
    this.reads.push({ ...last, claim: 'final' })
  }

  /** @param least what the answer reaches beyond, to be an answer. */
  async #read(member: GroupMember, from: number, reader: string, least = -1): Promise<ReadAnswer | null> {
    const { process } = member
    if (process === null || !member.serves) return null
    const startedAt = performance.now()
    const timeoutMs = least < 0 ? ANSWER_TIMEOUT_MS : FINAL_READ_TIMEOUT_MS
    let answer: ReadAnswer
    try {
      answer = (await process.ask({ kind: 'read', from }, timeoutMs)) as ReadAnswer
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      return null
    }
    if (answer.end <= least) return null
    this.reads.push({ reader, startedAt, endedAt: performance.now(), ...answer, claim: 'prefix' })
    return answer
  }
}
