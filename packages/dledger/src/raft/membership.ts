/**
 * The configurations of the log, newest last, and what they say of a sender.
 *
 * Keeps: the newest configuration entry of the log counts from the moment it is appended, and is rolled back with it (R10);
 * a member that is bound to a store identity is heard under no other.
 */
import { assert } from '@dledger-ts/base'
import type { Configuration, Member } from './configuration.ts'
import type { MemberId } from './messages.ts'
import type { LogShape, RaftOptions } from './output.ts'

/** VOTER: known, and its identity fits or is not bound yet. */
export type Standing = 'VOTER' | 'OTHER_STORE' | 'UNKNOWN'

export class Membership {
  readonly #self: MemberId
  readonly #selfStoreId: string
  readonly #bootstrap: Configuration
  readonly #entries: LogShape['configurations'][number][]
  readonly #members = new Map<MemberId, Member>()
  /** Identities under which unbound voters were heard. */
  readonly #heard = new Map<MemberId, string>()
  #peers: readonly MemberId[] = []

  constructor(options: RaftOptions) {
    this.#self = options.self
    this.#selfStoreId = options.selfStoreId
    this.#bootstrap = {
      voters: options.bootstrapVoters.map((id) => ({ id, storeId: null, address: null })),
      learners: [],
    }
    this.#entries = [...options.log.configurations]
    this.#refresh()
  }

  get configuration(): Configuration {
    return this.#entries.at(-1)?.configuration ?? this.#bootstrap
  }

  /** Of the newest configuration entry; -1 while the bootstrap configuration counts. */
  get index(): number {
    return this.#entries.at(-1)?.index ?? -1
  }

  /** Voters but this one. A new array with each change. */
  get peers(): readonly MemberId[] {
    return this.#peers
  }

  get voterCount(): number {
    return this.#members.size
  }

  /** This member is a voter, and under the identity of its store. */
  get selfIsVoter(): boolean {
    return this.standingOf(this.#self, this.#selfStoreId) === 'VOTER'
  }

  standingOf(id: MemberId, storeId: string): Standing {
    const member = this.#members.get(id)
    if (member === undefined) return 'UNKNOWN'
    return member.storeId === null || member.storeId === storeId ? 'VOTER' : 'OTHER_STORE'
  }

  isVoter(id: MemberId): boolean {
    return this.#members.has(id)
  }

  heard(id: MemberId, storeId: string): void {
    const member = this.#members.get(id)
    if (member !== undefined && member.storeId === null) this.#heard.set(id, storeId)
  }

  append(index: number, configuration: Configuration): void {
    assert(index > this.index, 'configurations are appended in log order')
    assert(configuration.voters.length > 0, 'a configuration has voters')
    this.#entries.push({ index, configuration })
    this.#refresh()
  }

  /** A configuration entry that could not be read when the log was opened can be now. */
  restore(index: number, configuration: Configuration): void {
    if (this.#entries.some((entry) => entry.index === index)) return
    this.#entries.push({ index, configuration })
    this.#entries.sort((a, b) => a.index - b.index)
    this.#refresh()
  }

  truncate(from: number): void {
    if (this.index < from) return
    while (this.index >= from) this.#entries.pop()
    this.#refresh()
  }

  /** The newest configuration entry up to `index`; null while the bootstrap configuration counts there. */
  newestUpTo(index: number): LogShape['configurations'][number] | null {
    return this.#entries.findLast((entry) => entry.index <= index) ?? null
  }

  /** The log starts at `firstIndex` now: of what is below, only what is in force there counts. */
  trim(firstIndex: number): void {
    while ((this.#entries[1]?.index ?? Number.POSITIVE_INFINITY) < firstIndex) this.#entries.shift()
  }

  /** @returns the configuration with every unbound voter bound under which it was heard; null when that changes nothing. */
  extendedByHeard(): Configuration | null {
    let bound = 0
    const voters = this.configuration.voters.map((member) => {
      const storeId = member.id === this.#self ? this.#selfStoreId : this.#heard.get(member.id)
      if (member.storeId !== null || storeId === undefined) return member
      bound++
      return { ...member, storeId }
    })
    return bound === 0 ? null : { ...this.configuration, voters }
  }

  #refresh(): void {
    this.#members.clear()
    for (const member of this.configuration.voters) this.#members.set(member.id, member)
    assert(this.#members.size === this.configuration.voters.length, 'a voter is named once')
    this.#peers = this.configuration.voters.map((member) => member.id).filter((id) => id !== this.#self)
  }
}
