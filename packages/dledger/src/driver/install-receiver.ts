/**
 * A follower's side of an install: receives the state and the files, and says when they are whole.
 *
 *   InstallOffer ──► what is there fits? ──► pieces checked, written, acknowledged ──► all synced ──► onWhole: the switch
 *
 * Keeps:
 *   - until the switch this member's own log counts in everything: votes, acknowledgements, commit. A received entry is named in
 *     InstallAck only, which says nothing of what this member holds.
 *   - received logs are prefixes of what is committed, so pieces of one leader go on where those of another ended.
 *   - the switch discards nothing that could be committed: the last received entry is committed and is not in this member's log,
 *     so whatever that has from there on, or in conflict before, never will be.
 *   - a member whose log is not behind, but has lost entries from before the leader's start, takes the state alone. Its log stays, and
 *     starts where the leader's does: what is forgotten was committed, and so is the state, which the own commit index has reached.
 *   - a log that cannot be cut, because the entry before the cut is lost and the leader has trimmed that, ends there: what the core
 *     has from there on is in memory only, also where it was applied. All that is offered takes its place.
 *   - so it does where the terms of lost entries are not known, which the leader has trimmed: such a log takes no entries.
 *   - no state machine is left with less for good than where the log starts, also where it has applied more from memory.
 *   - no answer tells of a term that is not durable, and what is remembered of a transfer never takes a switch back that has begun.
 *   - there is an edge that ends every transfer: it is whole, or the own log has caught up meanwhile, which is said.
 */
