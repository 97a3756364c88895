/**
 * The configurations of the log, newest last, and what they say of a sender and of this member.
 *
 * A member is its id and its store identity: the same id with another store is another member, whose promises are its own.
 *
 * Keeps:
 *   - R10 the newest configuration entry of the log counts from the moment it is appended, and is rolled back with it; a member
 *     that is bound to a store identity is heard under no other.
 *   - R13 two successive configurations differ by one voter at most, so their majorities share a member (Ongaro §4.1); but for the first
 *     one of a master that was made so by hand: nobody elects there, and those who follow the former one are refused.
 *   - R14 who is no voter of a configuration is counted nowhere: not a learner, not another store under a voter's name.
 */
import { assert } from '@dledger-ts/base'
import type { Configuration, Learner, Member } from './configuration.ts'
import type { MemberId } from './messages.ts'
import type { LogShape, RaftOptions } from './output.ts'

/** MEMBER: a voter or a learner whose identity fits or is not bound yet. */
export type Standing = 'MEMBER' | 'OTHER_STORE' | 'UNKNOWN'

export class Membership {
  readonly #self: MemberId
  #selfStoreId: string
  /** An identity that is not bound is not taken for one's own: this store waits until a configuration names it. */
  #mustBeNamed: boolean
  /** This store was named once, whatever of the log is left. */
  #wasNamed: boolean
  readonly #bootstrap: Configuration
  readonly #entries: LogShape['configurations'][number][]
  readonly #members = new Map<MemberId, Member>()
  readonly #voters = new Set<MemberId>()
  /** The identity under which a member was heard first, for those that are not bound: a second one is another store. */
  readonly #known: Map<MemberId, string>
  /** The store at the other end of each connection that works. */
  readonly #connected = new Map<MemberId, string>()
  #peers: readonly MemberId[] = []
  #voterPeers: readonly MemberId[] = []
  #selfIsVoter = false
  #selfMayGrant = false
  /** Nobody is left to be bound. */
  #isBound = false

