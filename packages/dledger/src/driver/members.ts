/**
 * Who belongs to the group, as the driver deals with it: who may connect, whom the transport dials, what the hard state remembers
 * of each peer, the leader's changes of the configuration, and what becomes of this member when the group knows it otherwise.
 *
 * Keeps:
 *   M1  of two stores that claim one id, the one that counts stays connected as long as it is heard.
 *   M2  a store that peers have seen in a later life goes on under a new identity: what the later life promised is not undone.
 *   M3  a change asked for is told its outcome once: done, refused, or unknown.
 *   M4  of two changes that wait and contradict each other the later one is wanted: they would undo each other for ever.
 *   M6  a master in whose place another was put by hand, and whoever follows it, hears nothing but that; it stops when it hears so.
 *   M5  whoever shows a log that goes beyond what is committed here, and that it is of this group, is let in, as a guest where the
 *       log here does not name it: a member that is behind must hear those by whom it is caught up. Guests count for nothing.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import { invalid } from '../config.ts'
import { DLedgerError } from '../errors.ts'
import { fitsInSlot, type KnownPeer } from '../hard-state/hard-state-file.ts'
import { hasRoomForConfiguration } from '../hard-state/hard-state-size.ts'
import type { Configuration } from '../raft/configuration.ts'
import { contradict, type MembershipChange } from '../raft/membership-change.ts'
import type { MemberId } from '../raft/messages.ts'
import type { RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import type { Hello, Refusal, RefusalKind, Standing, Transport } from '../transport/transport.ts'
import { isOlderLife, isOtherBranch } from './incarnation.ts'
import type { ClassicRole } from './node-options.ts'
import type { OpenedMember } from './open-member.ts'
import { tellEach } from './tell-each.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'

/** Changes that wait at once; further ones are refused. */
const CHANGES_WAITING_MAX = 16
/** What is remembered of peers in the hard state; further ones are not. It shares one slot with everything else. */
const KNOWN_PEERS_BYTES_MAX = 2_000
/** Left to what must be written. */
const KNOWN_PEERS_SPARE_BYTES = 512

/** A master that was replaced stops when it has written that down, or after this. */
const OUTDATED_REMEMBERED_MS_MAX = 500

/** Let in at once though the log does not name them; of those that are not connected the first gives way. */
const GUESTS_MAX = 8

export interface PeerStatus {
  readonly id: MemberId
  readonly connected: boolean
  /** What the peer said of itself; null until it has connected once. */
  readonly advertised: string | null
  /** Leader: up to here it has the log, durably; null where that is not known. */
  readonly matchIndex: number | null
}

/** A master, and where it is reached. */
export interface Followed {
  readonly id: MemberId
  readonly storeId: string
  readonly address: string
}

export type ChangeCallback = (error: DLedgerError | null) => void

interface Peer {
  connected: boolean
  hello: Hello | null
}

interface WaitingChange {
  readonly change: MembershipChange
  readonly callback: ChangeCallback
  /** Something was proposed for it: it may come true whatever is told. */
  begun: boolean
}

export interface MembersOptions {
  readonly self: MemberId
  readonly group: string
  readonly member: OpenedMember
  readonly transport: Transport
  readonly clock: Clock
  readonly logger: Logger
  /** Whom the options name, for a warning when the log knows better. */
  readonly expected: readonly MemberId[]
  readonly newStoreId: () => string
  /** Left out: the group elects. */
  readonly classic?: ClassicRole
  readonly faults: ReadonlySet<PlantedDriverFault>
  readonly role: () => RoleState
  readonly commitIndex: () => number
  /** @returns whether the core took it. */
  readonly propose: (configuration: Configuration) => boolean
  readonly onFailed: (error: Error) => void
  /** The core was told something: its output is due. */
  readonly onChanged: () => void
}

export class Members {
  readonly #options: MembersOptions
  #raft: Raft
  readonly #peers = new Map<MemberId, Peer>()
  #known: Readonly<Record<MemberId, KnownPeer>>
  #configuration: Configuration | null = null
  #dialed: readonly MemberId[] = []
  /** As they were let in. */
  readonly #guests = new Map<MemberId, Standing>()
  #standing = ''
  #waiting: WaitingChange[] = []
  #hello: Hello
  #dismissalTold = false
  #renaming = false

