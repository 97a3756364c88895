/**
 * Entries that are lost here: the core is told of them, they are asked for at the peers and filled in; and what the peers have
 * lost is given to them.
 *
 *   log marks ──► core (R22, R23)      wake ──► RepairRequest ──► a peer ──► RepairResponse ──► log.fill ──► core, apply
 *
 * A peer gives what it has under an index, committed or not: an entry of the same index and term is the same entry (Log Matching),
 * and terms, chain and both ends are checked here (log/fill.ts). So members that have all lost something, and therefore have no
 * leader, help each other all the same. What has been trimmed at the leader meanwhile comes as a part of its state instead
 * (install-receiver.ts).
 *
 * Keeps: one request is under way at a time, asked at the pace of heartbeats, of one peer after another; one read for each peer
 * that asks. What a whole range needs that cannot be filled in piece by piece is gathered, up to `WHOLE_RANGE_BYTES_MAX`; a piece
 * that does not go on from those before is asked for again, at the next peer, and those stay.
 */
import { type Logger, readInt32 } from '@dledger-ts/base'
import { EntryChannel, type EntryBatch } from '../log/entry-batch.ts'
import { channelAt } from '../log/entry-codec.ts'
import type { FillPoint, ForeignEntries, LostRange, SegmentedLog } from '../log/segmented-log.ts'
import type { LostEntries } from '../raft/lost-entries.ts'
import type { MemberId, RepairRequest, RepairResponse } from '../raft/messages.ts'
import type { Raft } from '../raft/raft.ts'
import type { Transport } from '../transport/transport.ts'
import type { HotTail } from './hot-tail.ts'
import type { ReadCold } from './log-reading.ts'
import { hotPart } from './sending.ts'

/** Bytes asked for at once: they are written and synced in one go. */
const PIECE_BYTES = 256 * 1024
/** Wake-ups after which an answer is no longer waited for. */
const ANSWER_WAKES_MAX = 5
/** A range whose terms are not known is filled in whole; a larger one stays lost. */
const WHOLE_RANGE_BYTES_MAX = 64 * 1024 * 1024

/** After so many failures at each peer in a row what was gathered is given up: it may be what is wrong. */
const FAILURES_MAX = 2

export interface RepairingOptions {
  readonly log: SegmentedLog
  readonly raft: Raft
  readonly hot: HotTail
  readonly transport: Transport
  readonly logger: Logger
  readonly self: MemberId
  readonly storeId: () => string
  readonly connectedPeers: () => readonly MemberId[]
  readonly readCold: ReadCold
  /** A peer has lost entries up to `lastIndex`; the first of them were trimmed here, so they cannot be given. */
  readonly onAskedBelowStart: (peer: MemberId, lastIndex: number) => void
  /** A configuration entry that was lost can be read again. */
  readonly onConfiguration: (index: number, body: Buffer) => void
  /** Something that waited may go on. */
  readonly onRepaired: () => void
}

interface Asked {
  readonly peer: MemberId
  readonly range: LostRange
  readonly firstIndex: number
  wakes: number
}

/** What has come of a range that is filled in whole. */
interface Gathered {
  readonly range: LostRange
  readonly pieces: ForeignEntries[]
  bytes: number
  end: FillPoint
}

export class Repairing {
  readonly #options: RepairingOptions
  #asked: Asked | null = null
  #gathered: Gathered | null = null
  #failuresInRow = 0
  #peerTurn = 0
  #rangeTurn = 0
  readonly #serving = new Set<MemberId>()
  #termsUnknown: boolean

