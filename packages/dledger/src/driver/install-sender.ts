/**
 * The leader's side of an install: gives a follower that needs entries from before this log's start the state and the files.
 *
 *   core: peer needs it ──► snapshot opened ──► InstallOffer ──► pieces of state, then of the log ──► peer says it is over ──► core asks
 *
 * The follower says where to go on; whatever it has from before, from whomever, is not sent again.
 *
 * Keeps:
 *   - memory: at most `catchUpWindowBytes` (or one piece) under way to a follower, one piece being read; all of it at most at the
 *     rate of the budget.
 *   - nothing is tracked beyond the follower's last word: after a few silent heartbeats the offer is repeated and it starts from there.
 *   - a follower that has lost entries which are gone here is offered the same, and takes the state alone: its own log stays.
 *   - what is offered is committed, and the state offered belongs to it: firstIndex - 1 <= snapshot <= last entry offered.
 */
import { assert, crc32, type Logger } from '@dledger-ts/base'
import { encodeConfiguration } from '../configuration-codec.ts'
import type { NodeSettings } from '../config.ts'
import type { EntryBatch } from '../log/entry-batch.ts'
import type { InstallAck, InstallOffer, MemberId } from '../raft/messages.ts'
import type { RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import type { StateMachine, StateSnapshot } from '../state-machine.ts'
import { SNAPSHOT_ID_CHARACTERS_MAX } from '../transport/message-codec.ts'
import type { Transport } from '../transport/transport.ts'
import type { CatchUpBudget } from './catch-up-budget.ts'
import type { ReadEntries } from './log-reading.ts'
import type { OpenedMember } from './open-member.ts'
import { tellEach } from './tell-each.ts'

/** Heartbeats without a word of the follower after which the offer is repeated. */
const QUIET_HEARTBEATS = 3
/** Heartbeats until a state that could not be opened is tried again. */
const RETRY_HEARTBEATS = 20
/** Heartbeats for which is remembered that a follower asked for entries from before this log's start. */
const ASKED_HEARTBEATS = 100

export interface InstallSenderOptions {
  readonly member: OpenedMember
  readonly raft: Raft
  readonly settings: NodeSettings
  readonly transport: Transport
  readonly stateMachine: StateMachine | null
  readonly budget: CatchUpBudget
  readonly logger: Logger
  readonly self: MemberId
  readonly role: () => RoleState
  readonly commitIndex: () => number
  readonly readEntries: ReadEntries
  /** Runs what was waited for, while the member runs. */
  readonly whileRunning: (work: () => void) => void
}

interface Piece {
  /** Last entry, or -1. */
  readonly lastIndex: number
  /** End in the state, or -1. */
  readonly stateEnd: number
  readonly bytes: number
}

class Transfer {
  readonly peer: MemberId
  readonly term: number
  readonly id: number
  snapshot: StateSnapshot | null = null
  offer: InstallOffer | null = null
  configuration: Buffer = Buffer.alloc(0)
  /** The follower has said where to go on since the offer was last sent. */
  isAnswered = false
  nextIndex = 0
  /** What the follower said last of where it is to go on. */
  neededIndex = 0
  /** -1: nothing of the state is left to send. */
  stateAt = 0
  isReading = false
  /** Changes whenever what is to be sent next does. */
  course = 0
  inflight: Piece[] = []
  inflightBytes = 0
  quietHeartbeats = 0
  isClosed = false

  constructor(peer: MemberId, term: number, id: number) {
    this.peer = peer
    this.term = term
    this.id = id
  }

  close(): void {
    this.isClosed = true
    this.inflight = []
    this.snapshot?.close()
  }
}

export class InstallSender {
  readonly #options: InstallSenderOptions
  readonly #transfers = new Map<MemberId, Transfer>()
  /** Followers that have lost entries which are gone here, with the heartbeats for which that is remembered. */
  readonly #lacking = new Map<MemberId, number>()
  #ids = 0
  #warnedInTerm = -1

  constructor(options: InstallSenderOptions) {
    this.#options = options
  }

  /** Whether a follower is being fed its files now. */
  get isBusy(): boolean {
    return this.#transfers.size > 0
  }

  /** A heartbeat has passed: begins, repeats and ends transfers as the core says who needs one. */
  heartbeat(): void {
    const { role } = this.#options
    const wanted = this.#wanted()
    if (wanted.length === 0 && this.#transfers.size === 0) return
    const { term } = role()
    for (const transfer of this.#transfers.values()) {
      if (transfer.term !== term || !wanted.includes(transfer.peer)) this.#end(transfer)
    }
    for (const peer of wanted) {
      const transfer = this.#transfers.get(peer)
      if (transfer === undefined) this.#begin(peer, term)
      else this.#proceed(transfer)
    }
  }

  /** A follower asks for entries that it has lost, from before this log's start: if this member leads, it is offered the state. */
  askedBelowStart(peer: MemberId): void {
    if (this.#options.role().role === 'LEADER') this.#lacking.set(peer, ASKED_HEARTBEATS)
  }

  /** Those who need files, and those who need the state alone: what they get they say themselves. */
  #wanted(): readonly MemberId[] {
    const { raft, role } = this.#options
    const behind = raft.peersToInstall()
    if (this.#lacking.size === 0) return behind
    if (role().role !== 'LEADER') this.#lacking.clear()
    for (const [peer, left] of this.#lacking) {
      if (left === 0 || !raft.peers.includes(peer)) this.#lacking.delete(peer)
      else this.#lacking.set(peer, left - 1)
    }
    return [...new Set([...behind, ...this.#lacking.keys()])]
  }

  /** The first entry that the transfer to a peer still needs; 0 when that is not known. */
  neededBy(peer: MemberId): number {
    return this.#transfers.get(peer)?.neededIndex ?? 0
  }

  acknowledged(message: InstallAck): void {
    const transfer = this.#transfers.get(message.from)
    if (transfer === undefined || transfer.id !== message.id || transfer.term !== message.term) return
    if (transfer.offer === null) return
    transfer.quietHeartbeats = 0
    if (message.isOver) {
      this.#end(transfer)
      this.#lacking.delete(message.from)
      this.#options.raft.installed(message.from, message.index)
      return
    }
    // What it has does not fit to this log: from the beginning, with a new offer.
    if (message.nextIndex < transfer.offer.firstIndex) return this.#end(transfer)
    transfer.neededIndex = message.nextIndex
    if (!transfer.isAnswered) {
      transfer.isAnswered = true
      transfer.course++
      transfer.inflight = []
      transfer.inflightBytes = 0
      transfer.nextIndex = message.nextIndex
      transfer.stateAt = transfer.snapshot === null ? -1 : message.stateAt
    } else {
      for (let first = transfer.inflight[0]; first !== undefined; first = transfer.inflight[0]) {
        const isThere =
          first.stateEnd >= 0
            ? message.stateAt === -1 || first.stateEnd <= message.stateAt
            : first.lastIndex < message.nextIndex
        if (!isThere) break
        transfer.inflight.shift()
        transfer.inflightBytes -= first.bytes
      }
    }
    this.#pump(transfer)
  }

  /** The leadership is over, or the member stops. */
  stop(): void {
    tellEach(this.#transfers.values(), (transfer) => this.#end(transfer))
  }

  #end(transfer: Transfer): void {
    this.#transfers.delete(transfer.peer)
    transfer.close()
  }

  #begin(peer: MemberId, term: number): void {
    const { stateMachine, whileRunning, logger } = this.#options
    if (stateMachine !== null && !canBeHandedOver(stateMachine)) {
      if (this.#warnedInTerm !== term)
        logger.warn({ peer }, 'a follower needs a state that this state machine cannot hand over')
      this.#warnedInTerm = term
      return
    }
    const transfer = new Transfer(peer, term, this.#ids++)
    this.#transfers.set(peer, transfer)
    if (stateMachine === null) return this.#offer(transfer)
    stateMachine.openSnapshot?.((error, snapshot) => {
      if (transfer.isClosed) {
        snapshot?.close()
        return
      }
      whileRunning(() => {
        transfer.snapshot = snapshot
        if (snapshot !== null && (snapshot.id?.length ?? 0) <= SNAPSHOT_ID_CHARACTERS_MAX) return this.#offer(transfer)
        logger.warn({ err: error, peer }, 'the state could not be opened for a follower')
      })
    })
  }

  #offer(transfer: Transfer): void {
    const { member, raft, commitIndex, self, logger } = this.#options
    const { log, hardState } = member
    const { snapshot } = transfer
    const lastIndex = commitIndex()
    const { index: prevIndex, term: prevTerm, endPos: prevEndPos, chain: prevChain } = log.beforeFirst
    if (snapshot !== null) {
      assert(snapshot.index <= lastIndex, 'a state holds what is committed')
      // Trimmed beyond it while it was opened: the next one is newer.
      if (snapshot.index < prevIndex) return this.#end(transfer)
    }
    const base = raft.configurationUpTo(prevIndex)
    transfer.configuration = base === null ? Buffer.alloc(0) : encodeConfiguration(base.configuration)
    transfer.offer = {
      type: 'InstallOffer',
      from: self,
      to: transfer.peer,
      storeId: hardState.storeId,
      term: transfer.term,
      id: transfer.id,
      firstIndex: prevIndex + 1,
      prevTerm,
      prevEndPos,
      prevChain,
      lastIndex,
      lastTerm: raft.termAt(lastIndex),
      snapshotIndex: snapshot?.index ?? -1,
      snapshotId: snapshot === null ? '' : (snapshot.id ?? `${hardState.storeId}/${transfer.term}/${transfer.id}`),
      configurationIndex: base?.index ?? -1,
      bytes: transfer.configuration.length,
      crc: crc32(transfer.configuration),
    }
    logger.info({ peer: transfer.peer, firstIndex: prevIndex + 1, lastIndex }, 'a follower is offered state and files')
    this.#sendOffer(transfer)
  }

  #sendOffer({ offer, configuration }: Transfer): void {
    if (offer !== null) this.#options.transport.send(offer, configuration.length === 0 ? null : [configuration])
  }

  #proceed(transfer: Transfer): void {
    transfer.quietHeartbeats++
    if (transfer.offer === null) {
      if (transfer.quietHeartbeats >= RETRY_HEARTBEATS) this.#end(transfer)
      return
    }
    if (transfer.quietHeartbeats < QUIET_HEARTBEATS) return this.#pump(transfer)
    if (this.#waitsInVain(transfer, transfer.offer)) return this.#end(transfer)
    transfer.quietHeartbeats = 0
    transfer.isAnswered = false
    this.#sendOffer(transfer)
  }

  /**
   * A follower that takes the state alone has all of it, and waits for its own log to get there; what that needs was trimmed here
   * meanwhile. What is offered from where the log starts now can take the place of its log.
   */
  #waitsInVain(transfer: Transfer, { firstIndex, lastIndex }: InstallOffer): boolean {
    const { member, raft } = this.#options
    if (!transfer.isAnswered || member.log.firstIndex <= firstIndex) return false
    const hasAll = transfer.neededIndex > lastIndex && transfer.stateAt === -1 && transfer.inflight.length === 0
    return hasAll && raft.peersToInstall().includes(transfer.peer)
  }

  #pump(transfer: Transfer): void {
    const { settings, budget, transport, readEntries, whileRunning } = this.#options
    const { offer, snapshot, course } = transfer
    if (offer === null || transfer.isClosed || transfer.isReading || !transfer.isAnswered || !budget.isOpen) return
    if (Math.max(transfer.inflightBytes, transport.queuedBytes(transfer.peer)) >= settings.catchUpWindowBytes) return
    const read = (send: () => void): void => {
      transfer.isReading = false
      if (transfer.isClosed) return
      if (transfer.course === course) send()
      this.#pump(transfer)
    }
    if (transfer.stateAt >= 0 && snapshot !== null) {
      transfer.isReading = true
      snapshot.read(transfer.stateAt, settings.catchUpPieceBytes, (error, bytes) =>
        whileRunning(() =>
          read(() => {
            if (bytes !== null) return this.#sendState(transfer, snapshot, bytes)
            this.#options.logger.warn({ err: error, peer: transfer.peer }, 'the state could not be read for a follower')
            this.#end(transfer)
          }),
        ),
      )
    } else if (transfer.nextIndex <= offer.lastIndex) {
      transfer.isReading = true
      readEntries(transfer.nextIndex, offer.lastIndex, settings.catchUpPieceBytes, (batch) =>
        read(() => {
          // Trimmed meanwhile: with a new offer.
          if (batch === null) this.#end(transfer)
          else this.#sendEntries(transfer, batch)
        }),
      )
    }
  }

  #sendState(transfer: Transfer, snapshot: StateSnapshot, bytes: Buffer): void {
    const at = transfer.stateAt
    const end = at + bytes.length
    const isLast = bytes.length === 0 || end === snapshot.bytes
    transfer.stateAt = isLast ? -1 : end
    this.#send(transfer, bytes, { isState: true, at, count: 0, entriesTerm: 0, isLast })
    // One that only says that it was the last is answered, too.
    transfer.inflight.push({ lastIndex: -1, stateEnd: isLast ? Number.POSITIVE_INFINITY : end, bytes: bytes.length })
  }

  #sendEntries(transfer: Transfer, { firstIndex, count, term, bytes }: EntryBatch): void {
    assert(firstIndex === transfer.nextIndex, 'entries are sent in order')
    transfer.nextIndex = firstIndex + count
    this.#send(transfer, bytes, { isState: false, at: firstIndex, count, entriesTerm: term, isLast: false })
    transfer.inflight.push({ lastIndex: firstIndex + count - 1, stateEnd: -1, bytes: bytes.length })
  }

  #send(transfer: Transfer, bytes: Buffer, fields: PieceFields): void {
    const { transport, budget, self, member } = this.#options
    transfer.inflightBytes += bytes.length
    budget.take(bytes.length)
    transport.send(
      {
        type: 'InstallPiece',
        from: self,
        to: transfer.peer,
        storeId: member.hardState.storeId,
        term: transfer.term,
        id: transfer.id,
        ...fields,
        bytes: bytes.length,
        crc: crc32(bytes),
      },
      bytes.length === 0 ? null : [bytes],
    )
  }
}

interface PieceFields {
  readonly isState: boolean
  readonly at: number
  readonly count: number
  readonly entriesTerm: number
  readonly isLast: boolean
}

/** Whether a member that needs this state can be given it. */
export function canBeHandedOver(stateMachine: StateMachine): boolean {
  return stateMachine.openSnapshot !== undefined && stateMachine.restore !== undefined
}
