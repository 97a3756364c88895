/**
 * How far a member's life has come, and what of it that lets be done.
 *
 *   new ──► open ──► closing ──► finishing ──► closed
 *     └───────┴─────────┴────────────┴──► failed ──┘
 *
 * Keeps: no way leads back; what throws while the member lives ends it (D4), and nothing runs guarded after its end.
 */
import { assert } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'

/** `closing`: takes nothing new in and ends what it has. `finishing`: the last sync of a clean stop is under way. */
export type LifeState = 'new' | 'open' | 'closing' | 'finishing' | 'closed' | 'failed'

const NEXT: Readonly<Record<LifeState, readonly LifeState[]>> = {
  new: ['open', 'failed'],
  open: ['closing', 'failed'],
  closing: ['finishing', 'closed', 'failed'],
  finishing: ['closed', 'failed'],
  failed: ['closed'],
  // The disk may be heard after nobody waited for it any longer.
  closed: ['closed'],
}

export interface LifeOptions {
  /** Something threw: the member is to stop. */
  readonly onFailed: (error: Error) => void
  readonly schedulePass: () => void
}

export class Life {
  readonly #options: LifeOptions
  #state: LifeState = 'new'
  #depth = 0

  constructor(options: LifeOptions) {
    this.#options = options
  }

  get state(): LifeState {
    return this.#state
  }

  /** Takes proposals, reads and changes. */
  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Hears its peers and takes part in the group. */
  get isRunning(): boolean {
    return this.#state === 'open' || this.#state === 'closing'
  }

  get isOver(): boolean {
    return this.#state === 'failed' || this.#state === 'closed'
  }

  /** Something runs guarded: what comes now was called by it. */
  get isAtWork(): boolean {
    return this.#depth > 0
  }

  enter(state: LifeState): void {
    assert(NEXT[this.#state].includes(state), 'a life goes on and never back')
    this.#state = state
  }

  /** Runs `work` unless the life is over; it ends when that throws. */
  guarded(work: () => void): void {
    if (this.isOver) return
    this.#depth++
    try {
      work()
    } catch (error) {
      this.#options.onFailed(error instanceof Error ? error : new Error(String(error)))
    } finally {
      this.#depth--
    }
  }

  /** What was waited for has come: it counts while the member runs, and gives a pass something to do. */
  whileRunning(work: () => void): void {
    if (!this.isRunning) return
    this.guarded(work)
    this.#options.schedulePass()
  }
}

/** What they are told who come when the member takes nothing in any more, or wait when it stops. */
export function closed(): DLedgerError {
  return new DLedgerError('the log is closed', { code: 'CLOSED' })
}
