/**
 * One follower as the leader sees it, for the length of one leadership.
 *
 *   PROBE      it is not known where its log meets ours: one append under way, repeated when a heartbeat was answered.
 *   REPLICATE  the logs meet: appends go out ahead of their answers, within a window of bytes.
 *   COLD       the next entries are no longer hot: the driver reads them.
 *   INSTALL    the next entries are no longer in the log: it gets heartbeats only until it has this log's files.
 *
 * Keeps: matchIndex never decreases but when a recovering member comes back, which may have lost it; matchIndex < nextIndex.
 */
import type { MemberId } from './messages.ts'

export type ProgressState = 'PROBE' | 'REPLICATE' | 'COLD' | 'INSTALL'

export class Progress {
  readonly id: MemberId
  /** Bound or heard first; null: not known yet. Answers of another store are not this member's. */
  storeId: string | null
  /** Counts for commit, for the majority's attention, and as a successor. */
  isVoter: boolean
  /** Another store is connected under its name: nothing is sent there that was meant for this one. */
  isOther = false
  /** Becomes a voter when it has caught up (Ongaro §4.2.1): what was the log's end is matched within an election timeout. */
  isPromoted = false
  caughtUp = false
  roundEnd: number
  roundTicks = 0
  /** The configuration without it, until it knows that this is committed; -1 for a member. And the round in which it was told. */
  leavesAt = -1
  leaveRound = -1
  state: ProgressState = 'PROBE'
  /** Durable there and equal to our log. */
  matchIndex = -1
  /** First entry not sent yet. */
  nextIndex: number
  /** PROBE: previous index of the append under way, and whether there is one. */
  probePrev = -1
  probeSent = false
  /** PROBE: the next probe takes entries along; one that only asks again does not. */
  probeCarries = true
  /** COLD: first entry that the driver reads. */
  coldFirst = -1
  /** A cold append that did not fit into the rest of the window: its first entry, or -1, and its bytes. */
  misfitFirst = -1
  misfitBytes = 0
  /** The highest commit index it was told and can act on. */
  toldCommit = -1
  ticksSinceHeard = 0
  /** Of its process, as far as it has been heard in this leadership. */
  incarnation = 0
  /** As it last said: it does not count for commit. */
  recovering = false
  /** Of its storage, as it last said; -1 until it has. */
  health = -1
  /** How full its disk is, as it last said; 0 until it has. */
  diskUsage = 0
  /** Of the newest heartbeat round it answered: the round, and what was matched then while more was under way; else -2. */
  answeredRound = 0
  /** Of the process that gave that answer. */
  answeredIncarnation = 0
  matchWhenAnswered = -2
  /** The round of the last tick after which an answer was taken for a sign of what gets through. */
  pacedRound = 0
  /** Its newest answer when the round began that is being confirmed, and of the last one that was. */
  answeredBefore = 0
  freshRound = 0
  /** Of the processes that gave these answers. */
  incarnationBefore = 0
  freshIncarnation = 0
  inflightBytes = 0
  /** Last index and bytes of each append under way, oldest first, from `#head` on. */
  #inflightLast: number[] = []
  #inflightSizes: number[] = []
  #head = 0

  constructor(id: MemberId, storeId: string | null, nextIndex: number) {
    this.id = id
    this.storeId = storeId
    this.isVoter = false
    this.nextIndex = nextIndex
    this.roundEnd = nextIndex - 1
  }

  get inflightCount(): number {
    return this.#inflightLast.length - this.#head
  }

  /** A tick of the round in which it catches up with what was the log's end at its start. */
  catchUp(lastIndex: number, electionTicks: number): void {
    this.roundTicks++
    if (this.roundTicks > electionTicks) this.caughtUp = false
    if (this.matchIndex < this.roundEnd) return
    this.caughtUp = this.roundTicks <= electionTicks
    this.roundEnd = lastIndex
    this.roundTicks = 0
  }

  /** Asks where the logs meet. Where that is only doubted, nothing is sent twice before the answer. */
  probe(nextIndex: number, carries: boolean): void {
    if (nextIndex < this.nextIndex) this.#forgetInflight()
    this.state = 'PROBE'
    this.nextIndex = nextIndex
    this.probeSent = false
    this.probeCarries = carries
    this.coldFirst = -1
    this.matchWhenAnswered = -2
  }

  /** It came back and may have lost what it had acknowledged: nothing is known of its log. */
  forget(nextIndex: number): void {
    this.#forgetInflight()
    this.matchIndex = -1
    this.toldCommit = -1
    this.misfitFirst = -1
    this.probe(nextIndex, false)
  }

  replicate(): void {
    this.state = 'REPLICATE'
    this.coldFirst = -1
    this.matchWhenAnswered = -2
  }

  install(): void {
    this.#forgetInflight()
    this.state = 'INSTALL'
    this.coldFirst = -1
    this.matchWhenAnswered = -2
  }

  /** An append of entries up to `lastIndex` was sent. */
  sent(lastIndex: number, bytes: number): void {
    this.#inflightLast.push(lastIndex)
    this.#inflightSizes.push(bytes)
    this.inflightBytes += bytes
    this.nextIndex = lastIndex + 1
  }

  /** @returns whether this is more than was known. */
  matched(index: number): boolean {
    if (index <= this.matchIndex) return false
    this.matchIndex = index
    if (this.nextIndex <= index) this.nextIndex = index + 1
    while (this.#head < this.#inflightLast.length && this.#inflightLast[this.#head]! <= index) {
      this.inflightBytes -= this.#inflightSizes[this.#head]!
      this.#head++
    }
    if (this.#head === this.#inflightLast.length) this.#forgetInflight()
    else if (this.#head > 64 && this.#head * 2 > this.#inflightLast.length) {
      this.#inflightLast.splice(0, this.#head)
      this.#inflightSizes.splice(0, this.#head)
      this.#head = 0
    }
    return true
  }

  #forgetInflight(): void {
    this.#inflightLast.length = 0
    this.#inflightSizes.length = 0
    this.#head = 0
    this.inflightBytes = 0
  }
}