  constructor(options: RaftOptions) {
    this.#self = options.self
    this.#selfStoreId = options.selfStoreId
    this.#mustBeNamed = options.mustBeNamed ?? false
    this.#wasNamed = options.wasNamed ?? false
    this.#known = new Map(options.knownStores ?? [])
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

  /** Voters and learners but this one. A new array with each change. */
  get peers(): readonly MemberId[] {
    return this.#peers
  }

  get voterPeers(): readonly MemberId[] {
    return this.#voterPeers
  }

  get voterCount(): number {
    return this.#voters.size
  }

  /** This member is a voter, and under the identity of its store. */
  get selfIsVoter(): boolean {
    return this.#selfIsVoter
  }

  /** It has nobody to ask and nobody to wait for. One voter alone is not enough: it may be another. */
  get selfIsLoneVoter(): boolean {
    return this.#selfIsVoter && this.#voters.size === 1
  }

  /** The newest configuration names this member under its store, bound or not. */
  get selfIsNamed(): boolean {
    const named = this.#members.get(this.#self)
    return named !== undefined && this.#isSelf(named)
  }

  /**
   * This member was named under its store once, in entries that may be lost again; or it is, or was, in its log, and the newest
   * configuration names no other store under its id. A candidate may know that it is a voter before it does itself; whether its
   * vote counts is for the candidate to know.
   */
  get selfMayGrant(): boolean {
    return this.#selfMayGrant || this.#wasNamed
  }

  /** The newest configuration names this member by its store. Hot. */
  get selfIsBound(): boolean {
    return this.#members.get(this.#self)?.storeId === this.#selfStoreId
  }

  /** A voter whose removal is not known to be committed may be needed to commit it (Ongaro §4.2.2). */
  selfMayCampaign(commitIndex: number): boolean {
    if (this.#selfIsVoter) return true
    if (this.index <= commitIndex) return false
    const before = this.#entries.at(-2)?.configuration ?? this.#bootstrap
    return before.voters.some((voter) => this.#isSelf(voter))
  }

  standingOf(id: MemberId, storeId: string): Standing {
    const member = this.#members.get(id)
    if (member === undefined) return 'UNKNOWN'
    const bound = this.boundStoreOf(id)
    return bound === null || bound === storeId ? 'MEMBER' : 'OTHER_STORE'
  }

  /** The stores that the newest configuration of the log binds. */
  boundStores(): readonly string[] {
    const { voters, learners } = this.configuration
    return [...voters, ...learners].flatMap(({ storeId }) => (storeId === null ? [] : [storeId]))
  }

  isVoter(id: MemberId): boolean {
    return this.#voters.has(id)
  }

  memberOf(id: MemberId): Member | undefined {
    return this.#members.get(id)
  }

  wasNamed(id: MemberId): boolean {
    const names = ({ voters, learners }: Configuration): boolean =>
      voters.some((member) => member.id === id) || learners.some((member) => member.id === id)
    return (
      this.#entries.length > 0 && (names(this.#bootstrap) || this.#entries.some((entry) => names(entry.configuration)))
    )
  }

  /** The store that counts as `id`: bound by the log, else heard first; null: none yet. */
  boundStoreOf(id: MemberId): string | null {
    return this.#members.get(id)?.storeId ?? this.#known.get(id) ?? null
  }

  heard(id: MemberId, storeId: string): void {
    if (this.#members.has(id) && this.boundStoreOf(id) === null) this.#known.set(id, storeId)
  }

  connected(id: MemberId, storeId: string): void {
    this.#connected.set(id, storeId)
    this.heard(id, storeId)
  }

  lost(id: MemberId): void {
    this.#connected.delete(id)
  }

  /** @returns the store that is connected under the name of a member that is bound to another; null if there is none. */
  otherStoreOf(id: MemberId): string | null {
    const connected = this.#connected.get(id)
    const bound = this.boundStoreOf(id)
    return connected === undefined || bound === null || connected === bound ? null : connected
  }

  /** This store goes on as another member: nothing it promised before is its own. */
  renamed(storeId: string): void {
    this.#selfStoreId = storeId
    this.#mustBeNamed = true
    this.#wasNamed = false
    this.#refresh()
  }

  /** @param mayFollowAnother one that was lost, and is not known here, may stand between the newest one that is and this one. */
  append(index: number, configuration: Configuration, mayFollowAnother = false): void {
    assert(index > this.index, 'configurations are appended in log order')
    assert(configuration.voters.length > 0, 'a configuration has voters')
    const before = this.#entries.at(-1)
    assert(
      before === undefined ||
        mayFollowAnother ||
        differingVoters(before.configuration, configuration) <= 1 ||
        beginsLineage(before.configuration, configuration),
      'successive configurations differ by one voter',
    )
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

  /** @returns the configuration with every unbound member bound under which it was heard; null when that changes nothing. */
  extendedByHeard(): Configuration | null {
    if (this.#isBound) return null
    let bound = 0
    const bind = <Kind extends Member>(member: Kind): Kind => {
      const storeId = member.id === this.#self ? this.#selfStoreId : this.#known.get(member.id)
      if (member.storeId !== null || storeId === undefined) return member
      bound++
      return { ...member, storeId }
    }
    const { voters, learners } = this.configuration
    const extended = { ...this.configuration, voters: voters.map(bind), learners: learners.map(bind) }
    return bound === 0 ? null : extended
  }

  /** @returns the configuration in which another store, already connected, takes the place of `id`, as a learner. */
  replaced(id: MemberId, storeId: string): Configuration {
    const { voters, learners } = this.configuration
    const wasVoter = this.isVoter(id)
    const former = this.#members.get(id)
    assert(former !== undefined, 'only a member is replaced')
    const promote = wasVoter || (learners.find((learner) => learner.id === id)?.promote ?? false)
    const learner: Learner = { id, storeId, address: former.address, promote }
    return {
      ...this.configuration,
      voters: voters.filter((voter) => voter.id !== id),
      learners: [...learners.filter((each) => each.id !== id), learner],
    }
  }

  /** @returns the configuration in which the learner `id` is a voter. */
  promoted(id: MemberId): Configuration {
    const { voters, learners } = this.configuration
    const learner = learners.find((each) => each.id === id)
    assert(learner !== undefined, 'only a learner is promoted')
    const { storeId, address } = learner
    return {
      ...this.configuration,
      voters: [...voters, { id, storeId, address }],
      learners: learners.filter((each) => each.id !== id),
    }
  }

  #isSelf({ id, storeId }: Member): boolean {
    if (id !== this.#self) return false
    return storeId === null ? !this.#mustBeNamed : storeId === this.#selfStoreId
  }

  #refresh(): void {
    const { voters, learners } = this.configuration
    this.#members.clear()
    this.#voters.clear()
    for (const member of voters) {
      this.#members.set(member.id, member)
      this.#voters.add(member.id)
    }
    for (const member of learners) this.#members.set(member.id, member)
    assert(this.#members.size === voters.length + learners.length, 'a member is named once')
    const isPeer = (id: MemberId): boolean => id !== this.#self
    this.#voterPeers = voters.map((member) => member.id).filter(isPeer)
    this.#peers = [...this.#voterPeers, ...learners.map((member) => member.id).filter(isPeer)]
    this.#isBound = [...this.#members.values()].every((member) => member.storeId !== null)
    this.#selfIsVoter = voters.some((member) => this.#isSelf(member))
    const named = this.#members.get(this.#self)
    this.#selfMayGrant =
      named === undefined
        ? [this.#bootstrap, ...this.#entries.map((entry) => entry.configuration)].some((each) => this.#names(each))
        : this.#isSelf(named)
  }

  #names({ voters, learners }: Configuration): boolean {
    return voters.some((member) => this.#isSelf(member)) || learners.some((member) => this.#isSelf(member))
  }
}

/** A lone voter's copy was made a master by hand. */
function beginsLineage(before: Configuration, after: Configuration): boolean {
  return (after.formers?.length ?? 0) > (before.formers?.length ?? 0) && after.voters.length === 1
}

/** How many voters are in one of two configurations only. An identity that becomes bound is no other voter. */
function differingVoters(a: Configuration, b: Configuration): number {
  return countMissing(a, b) + countMissing(b, a)
}

function countMissing(from: Configuration, other: Configuration): number {
  let missing = 0
  for (const { id, storeId } of from.voters) {
    const same = other.voters.find((voter) => voter.id === id)
    const fits = same !== undefined && (same.storeId === null || storeId === null || same.storeId === storeId)
    if (!fits) missing++
  }
  return missing
}
