/**
 * Tests only: a group of cores with a plain network and plain disks between them, driven step by step from outside.
 *
 * It is the smallest driver that keeps the contract of `output.ts`: messages wait in one list until somebody delivers, drops
 * or doubles them; writes wait until somebody completes them; a crash keeps what was durable, and nothing else. After each
 * step `check` holds the group to the safety properties of Raft.
 */
import { assert } from '@dledger-ts/base'
import type { Configuration, Member } from '../configuration.ts'
import type { MembershipChange } from '../membership-change.ts'
import type { MemberId, Message } from '../messages.ts'
import type { ColdRead, HardTermAndVote, Output, RaftOptions, RoleState } from '../output.ts'
import { NO_FAULTS, type PlantedFault } from '../planted-faults.ts'
import { Raft } from '../raft.ts'
import type { HandoverOptions } from '../role/handover.ts'
import { describeMessage } from './describe-message.ts'

export interface TestEntry {
  readonly term: number
  readonly value: string
  readonly configuration: Configuration | null
}
export interface Letter {
  /** The receiver's store when it was sent: a connection is one with a store. */
  readonly toStoreId: string
  readonly message: Message
  readonly entries: readonly TestEntry[]
}
interface LogWrite {
  readonly seq: number
  readonly truncateFrom: number | null
  readonly firstIndex: number
  readonly entries: readonly TestEntry[]
}

export const ENTRY_BYTES = 100
/** In ticks that are a heartbeat each; an election timeout has four. */
const TEST_HANDOVER: HandoverOptions = {
  preferredLeader: null,
  stableTicks: 10,
  retryTicks: 20,
  unwellRetryTicks: 4,
  slowTicksMax: 12,
}

export class TestMember {
  readonly id: MemberId
  storeId: string
  /** It joins a group that is there: it waits to be named. */
  readonly joins: boolean
  /** What its lost disks held, by their identities: acknowledgements given for that count. */
  readonly lostLogs = new Map<string, readonly TestEntry[]>()
  raft!: Raft
  isUp = false
  /** In memory, as the core sees it. */
  log: TestEntry[] = []
  /** On disk. */
  durableLog: TestEntry[] = []
  durableHardState: HardTermAndVote = { term: 0, votedFor: null }
  incarnation = 0
  /** As its disk says. */
  recovering = false
  becomesIntact = false
  logWrites: LogWrite[] = []
  hardStateWrites: HardTermAndVote[] = []
  held: Letter[] = []
  coldReads: ColdRead[] = []
  commitIndex = -1
  role: RoleState = { role: 'FOLLOWER', term: 0, leader: null, ready: false }
  noopTerm = 0
  /** What was committed anywhere when a read was asked for that has no answer yet. */
  readonly reads = new Map<number, number>()

  constructor(id: MemberId, { joins }: { readonly joins: boolean }) {
    this.id = id
    this.joins = joins
    this.storeId = `store-${id}`
  }
}

export interface ClusterOptions {
  readonly size: number
  /** Members beyond `size` that no configuration names at first. */
  readonly spares?: number
  readonly random: (counter: number, bound: number) => number
  readonly faults?: ReadonlySet<PlantedFault>
  readonly overrides?: Partial<RaftOptions>
  /** Told each message that arrives, and what the members do. */
  readonly trace?: (line: string) => void
}

