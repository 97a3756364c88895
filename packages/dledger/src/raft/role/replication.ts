/**
 * What a follower is sent of the leader's log, and what its answers say of that.
 *
 *   PROBE ──agrees──► REPLICATE ──not hot──► COLD ──read──► REPLICATE      any ──below the log's start──► INSTALL ──has the files──► PROBE
 *
 * Keeps:
 *   - R11 bytes under way to a peer stay within `inflightBytesMax`, unless a single append is larger.
 *   - R20 a peer that needs entries from before the start of this log is sent none until it says that it has this log's files.
 *   - what may be lost on the way is asked about at the pace of heartbeats, and only asked about: nothing is sent twice unasked.
 */
import { assert } from '@dledger-ts/base'
import type { MemberState } from '../member-state.ts'
import type { AppendEntriesResponse } from '../messages.ts'
import type { Progress } from '../progress.ts'

export class Replication {
  readonly #state: MemberState

  constructor(state: MemberState) {
    this.#state = state
  }

  /** Sends what the peer can take now: once for all that was proposed since. @returns whether anything was sent. */
  send(peer: Progress): boolean {
    if (peer.nextIndex < this.#state.log.firstIndex && peer.state !== 'INSTALL') peer.install()
    if (peer.state === 'PROBE') return this.#probe(peer)
    return peer.state === 'REPLICATE' && this.#replicate(peer)
  }

  /** A heartbeat round was answered: what is under way should have arrived by now. */
  answered(peer: Progress): void {
    if (peer.state === 'PROBE') {
      peer.probeCarries = false
      peer.probeSent = false
    } else if (peer.state === 'REPLICATE') {
      const isUnderWay = peer.nextIndex - 1 > peer.matchIndex
      // Nothing came of what was under way a round ago: it is lost, or slow. Asking costs less than sending again.
      if (isUnderWay && peer.matchWhenAnswered === peer.matchIndex) peer.probe(peer.nextIndex, false)
      else peer.matchWhenAnswered = isUnderWay ? peer.matchIndex : -2
      // That it has become intact is told by an acknowledgement, which may have been lost.
      if (peer.recovering && !isUnderWay) peer.probe(peer.nextIndex, false)
    }
  }

  /** The driver has read entries that are not hot; a count of 0: it could not. */
  coldRead(peer: Progress, firstIndex: number, count: number, bytes: number): void {
    if (peer.state !== 'COLD' || peer.coldFirst !== firstIndex) return
    if (count === 0) {
      // Asked again when the next heartbeat is answered.
      peer.probe(peer.nextIndex, false)
      peer.probeSent = true
      return
    }
    peer.replicate()
    // Trimmed while it was read.
    if (peer.nextIndex !== firstIndex || firstIndex < this.#state.log.firstIndex) return
    assert(firstIndex + count - 1 <= this.#state.log.runLastIndex(firstIndex), 'a cold read is of one term')
    if (peer.inflightBytes > 0 && peer.inflightBytes + bytes > this.#state.options.inflightBytesMax) {
      // A single large entry: read again when the window has room for it.
      peer.misfitFirst = firstIndex
      peer.misfitBytes = bytes
      return
    }
    this.#append(peer, firstIndex + count - 1, bytes)
  }

  /** The peer's log is known to equal this one up to `index`, unless that is beyond its end: asks whether it does. */
  installed(peer: Progress, index: number): void {
    if (peer.state !== 'INSTALL') return
    peer.probe(Math.max(Math.min(index, this.#state.log.lastIndex), peer.matchIndex) + 1, true)
  }

  /** @returns whether more of the log is durable there than was known. */
  acknowledged(peer: Progress, message: AppendEntriesResponse): boolean {
    if (message.matchIndex > this.#state.log.lastIndex) return false
    const isNews = peer.matched(message.matchIndex)
    if (peer.state === 'PROBE' && (message.prevIndex === peer.probePrev || peer.matchIndex >= peer.probePrev)) {
      if (peer.probeSent) peer.replicate()
    }
    if (peer.state === 'INSTALL' && peer.nextIndex >= this.#state.log.firstIndex) peer.probe(peer.nextIndex, true)
    return isNews
  }

  refused(peer: Progress, message: AppendEntriesResponse): void {
    // Late answers to other appends than the one that is asked about now.
    if (message.prevIndex <= peer.matchIndex || message.prevIndex >= peer.nextIndex) return
    if (peer.state === 'INSTALL') return
    if (peer.state === 'PROBE' && message.prevIndex !== peer.probePrev) return
    const next = Math.max(this.#nextAfterConflict(message), peer.matchIndex + 1)
    peer.probe(next, true)
  }

  /** Skips a whole run of one term at each refusal (Ongaro §3.5, raft paper §5.3). */
  #nextAfterConflict(message: AppendEntriesResponse): number {
    const log = this.#state.log
    const seen = Math.min(message.prevIndex, message.lastIndex)
    const at = log.lastIndexOfTermAtMost(message.conflictTerm, seen)
    const meets = at >= message.conflictFirstIndex && log.termAt(at) === message.conflictTerm
    const next = meets ? at + 1 : Math.min(at + 1, message.conflictFirstIndex)
    return Math.min(next, message.prevIndex)
  }

  #probe(peer: Progress): boolean {
    if (peer.probeSent) return false
    const { log } = this.#state
    peer.probeSent = true
    peer.probePrev = peer.nextIndex - 1
    const carries = peer.probeCarries && peer.nextIndex <= log.lastIndex && peer.nextIndex >= log.hot.firstIndex
    if (!carries || !this.#appendHot(peer)) this.#append(peer, peer.nextIndex - 1, 0)
    return true
  }

  #replicate(peer: Progress): boolean {
    const { log, options } = this.#state
    let sent = false
    while (peer.nextIndex <= log.lastIndex) {
      if (peer.nextIndex < log.hot.firstIndex) {
        const bytes = peer.misfitFirst === peer.nextIndex ? peer.misfitBytes : options.appendBytesMax
        if (peer.inflightBytes === 0 || peer.inflightBytes + bytes <= options.inflightBytesMax) this.#askCold(peer)
        break
      }
      if (!this.#appendHot(peer)) break
      sent = true
    }
    return sent
  }

  /** @returns false when the window is full. */
  #appendHot(peer: Progress): boolean {
    const { log, options } = this.#state
    const first = peer.nextIndex
    const free = options.inflightBytesMax - peer.inflightBytes
    if (free <= 0) return false
    const last = log.hot.endOfBatch(first, log.runLastIndex(first), Math.min(free, options.appendBytesMax))
    const bytes = log.hot.bytesOf(first, last)
    if (bytes > free && peer.inflightBytes > 0) return false
    this.#append(peer, last, bytes)
    return true
  }

  /** Sends the entries from nextIndex to `lastIndex`, which may be none. */
  #append(peer: Progress, lastIndex: number, bytes: number): void {
    const state = this.#state
    const first = peer.nextIndex
    const count = lastIndex - first + 1
    state.send({
      type: 'AppendEntries',
      from: state.self,
      to: peer.id,
      storeId: state.storeId,
      term: state.term,
      prevIndex: first - 1,
      prevTerm: state.log.termAt(first - 1),
      count,
      entriesTerm: count === 0 ? 0 : state.log.termAt(first),
      bytes,
      commitIndex: state.commitIndex,
    })
    if (count > 0) peer.sent(lastIndex, bytes)
    peer.toldCommit = Math.max(peer.toldCommit, Math.min(state.commitIndex, lastIndex))
  }

  #askCold(peer: Progress): void {
    const { log, options, outbox } = this.#state
    peer.state = 'COLD'
    peer.coldFirst = peer.nextIndex
    outbox.coldRead({
      peer: peer.id,
      firstIndex: peer.nextIndex,
      lastIndex: Math.min(log.runLastIndex(peer.nextIndex), log.hot.firstIndex - 1),
      bytesMax: options.appendBytesMax,
    })
  }
}
