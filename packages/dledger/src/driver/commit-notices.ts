/**
 * When a leader tells its followers of a commit that no entries carry.
 *
 * Under load the next entries follow at once and tell it for nothing: a frame of its own would double what the followers read. So what is
 * owed waits a moment, with one timer for all of it.
 *
 * Keeps: a follower hears of a commit within `COMMIT_NOTICE_MS`, by entries or by a heartbeat; an idle group arms no timer.
 */
import type { Clock } from '@dledger-ts/base'
import type { Raft } from '../raft/raft.ts'

/** Far below a heartbeat, and above the time in which a sender that got its answer sends again. */
export const COMMIT_NOTICE_MS = 2

export interface CommitNoticesOptions {
  readonly clock: Pick<Clock, 'after'>
  readonly raft: Pick<Raft, 'owesCommitNotice' | 'tellCommit'>
  readonly whileRunning: (work: () => void) => void
  /** The core was told: its output is due. */
  readonly onTold: () => void
}

export class CommitNotices {
  readonly #options: CommitNoticesOptions
  #isArmed = false

  constructor(options: CommitNoticesOptions) {
    this.#options = options
  }

  /** The core's output was taken. Hot. */
  look(): void {
    const { clock, raft } = this.#options
    if (this.#isArmed || !raft.owesCommitNotice) return
    this.#isArmed = true
    clock.after(COMMIT_NOTICE_MS, this.#tell)
  }

  readonly #tell = (): void => {
    const { raft, whileRunning, onTold } = this.#options
    this.#isArmed = false
    whileRunning(() => {
      if (!raft.owesCommitNotice) return
      raft.tellCommit()
      onTold()
    })
  }
}