export class Cluster {
  readonly members: TestMember[] = []
  readonly network: Letter[] = []
  /** What anybody ever committed. */
  readonly committed: TestEntry[] = []
  readonly #leaders = new Map<number, MemberId>()
  readonly #size: number
  readonly #options: ClusterOptions
  readonly #faults: ReadonlySet<PlantedFault>
  #draws = 0
  #values = 0
  #tokens = 0

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#faults = options.faults ?? NO_FAULTS
    this.#size = options.size
    for (let i = 0; i < options.size + (options.spares ?? 0); i++) {
      this.members.push(new TestMember(`n${i}`, { joins: i >= options.size }))
    }
    for (const member of this.members) this.start(member)
  }

  member(id: MemberId): TestMember {
    const found = this.members.find((member) => member.id === id)
    assert(found !== undefined, 'a message names a member')
    return found
  }

  /** The leader of the highest term among those that are up. */
  get leader(): TestMember | null {
    let leader: TestMember | null = null
    for (const member of this.members) {
      if (!member.isUp || member.raft.status().role !== 'LEADER') continue
      if (leader === null || member.raft.status().term > leader.raft.status().term) leader = member
    }
    return leader
  }

  start(member: TestMember): void {
    assert(!member.isUp, 'a member is started when it is down')
    member.log = [...member.durableLog]
    member.incarnation++
    member.becomesIntact = false
    member.logWrites = []
    member.hardStateWrites = []
    member.held = []
    member.coldReads = []
    member.commitIndex = -1
    member.noopTerm = 0
    member.reads.clear()
    member.role = { role: 'FOLLOWER', term: member.durableHardState.term, leader: null, ready: false }
    const termRuns: { firstIndex: number; term: number }[] = []
    const configurations: { index: number; configuration: Configuration }[] = []
    for (const [index, entry] of member.log.entries()) {
      if (termRuns.at(-1)?.term !== entry.term) termRuns.push({ firstIndex: index, term: entry.term })
      if (entry.configuration !== null) configurations.push({ index, configuration: entry.configuration })
    }
    member.raft = new Raft(
      {
        self: member.id,
        selfStoreId: member.storeId,
        bootstrapVoters: this.members.slice(0, this.#size).map((each) => each.id),
        mustBeNamed: member.joins,
        heartbeatTicks: 1,
        electionTicks: 4,
        random: { below: (bound) => this.#options.random(this.#draws++, bound) },
        handover: TEST_HANDOVER,
        inflightBytesMax: 10 * ENTRY_BYTES,
        appendBytesMax: 4 * ENTRY_BYTES,
        uncommittedBytesMax: 20 * ENTRY_BYTES,
        hotBytesMax: 6 * ENTRY_BYTES,
        hardState: member.durableHardState,
        incarnation: member.incarnation,
        recovering: member.recovering,
        log: { firstIndex: 0, lastIndex: member.log.length - 1, prevTerm: 0, termRuns, configurations },
        appliedIndex: -1,
        ...this.#options.overrides,
      },
      this.#faults,
    )
    member.isUp = true
    if (member.lostLogs.size > 0) this.#introduce(member)
  }

  /** The process dies. The first `written` of its unfinished log writes reached the disk all the same. */
  crash(member: TestMember, written = 0): void {
    for (const write of member.logWrites.slice(0, written)) writeTo(member.durableLog, write)
    member.isUp = false
  }

  /** The machine goes off: the newest `lost` entries that it acknowledged were in its page cache only. */
  losePower(member: TestMember, lost: number): void {
    this.crash(member)
    member.durableLog.length = Math.max(0, member.durableLog.length - lost)
    member.recovering = true
  }

  /** What a recovering member holds is synced, and its disk says that it is intact. */
  completeRecovery(member: TestMember): boolean {
    if (!member.becomesIntact) return false
    member.becomesIntact = false
    member.recovering = false
    this.#options.trace?.(`   ${member.id} is intact`)
    member.raft.intact()
    return true
  }

  /** The disk is replaced by an empty one. */
  wipe(member: TestMember): void {
    assert(!member.isUp, 'a disk is replaced while the member is down')
    member.lostLogs.set(member.storeId, member.durableLog)
    member.durableLog = []
    member.durableHardState = { term: 0, votedFor: null }
    member.storeId += '*'
  }

  tick(member: TestMember): void {
    member.raft.tick()
    this.#drain(member)
  }

  /** Delivers a message that is in the network; whether it stays there, for a second time, is the caller's choice. */
  deliver(letter: Letter): void {
    const member = this.member(letter.message.to)
    if (!member.isUp || member.storeId !== letter.toStoreId) return
    this.#drain(member)
    this.#options.trace?.(`${letter.message.from} -> ${letter.message.to}: ${describeMessage(letter.message)}`)
    const result = member.raft.step(
      letter.message,
      letter.entries.map(() => ENTRY_BYTES),
    )
    this.#drain(member, letter)
    if (result.acceptedFirst >= 0) {
      for (let i = 0; i < result.acceptedCount; i++) {
        const configuration = member.log[result.acceptedFirst + i]?.configuration ?? null
        if (configuration !== null) member.raft.configurationAppended(result.acceptedFirst + i, configuration)
      }
    }
    this.#drain(member)
  }

  takeLetter(at: number): Letter {
    const letter = this.network[at]
    assert(letter !== undefined, 'a delivered message is in the network')
    this.network.splice(at, 1)
    return letter
  }

  /** @returns whether the entries were taken. */
  propose(member: TestMember, count: number): boolean {
    const placed = member.raft.propose('data', Array<number>(count).fill(ENTRY_BYTES))
    if (typeof placed === 'string') return false
    for (let i = 0; i < count; i++) {
      member.log.push({ term: placed.term, value: `v${this.#values++}`, configuration: null })
    }
    return true
  }

  /** The leader's own changes: identities, replaced disks, learners that have caught up. */
  bindIdentities(member: TestMember): boolean {
    const configuration = member.raft.configurationToPropose()
    return configuration !== null && this.#proposeConfiguration(member, configuration)
  }

  /** One step towards what an operator wants. @returns whether a configuration was proposed. */
  change(member: TestMember, change: MembershipChange): boolean {
    const next = member.raft.nextStep(change)
    return next?.kind === 'STEP' && this.#proposeConfiguration(member, next.configuration)
  }

  /** The newest configuration that is committed, and where it stands; null while none is. */
  committedConfiguration(): { readonly index: number; readonly configuration: Configuration } | null {
    for (let index = this.committed.length - 1; index >= 0; index--) {
      const configuration = this.committed[index]?.configuration ?? null
      if (configuration !== null) return { index, configuration }
    }
    return null
  }

  #proposeConfiguration(member: TestMember, configuration: Configuration): boolean {
    const placed = member.raft.propose('configuration', [ENTRY_BYTES], configuration)
    if (typeof placed === 'string') return false
    member.log.push({ term: placed.term, value: `configuration ${JSON.stringify(configuration)}`, configuration })
    return true
  }

  /** @returns why it was refused, or null. */
  read(member: TestMember): string | null {
    const token = ++this.#tokens
    const refusal = member.raft.readIndex(token)
    if (refusal === null) member.reads.set(token, this.committed.length - 1)
    return refusal
  }

  /** The oldest unfinished log write completes. */
  completeLogWrite(member: TestMember): boolean {
    const write = member.logWrites.shift()
    if (write === undefined) return false
    writeTo(member.durableLog, write)
    member.raft.persisted(write.seq)
    return true
  }

  /** The oldest unfinished hard state write completes; the core hears of it when it was the newest. */
  completeHardStateWrite(member: TestMember): boolean {
    const write = member.hardStateWrites.shift()
    if (write === undefined) return false
    member.durableHardState = write
    if (member.hardStateWrites.length === 0) {
      for (const letter of member.held) this.#post(member, letter)
      member.held = []
      member.raft.hardStatePersisted()
    }
    return true
  }

  apply(member: TestMember): void {
    member.raft.applied(member.commitIndex)
  }

  answerColdRead(member: TestMember, count: number): boolean {
    const read = member.coldReads.shift()
    if (read === undefined) return false
    const available = Math.min(read.lastIndex - read.firstIndex + 1, Math.floor(read.bytesMax / ENTRY_BYTES), count)
    member.raft.coldRead(read.peer, read.firstIndex, available, available * ENTRY_BYTES)
    return true
  }

  /** Hands out what the core wants, as `output.ts` orders it, until there is nothing more. */
  drain(member: TestMember): void {
    this.#drain(member)
  }

  /** One calm moment: everything that can complete completes, and all messages arrive, in order; ticks do not pass. */
  settle(isConnected: (from: MemberId, to: MemberId) => boolean = () => true): void {
    for (let round = 0; round < 500; round++) {
      let progress = false
      for (const member of this.members) {
        if (!member.isUp) continue
        this.#drain(member)
        while (this.completeHardStateWrite(member)) progress = true
        if (this.completeRecovery(member)) progress = true
        while (this.completeLogWrite(member)) progress = true
        while (this.answerColdRead(member, 1000)) progress = true
        this.apply(member)
        this.#drain(member)
      }
      const letters = this.network.splice(0)
      for (const letter of letters) {
        if (!isConnected(letter.message.from, letter.message.to)) continue
        this.deliver(letter)
        progress = true
      }
      if (!progress) return
    }
    assert(false, 'a calm group comes to rest')
  }

  /** Ticks pass for all, each followed by a calm moment, until `done`. @returns how many it took. */
  runUntil(
    done: () => boolean,
    ticksMax: number,
    isConnected: (from: MemberId, to: MemberId) => boolean = () => true,
  ): number {
    for (let ticks = 0; ticks <= ticksMax; ticks++) {
      if (done()) return ticks
      for (const member of this.members) if (member.isUp) this.tick(member)
      this.settle(isConnected)
      this.check()
    }
    assert(false, 'a calm group gets there in time')
    return -1
  }

  /** Lets `member` win an election, in a group in which everybody can hear it. What is in the network is lost. */
  elect(member: TestMember): void {
    for (const each of this.members) {
      if (each.isUp && each.role.leader !== null && each !== member) each.raft.peerLost(each.role.leader)
      if (each.isUp) this.#drain(each)
    }
    // What the others ask meanwhile gets lost.
    this.network.length = 0
    member.raft.campaign()
    this.settle()
  }

  /** Everybody is up, and lives long enough to agree again. @returns the ticks it took. */
  heal(ticksMax: number): number {
    for (const member of this.members) if (!member.isUp) this.start(member)
    for (const member of this.members) {
      member.raft.storageHealth(0)
      for (const peer of this.members) if (peer !== member) member.raft.peerConnected(peer.id, peer.storeId)
      this.#drain(member)
    }
    return this.runUntil(() => {
      for (const member of this.members) if (member.isUp) this.bindIdentities(member)
      return this.#hasConverged()
    }, ticksMax)
  }

  /** The safety properties, over all members. */
  check(): void {
    for (const member of this.members) {
      if (!member.isUp) continue
      member.raft.checkInvariants()
      const { role, term, lastIndex, durableIndex } = member.raft.status()
      assert(lastIndex === member.log.length - 1, 'core and log agree on the last index')
      for (let index = 0; index <= lastIndex; index++) {
        assert(member.raft.termAt(index) === member.log[index]?.term, 'core and log agree on the terms')
      }
      for (let index = 0; index <= durableIndex; index++) {
        assert(same(member.durableLog[index], member.log[index]), 'what counts as durable is on the disk')
      }
      if (role !== 'LEADER') continue
      const other = this.#leaders.get(term)
      assert(other === undefined || other === member.id, 'election safety: one leader in a term')
      if (other !== undefined) continue
      this.#leaders.set(term, member.id)
      for (const [index, entry] of this.committed.entries()) {
        assert(same(member.log[index], entry), 'leader completeness: a leader has all that is committed')
      }
    }
    for (const member of this.members) this.#checkConfigurations(member)
    for (const a of this.members) {
      for (const b of this.members) if (a.id < b.id) checkLogMatching(a.log, b.log)
    }
  }

  /** A configuration in a log follows one that is committed, and an entry of its own term that is (Ongaro §4.1). */
  #checkConfigurations(member: TestMember): void {
    const first = member.log.findLastIndex(
      (entry, index) => index < this.committed.length && same(this.committed[index], entry),
    )
    let uncommitted = 0
    for (let index = first + 1; index < member.log.length; index++) {
      const entry = member.log[index] as TestEntry
      if (entry.configuration === null) continue
      uncommitted++
      assert(uncommitted <= 1, 'one configuration at a time is not committed')
      assert(
        this.committed.some((each) => each.term === entry.term),
        'a configuration follows a committed entry of its own term',
      )
    }
  }

  #hasConverged(): boolean {
    const leader = this.leader
    if (leader === null || !leader.raft.status().ready) return false
    const { voters, learners } = leader.raft.configuration()
    if (learners.some((learner) => learner.promote)) return false
    return this.members.every((member) => {
      if (![...voters, ...learners].some((each) => each.id === member.id)) return true
      const { lastIndex, commitIndex, durableIndex } = member.raft.status()
      return lastIndex === commitIndex && durableIndex === lastIndex && lastIndex === leader.log.length - 1
    })
  }

  #drain(member: TestMember, letter: Letter | null = null): void {
    for (;;) {
      if (member.role.role === 'LEADER' && member.noopTerm < member.role.term) this.#proposeNoop(member)
      const output = member.raft.takeOutput()
      if (output === null) return
      this.#handle(member, output, letter)
    }
  }

  #proposeNoop(member: TestMember): void {
    member.noopTerm = member.role.term
    const placed = member.raft.propose('noop', [ENTRY_BYTES])
    assert(typeof placed !== 'string', 'a new leader proposes its no-op')
    member.log.push({ term: placed.term, value: `noop ${placed.term}`, configuration: null })
  }

  #handle(member: TestMember, output: Output, letter: Letter | null): void {
    if (output.hardState !== null) member.hardStateWrites.push(output.hardState)
    if (output.persistSeq > 0) this.#write(member, output, letter)
    for (const message of output.send) this.#post(member, this.#letter(member, message))
    for (const message of output.sendAfterHardState) member.held.push(this.#letter(member, message))
    member.coldReads.push(...output.coldReads)
    assert(output.commitIndex >= member.commitIndex, 'commitIndex never decreases')
    for (let index = member.commitIndex + 1; index <= output.commitIndex; index++) this.#commit(member, index)
    if (output.commitIndex > member.commitIndex) this.#options.trace?.(`   ${member.id} commits ${output.commitIndex}`)
    member.commitIndex = output.commitIndex
    for (const { token, index } of output.reads) this.#readAnswered(member, token, index)
    if (output.becomesIntact) member.becomesIntact = true
    if (output.role === null) return
    member.role = output.role
    const { role, term, leader, ready } = output.role
    this.#options.trace?.(
      `   ${member.id} is ${role} in term ${term}, leader ${leader ?? 'unknown'}${ready ? ', ready' : ''}`,
    )
  }

  #readAnswered(member: TestMember, token: number, index: number): void {
    const committed = member.reads.get(token)
    assert(committed !== undefined, 'a read is answered once')
    member.reads.delete(token)
    assert(index === -1 || index >= committed, 'a read sees all that was committed when it was asked for')
    this.#options.trace?.(`   ${member.id} ${index < 0 ? 'is refused its read' : `reads up to ${index}`}`)
  }

  #write(member: TestMember, output: Output, letter: Letter | null): void {
    if (output.truncateFrom !== null) {
      this.#options.trace?.(`   ${member.id} truncates from ${output.truncateFrom}`)
      assert(output.truncateFrom > member.commitIndex, 'nothing committed is truncated')
      member.log.length = output.truncateFrom
    }
    let entries: readonly TestEntry[] = []
    if (output.append !== null) {
      const { firstIndex, lastIndex, term } = output.append
      this.#options.trace?.(`   ${member.id} appends ${firstIndex}..${lastIndex} of term ${term}`)
      if (letter?.message.type === 'AppendEntries') {
        assert(firstIndex === member.log.length, 'an append continues the log')
        const start = letter.message.prevIndex + 1
        member.log.push(...letter.entries.slice(firstIndex - start, lastIndex + 1 - start))
      }
      entries = member.log.slice(firstIndex, lastIndex + 1)
      assert(
        entries.length === lastIndex + 1 - firstIndex && entries.every((entry) => entry.term === term),
        'an append is of one term',
      )
    }
    member.logWrites.push({
      seq: output.persistSeq,
      truncateFrom: output.truncateFrom,
      firstIndex: output.append?.firstIndex ?? member.log.length,
      entries,
    })
  }

  #letter(member: TestMember, message: Message): Letter {
    const toStoreId = this.member(message.to).storeId
    if (message.type !== 'AppendEntries') return { message, entries: [], toStoreId }
    const entries = member.log.slice(message.prevIndex + 1, message.prevIndex + 1 + message.count)
    assert(entries.length === message.count, 'an AppendEntries carries entries of the log')
    assert(
      entries.every((entry) => entry.term === message.entriesTerm),
      'an AppendEntries carries one term',
    )
    assert(message.bytes === message.count * ENTRY_BYTES, 'an AppendEntries knows its size')
    return { message, entries, toStoreId }
  }

  /** What leaves a member may say only what its disk says too. */
  #post(member: TestMember, letter: Letter): void {
    const { message } = letter
    const hardState = member.durableHardState
    if (message.type !== 'PreVote' && !(message.type === 'PreVoteResponse' && message.granted)) {
      assert(message.term <= hardState.term, 'no message reveals a term that is not durable')
    }
    if (message.type === 'RequestVoteResponse' && message.granted && message.term === hardState.term) {
      assert(hardState.votedFor === message.to, 'no message reveals a vote that is not durable')
    }
    if (message.type === 'AppendEntriesResponse' && message.success) {
      assert(message.matchIndex < member.durableLog.length, 'only what is durable is acknowledged')
    }
    this.network.push(letter)
  }

  /** Everybody connects anew with a member whose disk was replaced: its connections are of its new store. */
  #introduce(member: TestMember): void {
    for (const other of this.members) {
      if (!other.isUp || other === member) continue
      other.raft.peerConnected(member.id, member.storeId)
      member.raft.peerConnected(other.id, other.storeId)
      this.#drain(other)
    }
  }

  #durableLogOf({ id, storeId }: Member): readonly TestEntry[] | undefined {
    const holder = this.members.find((each) => each.id === id)
    return storeId === null || storeId === holder?.storeId ? holder?.durableLog : holder?.lostLogs.get(storeId)
  }

  #commit(member: TestMember, index: number): void {
    const entry = member.log[index]
    assert(entry !== undefined, 'what is committed is in the log')
    const known = this.committed[index]
    if (known !== undefined) {
      assert(same(known, entry), 'what is committed never changes')
      return
    }
    const { voters } = member.raft.configuration()
    const copies = voters.filter((voter) => same(this.#durableLogOf(voter)?.[index], entry)).length
    assert(copies > voters.length / 2, 'what is committed is durable on a majority of the configuration')
    assert(this.committed.length === index, 'entries are committed in order')
    this.committed.push(entry)
  }
}

function writeTo(log: TestEntry[], write: LogWrite): void {
  if (write.truncateFrom !== null) log.length = Math.min(log.length, write.truncateFrom)
  if (write.entries.length === 0) return
  assert(log.length === write.firstIndex, 'writes reach the disk in order')
  log.push(...write.entries)
}

function same(a: TestEntry | undefined, b: TestEntry | undefined): boolean {
  return a !== undefined && b !== undefined && a.term === b.term && a.value === b.value
}

function checkLogMatching(a: readonly TestEntry[], b: readonly TestEntry[]): void {
  let at = Math.min(a.length, b.length) - 1
  while (at >= 0 && a[at]?.term !== b[at]?.term) at--
  for (; at >= 0; at--) assert(same(a[at], b[at]), 'log matching: equal index and term, equal logs up to there')
}