  constructor(options: MembersOptions, raft: Raft, hello: Hello) {
    this.#options = options
    this.#raft = raft
    this.#hello = hello
    this.#known = options.member.hardState.knownPeers ?? {}
  }

  get hello(): Hello {
    return this.#hello
  }

  peers(): PeerStatus[] {
    return [...this.#peers].map(([id, peer]) => ({
      id,
      connected: peer.connected,
      advertised: peer.hello?.advertised ?? null,
      matchIndex: this.#raft.matchIndexOf(id),
    }))
  }

  advertisedOf(id: MemberId): string | null {
    return this.#peers.get(id)?.hello?.advertised ?? null
  }

  /** Another log has taken the place of the one before: a new core knows it. */
  coreReplaced(raft: Raft): void {
    this.#raft = raft
    for (const [id, { connected, hello }] of this.#peers) {
      if (connected && hello !== null) raft.peerConnected(id, hello.storeId)
    }
  }

  // ------------------------------------------------------------------------------------------------ connections

  /** @returns why `hello` is not let in, or null. */
  judge(hello: Hello): Refusal | null {
    const refusal =
      this.#whyNotFollowed(hello) ??
      this.#whyOldImage(hello) ??
      this.#whyOutdated(hello) ??
      this.#whyNoMember(hello) ??
      this.#whyOtherStore(hello)
    if (refusal === null && !this.#isPeer(hello.member)) this.#receive(hello)
    return refusal
  }

  /** What this member says of where it stands, whenever it greets. */
  standing(): Standing | null {
    const raft = this.#raft
    const at = raft.standsAt()
    if (at === null) return null
    const { voters, learners } = raft.configuration()
    const own = [...voters, ...learners].find(({ id }) => id === this.#options.self)
    return { ...at, address: own?.address ?? null, stores: raft.boundStores() }
  }

  #isPeer(id: MemberId): boolean {
    return this.#raft.isNamed(id) || this.#raft.peers.includes(id)
  }

  #receive({ member, standing }: Hello): void {
    if (standing === null) return
    if (this.#guests.size >= GUESTS_MAX && !this.#guests.has(member)) {
      const gives = [...this.#guests.keys()].find((id) => this.#peers.get(id)?.connected !== true)
      if (gives === undefined) return
      this.#guests.delete(gives)
    }
    const isNew = this.#guests.get(member)?.address !== standing.address || !this.#guests.has(member)
    this.#guests.set(member, standing)
    if (isNew) this.#talkTo()
  }

  /** The master that this member is to follow, though its log may name another one; the life in which it was met since. */
  #master: (Followed & { incarnation: number | null }) | null = null

  /** Lets that master in which has found that the log here has nothing beyond its own, and dials it there. */
  follow(master: Followed): void {
    this.#master = { ...master, incarnation: null }
    this.#isOutdated = false
    if (this.#options.member.hardState.outdated != null) this.#write({ outdated: null }, () => {})
    this.#talkTo()
    // Who was refused before waits longer and longer.
    this.#options.transport.renew(this.#hello)
  }

  /** A slave hears nobody else: any other master may have less than what is committed here; so may this one, once it has begun anew. */
  #whyNotFollowed(hello: Hello): Refusal | null {
    const { classic, self } = this.#options
    if (classic !== 'slave') return null
    const master = this.#master
    if (master === null || hello.storeId !== master.storeId) {
      return this.#refusal('STRANGER', hello, `${self} is a slave that does not follow ${hello.member}, or not yet`)
    }
    master.incarnation ??= hello.incarnation
    if (hello.incarnation === master.incarnation) return null
    return this.#refusal(
      'STRANGER',
      hello,
      `${hello.member} has begun anew: its slave ${self} asks first whether their logs fit`,
    )
  }

  /** It knows of more than is committed here, and its configuration and the one here, if the log has one, share a member. */
  #mayKnowMore({ standing, storeId }: Hello): boolean {
    if (storeId === this.#master?.storeId) return true
    const raft = this.#raft
    // A master is behind nobody.
    if (this.#options.classic === 'master') return false
    if (standing === null || !raft.isBehind(standing.lastTerm, standing.lastIndex)) return false
    const own = raft.boundStores()
    return own.length === 0 || own.some((store) => standing.stores.includes(store))
  }

  connected(id: MemberId, hello: Hello): void {
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    peer.connected = true
    peer.hello = hello
    const raft = this.#raft
    const { logger } = this.#options
    raft.peerConnected(id, hello.storeId)
    const bound = raft.boundStoreOf(id)
    if (bound === hello.storeId) this.#remember(hello)
    else if (bound !== null) {
      logger.warn(
        { peer: id, storeId: hello.storeId, bound },
        'a member comes with another store: once its former one is not heard, it is taken in again as a learner',
      )
    }
  }

  lost(id: MemberId): void {
    const peer = this.#peers.get(id)
    if (peer !== undefined) peer.connected = false
    this.#raft.peerLost(id)
    // It says anew where it stands, if it is still there.
    if (this.#guests.delete(id)) this.#talkTo()
  }

  /** @returns whether this member was set up wrongly and should stop, if it holds nothing yet. */
  refused(id: MemberId, refusal: Refusal): boolean {
    const raft = this.#raft
    const { self, logger, classic } = this.#options
    const { kind, why, configurationIndex } = refusal
    const isAboutSelf = refusal.member === self
    if (kind === 'MISFIT') {
      logger.error({ peer: id, why }, 'a peer does not fit')
      return true
    }
    // In a group that elects nobody is outdated, whatever a peer says.
    if (kind === 'OUTDATED' && isAboutSelf && id !== self && classic !== undefined) {
      this.#stopOutdated(why, { isRemembered: true })
      return false
    }
    if (kind === 'OLD_IMAGE' && isAboutSelf) {
      this.#goOnAsAnother(why)
      return false
    }
    if ((kind === 'REMOVED' || kind === 'STRANGER') && isAboutSelf) {
      // A master is one by its configuration, whatever its slaves know.
      if (classic !== 'master') raft.dismissed(configurationIndex)
      if (this.#dismissalTold) return false
      this.#dismissalTold = true
    }
    logger.warn({ peer: id, kind, why }, 'a peer is not let in, or does not let this member in')
    return false
  }

  #whyOldImage(hello: Hello): Refusal | null {
    const known = this.#known[hello.member]
    if (known === undefined || known.storeId !== hello.storeId || this.#options.faults.has('old-image-accepted'))
      return null
    if (!isOlderLife(hello.incarnation, known.incarnation) && !isOtherBranch(hello, known.incarnation)) return null
    return this.#refusal(
      'OLD_IMAGE',
      hello,
      `store ${hello.storeId} of ${hello.member} was seen in a later life: its disk shows an old image, so it may have ` +
        'forgotten votes and acknowledgements',
    )
  }

  #whyOutdated(hello: Hello): Refusal | null {
    const { voters, formers = [] } = this.#raft.configuration()
    if (formers.length === 0) return null
    const { member, storeId, standing } = hello
    const isOf = (store: string): boolean => store === storeId || standing?.stores.includes(store) === true
    const knowsPresent = voters.some((voter) => voter.storeId !== null && isOf(voter.storeId))
    const isFormer = formers.some((former) => former.storeId === storeId)
    // Who was taken in here knows the present master as soon as it has heard it.
    if (!isFormer && (knowsPresent || this.#isPeer(member))) return null
    const former = formers.findLast((each) => isOf(each.storeId))
    if (former === undefined) return null
    const present = voters.map(({ id }) => id).join(', ')
    const why =
      `${present} was made the master of group ${hello.group} by hand, from entry ${former.lastIndex + 1} on: ` +
      `the log of ${member} counts up to entry ${former.lastIndex}`
    return this.#refusal('OUTDATED', hello, why)
  }

  #whyNoMember(hello: Hello): Refusal | null {
    const raft = this.#raft
    const { self, group, commitIndex } = this.#options
    const { voters, learners } = raft.configuration()
    const { member } = hello
    if (this.#isPeer(member) || this.#mayKnowMore(hello)) return null
    const known = [...voters, ...learners].map(({ id }) => id).join(', ')
    if (raft.wasNamed(member)) {
      // Until that is committed it may still be needed.
      if (raft.configurationIndex > commitIndex()) return null
      return this.#refusal('REMOVED', hello, `${member} was removed from group ${group}, whose members are ${known}`)
    }
    return this.#refusal('STRANGER', hello, `"${member}" is not a peer of ${self}, whose peers are ${known}`)
  }

  #whyOtherStore(hello: Hello): Refusal | null {
    const raft = this.#raft
    const bound = raft.boundStoreOf(hello.member)
    if (bound === null || bound === hello.storeId) return null
    const peer = this.#peers.get(hello.member)
    const isHeard = raft.hearsStoreOf(hello.member) ?? (peer?.connected === true && peer.hello?.storeId === bound)
    if (!isHeard) return null
    return this.#refusal(
      'OTHER_STORE',
      hello,
      `group ${hello.group} knows ${hello.member} by store ${bound}, which is heard, and now store ${hello.storeId} comes ` +
        'under the same name',
    )
  }

  #refusal(kind: RefusalKind, hello: Hello, why: string): Refusal {
    const isNamed = kind !== 'REMOVED' && kind !== 'STRANGER'
    const committed = isNamed ? null : this.#raft.configurationUpTo(this.#options.commitIndex())
    const configurationIndex = committed?.index ?? -1
    return { kind, why, member: hello.member, configurationIndex }
  }

  /** The highest life of each peer's store outlives this process. Rare: once for each start of a peer. */
  #remember({ member, storeId, incarnation }: Hello): void {
    const known = this.#known[member]
    if (known !== undefined && known.storeId === storeId && known.incarnation >= incarnation) return
    const next = { ...this.#known, [member]: { storeId, incarnation } }
    for (const id of Object.keys(next)) if (id !== member && !this.#raft.isNamed(id)) delete next[id]
    const { hardState } = this.#options.member
    const hasRoom = fitsInSlot({ ...hardState, knownPeers: next }, KNOWN_PEERS_SPARE_BYTES)
    if (!hasRoom || JSON.stringify(next).length > KNOWN_PEERS_BYTES_MAX) {
      return this.#options.logger.warn({ peer: member }, 'the hard state has no room to remember this peer')
    }
    this.#known = next
    this.#write({ knownPeers: next }, () => {})
  }

  // ------------------------------------------------------------------------------------------------ another identity

  /** Whether messages are void: those of the former identity are not sent any more, those of the new one not yet. */
  get isRenaming(): boolean {
    return this.#renaming
  }

  #goOnAsAnother(why: string): void {
    if (this.#renaming) return
    this.#renaming = true
    const raft = this.#raft
    const { member, transport, logger, newStoreId } = this.#options
    const former = member.hardState.storeId
    const storeId = newStoreId()
    logger.warn(
      { why, former, storeId },
      'this store is an old image: it goes on as a new one and waits to be taken in as a learner',
    )
    this.#write({ storeId, mustBeNamed: true }, () => {
      this.#renaming = false
      raft.renamed(storeId)
      this.#hello = { ...this.#hello, storeId }
      for (const peer of this.#peers.values()) peer.connected = false
      transport.renew(this.#hello)
      this.#options.onChanged()
    })
  }

  #isOutdated = false

  /** Another master was found. That is asked again at the next start: unlike what a member says, anybody may have said it. */
  outdated(why: string): void {
    this.#stopOutdated(why, { isRemembered: false })
  }

  /** A master whose slave was made one must not lead again after a restart either, whomever it reaches then. A slave waits for the new one. */
  #stopOutdated(why: string, { isRemembered }: { readonly isRemembered: boolean }): void {
    if (this.#isOutdated) return
    this.#isOutdated = true
    const { classic, clock, logger } = this.#options
    if (classic === 'slave') return logger.warn({ why }, 'the master of this slave was replaced')
    const end = (): void => this.#options.onFailed(new DLedgerError(why, { code: 'OUTDATED', what: why }))
    if (!isRemembered) return clock.defer(end)
    // A disk that is full, or hangs, keeps it from remembering, not from stopping.
    const cancel = clock.after(OUTDATED_REMEMBERED_MS_MAX, end)
    this.#write({ outdated: why }, () => {
      cancel()
      end()
    })
  }

  #write(change: Parameters<OpenedMember['writeHardState']>[0], callback: () => void): void {
    this.#options.member.writeHardState(change, (error) => {
      if (error !== null) this.#options.onFailed(error)
      else callback()
    })
  }

  // ------------------------------------------------------------------------------------------------ configurations

  /** Looks at the configuration in force: dials whom it names, and says what it means for this member. Cheap when nothing changed. */
  refresh(): void {
    const raft = this.#raft
    const configuration = raft.configuration()
    const dialed = raft.peers
    const areGone = this.#guests.size > 0 && this.#dismissGuests()
    if (configuration === this.#configuration && dialed === this.#dialed && !areGone) return
    this.#talkTo()
    this.#sayStanding(configuration)
  }

  /** Those that are named now, and those of whom it is known now that they are not. @returns whether there were any. */
  #dismissGuests(): boolean {
    const { size } = this.#guests
    for (const [id, { lastTerm, lastIndex }] of this.#guests) {
      if (id === this.#master?.id && !this.#isPeer(id)) continue
      if (this.#isPeer(id) || !this.#raft.isBehind(lastTerm, lastIndex)) this.#guests.delete(id)
    }
    return this.#guests.size < size
  }

  #talkTo(): void {
    const raft = this.#raft
    const { transport } = this.#options
    const configuration = raft.configuration()
    this.#configuration = configuration
    this.#dialed = raft.peers
    const { voters, learners } = configuration
    const dialed =
      this.#options.classic === 'slave'
        ? []
        : [...this.#dialed, ...[...this.#guests.keys()].filter((id) => !this.#dialed.includes(id))]
    const addresses = new Map([...voters, ...learners].map(({ id, address }) => [id, address]))
    if (this.#master !== null && !dialed.includes(this.#master.id)) dialed.push(this.#master.id)
    const addressOf = (id: MemberId): string | null =>
      (id === this.#master?.id ? this.#master.address : null) ??
      addresses.get(id) ??
      this.#guests.get(id)?.address ??
      this.#addressOf.get(id) ??
      null
    const peers = dialed.map((id) => ({ id, address: addressOf(id) }))
    for (const { id, address } of peers) if (address !== null) this.#addressOf.set(id, address)
    for (const { id } of peers) if (!this.#peers.has(id)) this.#peers.set(id, { connected: false, hello: null })
    for (const id of this.#peers.keys()) {
      if (dialed.includes(id)) continue
      this.#peers.delete(id)
      this.#addressOf.delete(id)
      raft.peerLost(id)
    }
    transport.setPeers(peers)
  }

  /** Of members that are told of their removal, which the configuration does not name any more. */
  readonly #addressOf = new Map<MemberId, string>()

  #sayStanding({ voters, learners }: Configuration): void {
    const raft = this.#raft
    const { self, logger, expected, member } = this.#options
    if (raft.configurationIndex === -1) return
    const own = [...voters, ...learners].find(({ id }) => id === self)
    const { storeId } = member.hardState
    const standing =
      own === undefined
        ? 'none'
        : own.storeId !== null && own.storeId !== storeId
          ? 'another store'
          : voters.some(({ id }) => id === self)
            ? 'voter'
            : 'learner'
    const isFirst = this.#standing === ''
    if (standing === this.#standing) return
    this.#standing = standing
    const named = [...voters, ...learners].map(({ id }) => id)
    if (isFirst && (named.length !== expected.length || named.some((id) => !expected.includes(id)))) {
      logger.warn({ expected, members: named }, 'the log names other members than the options: the log counts')
    }
    if (standing === 'voter') logger.info({ storeId }, 'this member is a voter')
    else if (standing === 'learner') logger.info({ storeId }, 'this member is a learner')
    else if (standing === 'none') {
      logger.warn(
        { members: named },
        'the group does not name this member: it asks for no votes and serves what it has',
      )
    } else {
      logger.warn(
        { storeId, bound: own?.storeId },
        'the group knows this member by another store: its disk was replaced or restored, so it waits to be taken in again as a learner',
      )
    }
  }

  // ------------------------------------------------------------------------------------------------ changes

  /** Asks for a change; the callback is told once, never within this call. @returns what ends the wait, telling TIMEOUT. */
  change(change: MembershipChange, callback: ChangeCallback): () => void {
    const { clock } = this.#options
    const later = (error: DLedgerError): (() => void) => {
      clock.defer(() => callback(error))
      return () => {}
    }
    const role = this.#options.role()
    if (role.role !== 'LEADER') return later(this.#notLeader())
    if (this.#waiting.length >= CHANGES_WAITING_MAX) {
      return later(new DLedgerError('too many changes of the membership wait', { code: 'BUSY', uncommittedBytes: 0 }))
    }
    this.#supersede(change)
    const waiting: WaitingChange = { change, callback, begun: false }
    this.#waiting.push(waiting)
    return () => {
      if (this.#take(waiting)) callback(unknown('the wait was given up'))
    }
  }

  /** What waits and wants something else of the same member is not gone on with; it is told so later. */
  #supersede(change: MembershipChange): void {
    for (const waiting of this.#waiting.filter((one) => contradict(one.change, change))) {
      this.#take(waiting)
      const why = `another change of ${change.id} was asked for before this one was done`
      this.#options.clock.defer(() => waiting.callback(waiting.begun ? unknown(why) : invalid(why)))
    }
  }

  /** Goes on with what is under way, one configuration at a time: the leader's own changes first, then those asked for. */
  step(): void {
    const raft = this.#raft
    const { role, propose, member } = this.#options
    if (role().role !== 'LEADER') {
      if (this.#waiting.length > 0) this.abandon('the leadership was lost')
      return
    }
    const own = raft.configurationToPropose()
    if (own !== null) propose(own)
    for (const waiting of this.#waiting.slice()) {
      const next = raft.nextStep(waiting.change)
      if (next === null || next.kind === 'WAITS') continue
      if (
        next.kind === 'STEP' &&
        this.#grows(waiting.change) &&
        !hasRoomForConfiguration(member.hardState, next.configuration)
      ) {
        const why = 'ids and addresses of all members are too long together: the hard state has no room for them'
        if (this.#take(waiting)) waiting.callback(waiting.begun ? unknown(why) : invalid(why))
      } else if (next.kind === 'STEP') waiting.begun = propose(next.configuration) || waiting.begun
      else if (this.#take(waiting)) waiting.callback(next.kind === 'DONE' ? null : invalid(next.why))
    }
  }

  /** A removal, and whoever is named already as it is wanted, takes no more room than is taken. */
  #grows(change: MembershipChange): boolean {
    if (change.kind === 'remove') return false
    const { voters, learners } = this.#raft.configuration()
    const known = [...voters, ...learners].find(({ id }) => id === change.id)
    return known === undefined || (change.address !== null && change.address !== known.address)
  }

  /** Nobody can say any more what becomes of them. */
  abandon(why: string): void {
    const waiting = this.#waiting
    this.#waiting = []
    tellEach(waiting, ({ callback, begun }) => callback(begun ? unknown(why) : this.#notLeader()))
  }

  #take(waiting: WaitingChange): boolean {
    const at = this.#waiting.indexOf(waiting)
    if (at === -1) return false
    this.#waiting.splice(at, 1)
    return true
  }

  #notLeader(): DLedgerError {
    const role = this.#options.role()
    const leader = role.role === 'LEADER' ? null : role.leader
    const text = `this member is not the leader${leader === null ? '; none is known' : `; ${leader} is`}`
    return new DLedgerError(text, { code: 'NOT_LEADER', leader })
  }
}

function unknown(why: string): DLedgerError {
  return new DLedgerError(`${why}; the change may still happen, and asking for it again goes on with it`, {
    code: 'TIMEOUT',
  })
}
