/**
 * When a leader tells its followers of a commit that no entries carry.
 *
 * Under load the next entries follow at once and tell it for nothing: a frame of its own would double what the followers read. So what is
 * owed waits a moment, with one timer for all of it; what came to be owed while that ran, because entries told the rest, waits anew.
 *
 * Keeps: a follower hears of a commit within twice `COMMIT_NOTICE_MS`, by entries or by a heartbeat; an idle group arms no timer.
 */
import type { Clock } from '@dledger-ts/base'
import type { Raft } from '../raft/raft.ts'

/** Far below a heartbeat, and above the time in which many senders that got their answers send again. */
export const COMMIT_NOTICE_MS = 8

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
  /** Nothing was owed at some moment since the timer was armed. */
  #wasTold = false

  constructor(options: CommitNoticesOptions) {
    this.#options = options
  }

  /** The core's output was taken. Hot. */
  look(): void {
    if (!this.#options.raft.owesCommitNotice) this.#wasTold = true
    else if (!this.#isArmed) this.#arm()
  }

  #arm(): void {
    this.#isArmed = true
    this.#wasTold = false
    this.#options.clock.after(COMMIT_NOTICE_MS, this.#tell)
  }

  readonly #tell = (): void => {
    const { raft, whileRunning, onTold } = this.#options
    this.#isArmed = false
    whileRunning(() => {
      if (!raft.owesCommitNotice) return
      if (this.#wasTold) return this.#arm()
      raft.tellCommit()
      onTold()
    })
  }
}