  constructor(options: RepairingOptions) {
    this.#options = options
    this.#termsUnknown = lostEntriesOf(options.log).termsUnknown
    options.log.whenLostChanges(() => this.#lostChanged())
  }

  /** Once a heartbeat. */
  wake(): void {
    if (this.#options.log.lostRanges().length === 0) {
      this.#forget()
      return
    }
    if (this.#asked !== null && ++this.#asked.wakes < ANSWER_WAKES_MAX) return
    if (this.#asked !== null) this.#failed()
    this.#ask(null)
  }

  /** A peer asks for what it has lost. */
  requested(message: RepairRequest): void {
    const { raft, log, hot, readCold } = this.#options
    if (!raft.hears(message) || this.#serving.has(message.from)) return
    const { firstIndex, from } = message
    const lastIndex = Math.min(message.lastIndex, log.lastIndex)
    const bytesMax = Math.min(message.bytesMax, PIECE_BYTES)
    const hotBatch = hot.find(firstIndex)
    if (hotBatch !== undefined && firstIndex <= lastIndex) {
      return this.#answer(message, hotPart(hotBatch, { firstIndex, lastIndex, bytesMax }))
    }
    const upTo = Math.min(lastIndex, hot.firstIndex - 1)
    if (firstIndex < log.firstIndex) this.#options.onAskedBelowStart(from, message.lastIndex)
    if (firstIndex < log.firstIndex || firstIndex > upTo) return this.#answer(message, null)
    this.#serving.add(from)
    readCold(firstIndex, upTo, bytesMax, (batch) => {
      this.#serving.delete(from)
      this.#answer(message, batch)
    })
  }

  #answer(request: RepairRequest, batch: EntryBatch | null): void {
    const { transport, self, storeId } = this.#options
    const { from: to, firstIndex } = request
    const count = batch?.count ?? 0
    const bytes = batch?.bytes.length ?? 0
    const term = batch?.term ?? request.term
    transport.send(
      { type: 'RepairResponse', from: self, to, storeId: storeId(), term, firstIndex, count, bytes },
      batch === null ? null : [batch.bytes],
    )
  }

  /** @throws when the disk fails. */
  answered(message: RepairResponse, payload: Buffer | null): void {
    if (!this.#options.raft.hears(message)) return
    const asked = this.#asked
    if (asked === null || message.from !== asked.peer || message.firstIndex !== asked.firstIndex) return
    this.#asked = null
    if (message.count === 0 || payload === null || !this.#isLost(asked.range)) return this.#failed()
    const { firstIndex, count, term } = message
    const piece = { firstIndex, count, term, bytes: payload }
    if (asked.range.termRuns === null) this.#gather(piece, asked)
    else this.#fill([piece], asked)
  }

  #gather(piece: ForeignEntries, asked: Asked): void {
    const { range } = asked
    const before = this.#gathered
    const fit = this.#options.log.fitNext(range, before?.end ?? null, piece)
    if (!fit.fits) return this.#doesNotFit(asked, fit.what)
    this.#failuresInRow = 0
    const pieces = before?.pieces ?? []
    pieces.push(piece)
    const bytes = (before?.bytes ?? 0) + piece.bytes.length
    if (bytes > WHOLE_RANGE_BYTES_MAX) return this.#tooLarge(range)
    this.#gathered = { range, pieces, bytes, end: fit.at }
    if (fit.at.index < range.lastIndex) return this.#ask(asked.peer)
    this.#gathered = null
    this.#fill(pieces, asked)
  }

  #fill(pieces: readonly ForeignEntries[], asked: Asked): void {
    const { log, logger, onConfiguration, onRepaired } = this.#options
    const outcome = log.fill(pieces)
    if (!outcome.filled) return this.#doesNotFit(asked, outcome.what)
    for (const { bytes, firstIndex, count } of pieces) {
      for (let i = 0, at = 0; i < count; i++) {
        const size = readInt32(bytes, at + 4)
        if (channelAt(bytes, at) === EntryChannel.CONFIGURATION)
          onConfiguration(firstIndex + i, bytes.subarray(at + 48, at + size))
        at += size
      }
    }
    const left = log.lostRanges().length
    logger.info({ peer: asked.peer, ...outcome, rangesLeft: left }, 'damaged entries were repaired')
    onRepaired()
    if (left > 0) this.#ask(asked.peer)
  }

  #doesNotFit({ peer, firstIndex }: Asked, why: string): void {
    this.#options.logger.warn({ peer, firstIndex, why }, 'entries of a peer do not fit')
    this.#failed()
  }

  /** The next attempt goes to the next peer; when all were asked, to the next range. */
  #failed(): void {
    const { connectedPeers, log } = this.#options
    this.#asked = null
    this.#peerTurn++
    const peers = Math.max(1, connectedPeers().length)
    const gathered = this.#gathered
    // Only a chain tells that pieces of different peers belong together.
    const isChained = gathered !== null && gathered.range.firstIndex >= log.checksummedFrom
    if (isChained && ++this.#failuresInRow < FAILURES_MAX * peers) return
    this.#forget()
    if (gathered !== null || this.#peerTurn % peers === 0) this.#rangeTurn++
  }

  #tooLarge({ firstIndex, lastIndex }: LostRange): void {
    this.#options.logger.error(
      { firstIndex, lastIndex },
      'a range is too large to be repaired: its terms are not known',
    )
    this.#forget()
    this.#failed()
  }

  #forget(): void {
    this.#asked = null
    this.#gathered = null
    this.#failuresInRow = 0
  }

  /** @param from the peer that answered; null: the one whose turn it is. What was begun to be gathered goes on. */
  #ask(from: MemberId | null): void {
    const { log, transport, self, storeId, connectedPeers } = this.#options
    if (this.#gathered !== null && !this.#isLost(this.#gathered.range)) this.#gathered = null
    const ranges = log.lostRanges()
    const peers = connectedPeers()
    const range = this.#gathered?.range ?? ranges[this.#rangeTurn % ranges.length]
    const peer = from ?? peers[this.#peerTurn % peers.length]
    if (range === undefined || peer === undefined) return
    const firstIndex = this.#gathered === null ? range.firstIndex : this.#gathered.end.index + 1
    this.#asked = { peer, range, firstIndex, wakes: 0 }
    const term = Math.max(1, range.termRuns?.[0]?.term ?? 1)
    const { lastIndex } = range
    transport.send(
      {
        type: 'RepairRequest',
        from: self,
        to: peer,
        storeId: storeId(),
        term,
        firstIndex,
        lastIndex,
        bytesMax: PIECE_BYTES,
      },
      null,
    )
  }

  #isLost(range: LostRange): boolean {
    return this.#options.log.lostRanges().includes(range)
  }

  #lostChanged(): void {
    const { log, raft } = this.#options
    const lost = lostEntriesOf(log)
    if (this.#termsUnknown && log.lastIndex === raft.lastIndex) raft.termsLearned(log.termRuns())
    this.#termsUnknown = lost.termsUnknown
    raft.entriesLost(lost)
  }
}

export function lostEntriesOf(log: SegmentedLog): LostEntries {
  const ranges = log.lostRanges()
  const termsUnknown = ranges.some((range) => range.termRuns === null)
  return { ranges, termsUnknown, configurationIsLost: log.configurationIsLost }
}
