/**
 * The messages of one batch under way: told together, with one result for each.
 *
 * Keeps: what is put of a batch is consecutive in the log or, beyond the first refusal, void; the listener is told once, after all
 * outcomes are known.
 */
import type { PutBatchListener, PutListener, PutResult } from './api.ts'
import { StoreError } from './errors.ts'
import type { PutOrder, PutProposal } from './put-proposal.ts'

export class PutBatch implements PutOrder {
  readonly #listener: PutBatchListener
  readonly #count: number
  readonly #results: (PutResult | null)[]
  /** Those that are put, in order; not those that are stored already. */
  readonly #proposals: PutProposal[] = []
  #encoded = 0
  #told = 0
  #stored = 0
  #failure: StoreError | null = null
  #unknown = false

  constructor(count: number, listener: PutBatchListener) {
    this.#count = count
    this.#listener = listener
    this.#results = Array.from({ length: count }, () => null)
  }

  /** Who is told what became of the i-th message. */
  slot(i: number): PutListener {
    return {
      stored: (result) => {
        this.#results[i] = result
        this.#stored++
        this.#tell()
      },
      putFailed: (error) => {
        this.#failure ??= error
        if (error.code === 'TIMEOUT') this.#unknown = true
        this.#tell()
      },
    }
  }

  /** The next one that is put; all are added before the first one is proposed. */
  add(proposal: PutProposal): void {
    this.#proposals.push(proposal)
  }

  maySucceed(proposal: PutProposal): boolean {
    if (this.#proposals[this.#encoded] !== proposal) return false
    this.#encoded++
    return true
  }

  #tell(): void {
    this.#told++
    if (this.#told < this.#count) return
    if (this.#failure === null) return this.#listener.stored(this.#results as readonly PutResult[])
    const isPartial = this.#stored > 0 || this.#unknown
    if (!isPartial || this.#failure.code === 'TIMEOUT') return this.#listener.putFailed(this.#failure)
    this.#listener.putFailed(
      new StoreError(
        `${this.#stored} of ${this.#count} messages of the batch are stored`,
        { code: 'TIMEOUT' },
        { cause: this.#failure },
      ),
    )
  }
}
