/**
 * What the core puts out, handed to whom it concerns, in the order in which it says so.
 *
 * Keeps: D1, what depends on the term or the vote is held until no write of them is under way; what depends on entries the core
 * itself holds back until they are durable. The bytes that are written are those of the entries that the core has appended. Once
 * storage has failed nothing more is handed to anybody.
 */
import { assert, type Logger } from '@dledger-ts/base'
import type { EntryBatch } from '../log/entry-batch.ts'
import { sliceBatch } from '../log/entry-codec.ts'
import type { MemberId } from '../raft/messages.ts'
import type { Output, RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import type { Applying } from './applying.ts'
import type { CommitNotices } from './commit-notices.ts'
import type { Durability } from './durability.ts'
import type { HotTail } from './hot-tail.ts'
import type { Life } from './life.ts'
import type { LogWriter } from './log-writer.ts'
import type { NodeObserver } from './observer.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'
import type { Proposing } from './proposing.ts'
import type { Reading } from './reading.ts'
import type { Receiving } from './receiving.ts'
import type { Sending } from './sending.ts'

export interface OutputsOptions {
  readonly self: MemberId
  readonly logger: Logger
  readonly observer: NodeObserver | undefined
  readonly faults: ReadonlySet<PlantedDriverFault>
  readonly life: Life
  readonly hot: HotTail
  readonly raft: Raft
  readonly writer: LogWriter
  readonly durability: Durability
  readonly proposing: Proposing
  readonly applying: Applying
  readonly reading: Reading
  readonly sending: Sending
  readonly receiving: Receiving
  readonly commitNotices: CommitNotices
  readonly onRole: (role: RoleState) => void
  readonly schedulePass: () => void
}

export class Outputs {
  readonly #options: OutputsOptions

  constructor(options: OutputsOptions) {
    this.#options = options
  }

  /** Handles what the core has put out; an append among it is of the `carried` entries, or else of those proposed here. Hot. */
  drain(carried: EntryBatch | null): void {
    const { raft, proposing, commitNotices, life } = this.#options
    while (!life.isOver) {
      const output = raft.takeOutput()
      if (output === null) break
      this.#handle(output, carried)
      carried = null
    }
    if (life.isOver) return
    proposing.proposeNoop()
    commitNotices.look()
  }

  #handle(output: Output, carried: EntryBatch | null): void {
    const { durability, sending, applying, reading, faults, life, onRole, schedulePass } = this.#options
    if (output.hardState !== null) durability.writeTermAndVote(output.hardState.term, output.hardState.votedFor)
    if (output.persistSeq > 0) this.#persist(output, carried)
    // Storage that failed at once has ended this member.
    if (life.isOver) return
    for (const message of output.send) sending.send(message)
    sending.hold(output.sendAfterHardState)
    if (!durability.writesTermOrVote || faults.has('reply-before-hard-state')) sending.sendHeld()
    for (const read of output.coldReads) sending.read(read)
    if (applying.committed(output.commitIndex)) schedulePass()
    if (output.role !== null) onRole(output.role)
    for (const { token, index } of output.reads) reading.answered(token, index)
    if (output.becomesIntact) this.#becomeIntact()
  }

  #persist(output: Output, carried: EntryBatch | null): void {
    const { applying, sending, proposing, receiving, writer, hot, faults, observer } = this.#options
    const { truncateFrom, append } = output
    if (truncateFrom !== null) applying.truncated(truncateFrom)
    if (truncateFrom !== null && !faults.has('hot-tail-not-truncated')) {
      hot.truncateFrom(truncateFrom)
      sending.truncated()
    }
    let batches: readonly EntryBatch[] = []
    if (append !== null) {
      batches = carried === null ? proposing.takeBuilt() : [sliceBatch(carried, append.firstIndex)]
      assert(batches[0]?.firstIndex === append.firstIndex, 'the batch at hand is the one the core appended')
      for (const batch of batches) {
        hot.push(batch)
        observer?.appended(batch.firstIndex, batch.count, batch.bytes.length, batch.term)
      }
    }
    writer.submit(output.persistSeq, truncateFrom, batches)
    if (carried !== null) for (const batch of batches) receiving.appended(batch)
  }

  /** A recovering member holds again what it may have lost. */
  #becomeIntact(): void {
    const { raft, writer, durability, life, logger, self } = this.#options
    writer.whenSynced(() =>
      durability.becomeIntact(() =>
        life.whileRunning(() => {
          logger.info({ self }, 'recovered: this member counts again')
          raft.intact()
        }),
      ),
    )
  }
}