import { assert, crc32, type Logger } from '@dledger-ts/base'
import { decodeConfiguration } from '../configuration-codec.ts'
import { isDiskFull } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import type { BaseConfiguration, Incoming } from '../hard-state/hard-state-codec.ts'
import { ENTRY_HEADER_BYTES } from '../log/entry-batch.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import { checkBatch } from '../log/entry-codec.ts'
import type { InstallOffer, InstallPiece, MemberId } from '../raft/messages.ts'
import type { RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import type { Transport } from '../transport/transport.ts'
import type { OpenedMember } from './open-member.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'
import { discardIncoming, Staging, type StagingOptions } from './staging.ts'

/** So many pieces are synced, and remembered for the next start, at once. */
const SYNC_PIECES = 32

export interface InstallReceiverOptions extends StagingOptions {
  readonly member: OpenedMember
  readonly raft: Raft
  readonly transport: Transport
  readonly self: MemberId
  readonly hasStateMachine: boolean
  readonly role: () => RoleState
  /** The highest term that is on the disk. */
  readonly durableTerm: () => number
  readonly commitIndex: () => number
  readonly appliedIndex: () => number
  /** What the state machine has for good; -1 when that is nothing. */
  readonly checkpointIndex: () => number
  /** The entry from which on the own log is to be cut, which waits for the repair of the one before; infinite when none does. */
  readonly blockedFrom: () => number
  readonly faults: ReadonlySet<PlantedDriverFault>
  readonly whileRunning: (work: () => void) => void
  /** All of it is received and synced. */
  readonly onWhole: (incoming: Incoming) => void
  readonly onFailed: (error: Error) => void
  readonly logger: Logger
}

export class InstallReceiver {
  readonly #options: InstallReceiverOptions
  #offer: InstallOffer | null = null
  #staging: Staging | null = null
  /** What is there of it is being read. */
  #opening: Staging | null = null
  /** What is on its way is made ready, or the switch has begun: nothing is taken in. */
  #isBusy = false
  /** What is being synced and remembered; whether a sync of what was given up is ever told does not matter. */
  #syncing: Staging | null = null
  #writesUnderWay = 0
  #unsyncedPieces = 0
  /** The entry after the last one that has reached the page cache. */
  #nextIndex = 0

  constructor(options: InstallReceiverOptions) {
    this.#options = options
  }

  offered(offer: InstallOffer, payload: Buffer | null): void {
    if (!this.#comesFromLeader(offer) || this.#isBusy) return
    // What came with the last switch is still being taken in.
    if (this.#options.member.hardState.incoming?.phase === 'RESTORING') return
    const base = baseOf(offer, payload)
    if (base === undefined) {
      this.#options.logger.warn(
        { from: offer.from },
        'an offer of files was refused: its configuration is not readable',
      )
      return
    }
    const wanted = this.#wanted(offer)
    if (wanted === 'NOTHING') return this.#isNotNeeded(offer)
    const stateOnly = wanted === 'STATE'
    if (
      offer.snapshotIndex === -1 &&
      this.#options.hasStateMachine &&
      offer.firstIndex - 1 > this.#options.appliedIndex()
    ) {
      this.#options.logger.warn({ from: offer.from }, 'files are offered without the state that belongs to them')
      return
    }
    const staging = this.#staging
    const isSame = (staging?.incoming.stateOnly ?? false) === stateOnly
    const goesOn =
      staging !== null && isSame && this.#fits(staging.incoming, staging, offer) && this.#isVouchedFor(staging, offer)
    // What is there is being synced, and would have to be once more: the next offer finds that done.
    if (!goesOn && staging !== null && this.#syncing === staging) return
    this.#offer = offer
    if (!goesOn) return this.#prepare(offer, base, stateOnly)
    this.#acknowledge()
    // All of it may be there already, with no piece to come that would say so.
    this.#progress()
  }

  received(piece: InstallPiece, payload: Buffer | null): void {
    const staging = this.#staging
    const offer = this.#offer
    if (staging === null || offer === null || this.#isBusy) return
    if (!this.#comesFromLeader(piece) || piece.id !== offer.id || piece.term !== offer.term) return
    const bytes = payload ?? Buffer.alloc(0)
    if (!this.#options.faults.has('piece-crc-ignored') && crc32(bytes) !== piece.crc) {
      this.#options.logger.warn({ from: piece.from, at: piece.at }, 'a piece was refused: its checksum is wrong')
      return
    }
    if (piece.isState) this.#receivedState(staging, piece, bytes)
    else this.#receivedEntries(staging, piece, bytes)
  }

  /** The received files are this member's now, or the member stops. Idempotent. */
  close(): void {
    this.#isBusy = true
    const staging = this.#staging ?? this.#opening
    // Before it is closed: writes that wait for room are told so then, and that is no failure.
    this.#staging = null
    this.#opening = null
    staging?.close()
  }

  /** The switch was given up: the own log has caught up meanwhile. */
  abandoned(): void {
    this.#isBusy = false
    const offer = this.#offer
    if (offer !== null) this.#isNotNeeded(offer)
  }

  /** Whether a log that ends so in a committed entry may take the place of the own one. */
  isStillBetter({ hint, beforeFirst, stateOnly, snapshot }: Incoming): boolean {
    const [firstIndex, stateIndex] = [beforeFirst.index + 1, snapshot?.index ?? -1]
    if (stateOnly === true) return this.#mayStartAt(firstIndex, stateIndex)
    const lastTerm = this.#staging?.log.lastTerm ?? -1
    if (hint === null || lastTerm === -1) return false
    return this.#isBetter(hint.index, lastTerm) && this.#stateReaches(firstIndex, stateIndex)
  }

  /** The transfer that led to the switch is over: for the leader to hear. */
  overAck(index: number): { readonly to: MemberId; readonly id: number; readonly index: number } | null {
    return this.#offer === null ? null : { to: this.#offer.from, id: this.#offer.id, index }
  }

  /**
   * Up to where the own log is known to be committed: also by an offer that ends in an entry which is here, because then all before is
   * the same (Ongaro §3.5). A member that cannot compare its log with the leader's learns it only thus.
   */
  committedIndex(): number {
    const { member, raft, commitIndex } = this.#options
    if (this.#offer === null) return commitIndex()
    const { lastIndex, lastTerm } = this.#offer
    const holds = raft.termAt(lastIndex) === lastTerm && member.log.firstLostFrom(lastIndex) > lastIndex
    return holds ? Math.max(commitIndex(), lastIndex) : commitIndex()
  }

  #wanted({ firstIndex, lastIndex, lastTerm, snapshotIndex }: InstallOffer): 'ALL' | 'STATE' | 'NOTHING' {
    const { commitIndex, blockedFrom, member } = this.#options
    // With the state alone this log would wait for ever. An offer that does not reach what is committed here is followed by another.
    if (blockedFrom() <= firstIndex)
      return this.#isBetter(lastIndex, lastTerm) && this.#stateReaches(firstIndex, snapshotIndex) ? 'ALL' : 'NOTHING'
    // A log that starts within what is committed here has nothing that this one could not be sent entry by entry.
    if (firstIndex - 1 > commitIndex() && this.#isBetter(lastIndex, lastTerm)) return 'ALL'
    if (!this.#lacksHead(firstIndex)) return 'NOTHING'
    if (!this.#termsUnknownIn(member.log.firstIndex, firstIndex - 1)) return 'STATE'
    // It takes no entries, so with the state alone it would wait for ever for those that it has not.
    if (this.#isBetter(lastIndex, lastTerm)) return this.#stateReaches(firstIndex, snapshotIndex) ? 'ALL' : 'NOTHING'
    // An offer that ends where nobody can tell whether it is this log's is followed by another.
    return this.#termsUnknownIn(lastIndex, lastIndex) && lastIndex > commitIndex() ? 'NOTHING' : 'STATE'
  }

  /** Are entries from here to there, or some of them, lost with their terms? What the core says of these is a guess. */
  #termsUnknownIn(from: number, to: number): boolean {
    return this.#options.member.log.lostRanges().some(({ firstIndex, lastIndex, termRuns }) => {
      return termRuns === null && firstIndex <= to && lastIndex >= from
    })
  }

  #isBetter(lastIndex: number, lastTerm: number): boolean {
    const { raft, commitIndex, blockedFrom } = this.#options
    const isGuess = this.#termsUnknownIn(lastIndex, lastIndex)
    // What is behind it here may yet be committed, unless it is in conflict.
    if (isGuess && lastIndex < raft.lastIndex) return false
    if (lastIndex >= blockedFrom()) return lastIndex >= commitIndex()
    return lastIndex > commitIndex() && (isGuess || raft.termAt(lastIndex) !== lastTerm)
  }

  /** A state at `stateIndex` takes nothing back that is applied; or what the state machine has for good reaches such a log. */
  #stateReaches(firstIndex: number, stateIndex: number): boolean {
    const { hasStateMachine, appliedIndex, checkpointIndex } = this.#options
    return !hasStateMachine || appliedIndex() <= stateIndex || checkpointIndex() >= firstIndex - 1
  }

  /** Has this log lost entries below `firstIndex`, where a log starts that does not have them either? */
  #lacksHead(firstIndex: number): boolean {
    const { log } = this.#options.member
    return log.firstLostFrom(log.firstIndex) < firstIndex && firstIndex <= log.lastIndex
  }

  /**
   * What the own log has from `firstIndex` on goes on from a state at `stateIndex`; from the own one, where that is newer and for
   * good.
   */
  #mayStartAt(firstIndex: number, stateIndex: number): boolean {
    const { hasStateMachine, appliedIndex, checkpointIndex } = this.#options
    if (!this.#lacksHead(firstIndex) || this.committedIndex() < Math.max(firstIndex, stateIndex)) return false
    return !hasStateMachine || appliedIndex() < stateIndex || checkpointIndex() >= firstIndex - 1
  }

  /** Of a term that the disk does not know yet nothing is taken in: the answer would tell of it. The leader offers again. */
  #comesFromLeader({ from, term }: InstallOffer | InstallPiece): boolean {
    const { role: roleNow, durableTerm } = this.#options
    const role = roleNow()
    return role.role === 'FOLLOWER' && role.leader === from && role.term === term && term <= durableTerm()
  }

  /** The own log holds what is offered: the leader is told up to where it ought to find it equal. */
  #isNotNeeded(offer: InstallOffer): void {
    const { raft, commitIndex } = this.#options
    const holds = raft.termAt(offer.lastIndex) === offer.lastTerm
    this.#send(offer, true, holds ? offer.lastIndex : commitIndex())
  }

  /**
   * Is what was received of the log a part of this leader's? It is when it came from it in this term; else the next entry tells, by its
   * chain. One that nothing follows has nobody to vouch for it: what a majority had committed and lost with its power, as ASYNC_FLUSH
   * allows, may stand in it.
   */
  #isVouchedFor({ log }: Staging, { from, term, lastIndex }: InstallOffer): boolean {
    const isEmpty = log.lastIndex < log.firstIndex
    return isEmpty || log.lastIndex < lastIndex || (this.#offer?.from === from && this.#offer.term === term)
  }

  /** Do these pieces go on in what is there: no gap in the log, none between the state and the log? */
  #fits(incoming: Incoming, staging: Staging | null, offer: InstallOffer): boolean {
    return this.#logFits(incoming, staging, offer) && stateFits(incoming, offer)
  }

  #logFits(incoming: Incoming, staging: Staging | null, offer: InstallOffer): boolean {
    if (incoming.stateOnly === true) return incoming.beforeFirst.index === offer.firstIndex - 1
    const lastIndex = staging?.log.lastIndex ?? incoming.hint?.index ?? incoming.beforeFirst.index
    return (
      lastIndex >= offer.firstIndex - 1 &&
      (lastIndex === incoming.beforeFirst.index || incoming.beforeFirst.index + 1 < offer.lastIndex) &&
      (offer.snapshotIndex === -1 || incoming.beforeFirst.index <= offer.snapshotIndex)
    )
  }

  #prepare(offer: InstallOffer, base: BaseConfiguration | null, stateOnly: boolean): void {
    const { member, disk, directory, whileRunning, onFailed } = this.#options
    const known = this.#staging?.incoming ?? member.hardState.incoming ?? null
    const isSame = known !== null && known.phase === 'STAGING' && (known.stateOnly ?? false) === stateOnly
    const keepsLog = isSame && this.#logFits(known, this.#staging, offer)
    const keepsState = keepsLog && stateFits(known, offer)
    this.#isBusy = true
    const begin = (
      hint: Incoming['hint'],
      configurationIndexes: readonly number[],
      kept: Incoming['snapshot'],
    ): void => {
      discardIncoming(disk, directory, { log: !keepsLog, state: !keepsState })
      const { firstIndex, prevTerm: term, prevEndPos: endPos, prevChain: chain, snapshotIndex, snapshotId } = offer
      // The last entry is received anew, and vouches for those before it.
      const isLong = hint !== null && hint.index >= offer.lastIndex
      const fresh = { index: snapshotIndex, id: snapshotId, bytes: 0, isWhole: false, crc: 0 }
      const incoming: Incoming = {
        phase: 'STAGING',
        beforeFirst: keepsLog ? known.beforeFirst : { index: firstIndex - 1, term, endPos, chain },
        baseConfiguration: keepsLog ? known.baseConfiguration : base,
        hint: keepsLog && !isLong ? hint : null,
        configurationIndexes: keepsLog ? configurationIndexes.filter((index) => index < offer.lastIndex) : [],
        snapshot: snapshotIndex === -1 ? null : keepsState ? kept : fresh,
        ...(stateOnly ? { stateOnly } : {}),
      }
      member.writeHardState({ incoming }, (error) => {
        if (error !== null) return onFailed(error)
        whileRunning(() => this.#open(incoming, offer.lastIndex))
      })
    }
    const staging = this.#staging
    if (staging === null) return begin(known?.hint ?? null, known?.configurationIndexes ?? [], known?.snapshot ?? null)
    // What it has is kept, as far as it is synced.
    this.#staging = null
    staging.sync((error, synced) => {
      staging.close()
      if (error !== null) return onFailed(error)
      whileRunning(() => begin(synced.hint, synced.configurationIndexes, synced.snapshot))
    })
  }

  #open(incoming: Incoming, before: number): void {
    const { member, logger, directory, disk, faults } = this.#options
    let staging: Staging
    try {
      staging = Staging.open(this.#options, incoming, before)
    } catch (failure) {
      const error = failure as Error
      if (isDiskFull(error)) {
        // The next offer tries again, with what is there.
        logger.warn({ err: error }, 'there is no room for the files of another member')
        this.#isBusy = false
        return
      }
      if (!isDamage(error)) return this.#options.onFailed(error)
      logger.warn({ err: error }, 'what was received is damaged, and is received again')
      discardIncoming(disk, directory, { log: true, state: true })
      member.writeHardState({ incoming: null }, (failure) => {
        if (failure !== null) return this.#options.onFailed(failure)
        this.#options.whileRunning(() => {
          this.#isBusy = false
        })
      })
      return
    }
    this.#opening = staging
    const check = faults.has('staged-state-unchecked') ? takeForGood : staging.checkState.bind(staging)
    check((error, isGood) => {
      // Closed meanwhile.
      if (this.#opening !== staging) return
      this.#opening = null
      if (error !== null) {
        staging.close()
        return this.#options.onFailed(error)
      }
      if (!isGood) logger.warn({ directory }, 'the state that was received is damaged, and is received again')
      this.#staging = staging
      this.#isBusy = false
      this.#nextIndex = staging.log.lastIndex + 1
      this.#options.whileRunning(() => {
        this.#acknowledge()
        this.#progress()
      })
    })
  }

  /** Once a heartbeat: a write that found no room waits for some (the reserve is not for it), and a state for the own log to reach it. */
  wake({ mayRetry }: { readonly mayRetry: boolean }): void {
    const staging = this.#staging
    if (staging === null) return
    if (staging.isFull && mayRetry) staging.retryFull()
    if (staging.incoming.stateOnly === true) this.#progress()
  }

  #receivedState(staging: Staging, piece: InstallPiece, bytes: Buffer): void {
    if (piece.at !== staging.stateAt) return this.#acknowledge()
    this.#writesUnderWay++
    staging.writeState(bytes, piece.isLast, (error) => this.#written(staging, error))
  }

  #receivedEntries(staging: Staging, piece: InstallPiece, bytes: Buffer): void {
    const { log } = staging
    if (piece.at !== log.lastIndex + 1 || staging.incoming.stateOnly === true) return this.#acknowledge()
    const batch = this.#checked(staging, piece, bytes)
    if (batch === null) return
    if (batch.term < log.lastTerm || !log.isContinuedBy(batch)) {
      // Received from somebody whose log was not this one: from the beginning.
      this.#options.logger.warn(
        { from: piece.from, at: piece.at },
        'received entries do not continue what was received before',
      )
      return this.#discard(staging)
    }
    this.#writesUnderWay++
    const nextIndex = piece.at + piece.count
    staging.append(batch, (error) => {
      if (staging === this.#staging) this.#nextIndex = nextIndex
      this.#written(staging, error)
    })
  }

  #checked(staging: Staging, piece: InstallPiece, bytes: Buffer): EntryBatch | null {
    const { settings, checksummedFrom, logger } = this.#options
    try {
      assert(bytes.length >= ENTRY_HEADER_BYTES, 'a piece of the log has entries')
      return checkBatch(bytes, {
        firstIndex: piece.at,
        term: piece.entriesTerm,
        count: piece.count,
        fileBytes: settings.fileBytes,
        checksummedFrom,
        prevChain: null,
      })
    } catch (error) {
      logger.warn({ err: error, from: piece.from, firstIndex: staging.log.firstIndex }, 'a piece was refused')
      return null
    }
  }

  #discard(staging: Staging): void {
    const { disk, directory, member, onFailed, whileRunning } = this.#options
    this.#isBusy = true
    this.#staging = null
    staging.close()
    discardIncoming(disk, directory, { log: true, state: true })
    member.writeHardState({ incoming: null }, (error) => {
      if (error !== null) return onFailed(error)
      whileRunning(() => {
        this.#isBusy = false
        const offer = this.#offer
        // Below the start of the offered log: a new offer is wanted.
        if (offer !== null) this.#send(offer, false, -1)
      })
    })
  }

  #written(staging: Staging, error: Error | null): void {
    this.#writesUnderWay--
    if (staging !== this.#staging) return
    if (error !== null) return this.#options.onFailed(error)
    this.#options.whileRunning(() => {
      this.#unsyncedPieces++
      this.#acknowledge()
      this.#progress()
    })
  }

  /** Syncs now and then, and at the end; then it is whole. */
  #progress(): void {
    const staging = this.#staging
    const offer = this.#offer
    if (staging === null || offer === null || this.#syncing === staging || this.#isBusy) return
    const isWhole = this.#writesUnderWay === 0 && staging.stateAt === -1 && this.#logIsThere(staging, offer)
    if (!isWhole && this.#unsyncedPieces < SYNC_PIECES) return
    this.#syncing = staging
    this.#unsyncedPieces = 0
    staging.sync((error, incoming) => {
      if (staging !== this.#staging) return
      if (error !== null) return this.#options.onFailed(error)
      this.#options.member.writeHardState({ incoming }, (failure) => {
        // Not before: what a second sync says of it could be written after SWITCHING, and take that back.
        if (staging === this.#staging) this.#syncing = null
        if (failure !== null) return this.#options.onFailed(failure)
        this.#options.whileRunning(() => {
          if (staging !== this.#staging || this.#isBusy) return
          if (!isWhole) return this.#progress()
          this.#isBusy = true
          this.#options.onWhole(incoming)
        })
      })
    })
  }

  #logIsThere({ incoming, log }: Staging, offer: InstallOffer): boolean {
    if (incoming.stateOnly !== true) return log.lastIndex >= offer.lastIndex
    return this.#mayStartAt(incoming.beforeFirst.index + 1, incoming.snapshot?.index ?? -1)
  }

  #acknowledge(): void {
    const offer = this.#offer
    if (offer !== null && this.#staging !== null) this.#send(offer, false, -1)
  }

  #send(offer: InstallOffer, isOver: boolean, index: number): void {
    const { transport, self, member, faults } = this.#options
    const staging = this.#staging
    if (faults.has('install-acknowledged-before-switch') && staging !== null && !isOver)
      this.#acknowledgeFalsely(offer, staging)
    transport.send(
      {
        type: 'InstallAck',
        from: self,
        to: offer.from,
        storeId: member.hardState.storeId,
        term: offer.term,
        id: offer.id,
        nextIndex: staging === null ? 0 : staging.incoming.stateOnly === true ? offer.lastIndex + 1 : this.#nextIndex,
        stateAt: staging?.stateAt ?? 0,
        isOver,
        index,
      },
      null,
    )
  }

  /** Simulation only. */
  #acknowledgeFalsely(offer: InstallOffer, staging: Staging): void {
    this.#options.transport.send(
      {
        type: 'AppendEntriesResponse',
        from: this.#options.self,
        to: offer.from,
        storeId: this.#options.member.hardState.storeId,
        term: offer.term,
        success: true,
        matchIndex: staging.log.lastIndex,
        prevIndex: offer.firstIndex - 1,
        lastIndex: staging.log.lastIndex,
        conflictTerm: 0,
        conflictFirstIndex: 0,
        incarnation: this.#options.member.hardState.incarnation,
        recovering: false,
      },
      null,
    )
  }
}

/** Simulation only. */
const takeForGood: Staging['checkState'] = (callback) => callback(null, true)

/** What can be received again. A disk that fails is another matter, and so is a bug. */
function isDamage(error: Error): boolean {
  return error instanceof DLedgerError && (error.code === 'CORRUPT' || error.code === 'INVALID')
}

function stateFits({ snapshot }: Incoming, { snapshotIndex, snapshotId }: InstallOffer): boolean {
  if (snapshot === null) return snapshotIndex === -1
  return snapshot.index === snapshotIndex && snapshot.id === snapshotId
}

/** @returns undefined when the payload is not the configuration that was announced. */
function baseOf(offer: InstallOffer, payload: Buffer | null): BaseConfiguration | null | undefined {
  if (offer.configurationIndex === -1) return payload === null ? null : undefined
  if (payload === null || crc32(payload) !== offer.crc) return undefined
  try {
    decodeConfiguration(payload)
  } catch {
    return undefined
  }
  return { index: offer.configurationIndex, payload: payload.toString() }
}
